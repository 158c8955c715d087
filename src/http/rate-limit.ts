/**
 * Bounds how many requests a key, and a tenant with all its keys, may send in a second. It stands behind the door (auth.ts): what is counted is who sends, not
 * from where, and what is not let in is not counted.
 */
import rateLimit, { type FastifyRateLimitStore } from '@fastify/rate-limit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { DomainError } from '../domain/errors.js'
import type { RequestCounter } from '../services/request-counter.js'
import type { RateLimits } from '../services/tenant-limits.js'
import { createHoldBack } from './hold-back.js'

declare module 'fastify' {
  interface FastifyRequest {
    rates: RateLimits
  }
}

const WINDOW_MS = 1000
/** Refusals come when the window ends, which is as soon as something else could be answered, or after so long, ms. */
const HELD_MS_MAX = 800
const HELD_MAX = 5000

export type RateLimit = {
  /** what the keys of a tenant may send; never fails */
  ratesOf: (tenantId: string) => RateLimits | Promise<RateLimits>
  counter: RequestCounter
  /** told whose request was refused */
  onRefused: (tenantId: string, limit: 'key' | 'tenant') => void
  /** told for whom a request is that was not */
  onAdmitted: (tenantId: string) => void
}

/** To be called after registerAuth. Requests for `operations` are not counted. */
export async function registerRateLimit(
  app: FastifyInstance,
  { ratesOf, counter, onRefused, onAdmitted }: RateLimit,
  operations: readonly string[]
): Promise<void> {
  await app.register(rateLimit, { global: false, timeWindow: WINDOW_MS, store: storeOn(counter) })
  app.decorateRequest('rates', null as never)
  const bounds = [
    {
      limit: 'key',
      maxOf: ({ perKey }: RateLimits) => perKey,
      count: app.createRateLimit({
        max: ({ rates }) => rates.perKey,
        keyGenerator: ({ principal: { tenantId, name } }) => `key:${tenantId}:${name}`
      })
    },
    {
      limit: 'tenant',
      maxOf: ({ perTenant }: RateLimits) => perTenant,
      count: app.createRateLimit({
        max: ({ rates }) => rates.perTenant,
        keyGenerator: ({ principal: { tenantId } }) => `tenant:${tenantId}`
      })
    }
  ] as const

  const holdBack = createHoldBack({ max: HELD_MAX, msMax: HELD_MS_MAX })

  /** Counts the request, and tells in its answer what is left of the bound that is nearest. */
  async function check(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { tenantId, name } = request.principal
    request.rates = await ratesOf(tenantId)
    let nearest = Number.POSITIVE_INFINITY
    for (const { limit, maxOf, count } of bounds) {
      if (maxOf(request.rates) === 0) continue
      const counted = await count(request)
      if (counted.isAllowed) continue
      if (counted.isExceeded || counted.remaining < nearest) {
        nearest = counted.remaining
        reply.headers({
          'ratelimit-limit': counted.max,
          'ratelimit-remaining': counted.remaining,
          'ratelimit-reset': counted.ttlInSeconds
        })
      }
      if (!counted.isExceeded) continue
      onRefused(tenantId, limit)
      await holdBack(counted.ttl)
      throw limited(limit === 'key' ? name : `The tenant of ${name}`, counted.max)
    }
  }

  app.addHook('onRequest', (request, reply, done) => {
    const anybody = request.principal === null
    if (anybody || operations.includes(request.routeOptions.url ?? '')) return done()
    const admit = (): void => {
      onAdmitted(request.tenantId)
      done()
    }
    const rates = ratesOf(request.principal.tenantId)
    if (!(rates instanceof Promise) && rates.perKey === 0 && rates.perTenant === 0) return admit()
    check(request, reply).then(admit, done)
  })
}

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

const limited = (who: string, max: number): DomainError =>
  new DomainError(
    'RATE_LIMITED',
    `${who} has sent more than ${max} requests within a second, which is its limit. Send the request again after the seconds of Retry-After, and fewer at once.`,
    { limit: max }
  )
