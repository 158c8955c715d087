/**
 * A span for every request of a route, named after its pattern, that continues the trace of its `traceparent`. It has no URL and no
 * address of who asks: those hold what users are.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { asTraceparent } from '../domain/traceparent.js'
import type { OpenSpan, Tracer } from '../observe/tracing.js'

/** Traces requests, but for those of `operations`; to be called before anything that may refuse one. */
export function registerTracing(app: FastifyInstance, tracer: Tracer, operations: readonly string[]): void {
  if (!tracer.on) return
  const spans = new WeakMap<FastifyRequest, OpenSpan>()

  app.addHook('onRequest', (request, reply, done) => {
    const { url } = request.routeOptions
    if (url !== undefined && operations.includes(url)) return done()
    const route = url?.replace(/:(\w+)/g, '{$1}')
    const span = tracer.start(route === undefined ? request.method : `${request.method} ${route}`, {
      kind: 'server',
      parent: asTraceparent(request.headers.traceparent),
      attributes: {
        'http.request.method': request.method,
        ...(route === undefined ? {} : { 'http.route': route }),
        'request.id': request.id
      }
    })
    // Which comes also if the client has left.
    reply.raw.once('close', () => {
      const { statusCode } = reply.raw
      span.set({
        'http.response.status_code': statusCode,
        ...(request.tenantId === '' ? {} : { 'tenant.id': request.tenantId })
      })
      span.end(statusCode >= 500 ? String(statusCode) : null)
    })
    spans.set(request, span)
    span.run(done)
  })

  // The body came in events of the connection, which know of no span.
  app.addHook('preValidation', (request, _reply, done) => {
    const span = spans.get(request)
    if (span) span.run(done)
    else done()
  })
}
