/**
 * A span for every request of a route, named after its pattern, that continues the trace of its `traceparent`. It has no URL and no
 * address of who asks: those hold what users are.
 */
import type { FastifyInstance } from 'fastify'
import { asTraceparent } from '../domain/traceparent.js'
import type { Tracer } from '../observe/tracing.js'

/** Traces requests, but for those of `operations`; to be called before anything that may refuse one. */
export function registerTracing(app: FastifyInstance, tracer: Tracer, operations: readonly string[]): void {
  if (!tracer.on) return
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
      const { statusCode, headersSent, writableFinished } = reply.raw
      span.set({
        ...(headersSent ? { 'http.response.status_code': statusCode } : {}),
        ...(writableFinished ? {} : { 'request.client_left': true }),
        ...(request.tenantId === '' ? {} : { 'tenant.id': request.tenantId })
      })
      span.end(statusCode >= 500 ? String(statusCode) : null)
    })
    // Fastify goes on within it when the body has come.
    span.run(done)
  })
}
