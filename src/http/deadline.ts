/**
 * The longest time a request may take until its answer begins. Fastify's own `handlerTimeout` makes an AbortController and
 * an exception for every request, a tenth of the time that a small one takes; a timer is all that is needed, since every
 * wait below has a limit of its own.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Failure, requestTimeout, sendProblem } from './errors.js'

/**
 * Answers 503 DEADLINE_EXCEEDED for requests whose answer has not begun after `ms`; what their handlers do goes on. Routes with a
 * long body (long-bodies.ts) are left alone.
 */
export function registerDeadline(app: FastifyInstance, ms: number): void {
  const timers = new WeakMap<FastifyRequest, NodeJS.Timeout>()
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.config.longBody) return done()
    const expire = () => {
      if (reply.sent) return
      // If the rest of the request has not come by now, that is what took too long.
      const failure = request.raw.complete === false ? requestTimeout : deadlineExceeded
      request.log.warn({ code: failure.code }, 'request refused')
      sendProblem(reply, failure, request.url)
    }
    // A stream whose client left has no response that ends: its timer must not keep a process that is done.
    timers.set(request, setTimeout(expire, ms).unref())
    done()
  })
  app.addHook('onResponse', (request, _reply, done) => {
    clearTimeout(timers.get(request))
    done()
  })
}

const deadlineExceeded: Failure = {
  code: 'DEADLINE_EXCEEDED',
  detail:
    'The answer did not come within REQUEST_TIMEOUT_MS. Reads can be sent again; repeat an append with the same event ids.'
}
