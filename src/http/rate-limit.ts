/**
 * Bounds how many requests a key may send in a second. It stands behind the door (auth.ts): what is counted is who sends, not
 * from where, and what is not let in is not counted.
 */
import rateLimit, { type FastifyRateLimitStore } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Principal } from '../domain/access.js'
import { DomainError } from '../domain/errors.js'
import type { RequestCounter } from '../services/request-counter.js'

const WINDOW_MS = 1000

export type RateLimit = {
  /** requests of a key in a second; 0: no limit */
  perSecond: number
  counter: RequestCounter
  /** told whose request was refused */
  onRefused: (tenantId: string) => void
  /** told for whom a request is that was not */
  onAdmitted: (tenantId: string) => void
}

/** To be called after registerAuth. Requests for `operations` are not counted. */
export async function registerRateLimit(
  app: FastifyInstance,
  { perSecond, counter, onRefused, onAdmitted }: RateLimit,
  operations: readonly string[]
): Promise<void> {
  await app.register(rateLimit, { global: false, timeWindow: WINDOW_MS, store: storeOn(counter) })
  const countKey = app.createRateLimit({ max: perSecond, keyGenerator: ({ principal }) => nameOf(principal) })

  async function check(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const counted = await countKey(request)
    if (counted.isAllowed) return
    reply.headers({
      'ratelimit-limit': counted.max,
      'ratelimit-remaining': counted.remaining,
      'ratelimit-reset': counted.ttlInSeconds
    })
    if (!counted.isExceeded) return
    onRefused(request.principal.tenantId)
    throw limited(request.principal, counted.max)
  }

  app.addHook('onRequest', (request, reply, done) => {
    const anybody = request.principal === null
    if (anybody || operations.includes(request.routeOptions.url ?? '')) return done()
    const admit = (): void => {
      onAdmitted(request.tenantId)
      done()
    }
    if (perSecond === 0) return admit()
    check(request, reply).then(admit, done)
  })
}

const nameOf = ({ tenantId, name }: Principal): string => `key:${tenantId}:${name}`

/** What the plugin counts with. */
const storeOn = (counter: RequestCounter) =>
  class implements FastifyRateLimitStore {
    incr(
      key: string,
      callback: (error: Error | null, result?: { current: number; ttl: number }) => void,
      windowMs: number,
      max: number
    ): void {
      counter
        .count(key, windowMs, max)
        .then(({ count, leftMs }) => callback(null, { current: count, ttl: leftMs }), callback)
    }
    child(): this {
      return this
    }
  }

const limited = ({ name }: Principal, max: number): DomainError =>
  new DomainError(
    'RATE_LIMITED',
    `${name} has sent more than ${max} requests within a second, which is its limit. Send the request again after the seconds of Retry-After, and fewer at once.`,
    { limit: max }
  )
