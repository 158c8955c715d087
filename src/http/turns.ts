/**
 * Tenants take turns: while several are here, each has a few requests under way at once and the rest of its own wait, so that who
 * sends much does not hold up who sends little. It stands before the handler, when the body has come: who waits for a slow client
 * works on nothing.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { FairSlots } from '../services/fair-slots.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** whether an answer can take the processor for long: one at a time of a tenant, while there are others */
    large?: boolean
  }
  interface FastifyRequest {
    /** the tenant whose turn it is; null when the request has none, or gave it back */
    turnOf: string | null
    /** For handlers that only wait from here on: lets the next request of the tenant begin. */
    endTurn(): void
  }
}

/** `share`: slots that a tenant has while there are others. */
export type Turns = { turns: Pick<FairSlots, 'enter' | 'leave'>; share: number }

/** To be called after registerAuth. Requests that act for no tenant take no turns, and none does without `turns`. */
export function registerTurns(app: FastifyInstance, turnsOfTenants: Turns | undefined): void {
  app.decorateRequest('turnOf', null)
  if (!turnsOfTenants) {
    app.decorateRequest('endTurn', () => {})
    return
  }
  const { turns, share } = turnsOfTenants
  const weightOf = ({ routeOptions }: FastifyRequest): number => (routeOptions.config.large ? share : 1)
  app.decorateRequest('endTurn', function () {
    if (this.turnOf === null) return
    turns.leave(this.turnOf, weightOf(this))
    this.turnOf = null
  })

  app.addHook('preValidation', (request, _reply, done) => {
    const { tenantId } = request
    if (tenantId === '') return done()
    const begin = (): void => {
      request.turnOf = tenantId
      done()
    }
    try {
      const entered = turns.enter(tenantId, weightOf(request))
      if (entered) entered.then(begin, done)
      else begin()
    } catch (err) {
      done(err as Error)
    }
  })
  // What is left is to write the answer, which takes as long as the client takes.
  app.addHook('onSend', (request, _reply, payload, done) => {
    request.endTurn()
    done(null, payload)
  })
}
