/** 405 for a path that exists under another method: Fastify alone would say that it is not there at all. */
import type { FastifyInstance, HTTPMethods } from 'fastify'
import { sendProblem } from './errors.js'

const METHODS: HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/**
 * Watches the routes that are declared after this call. The function it returns is to be called when all are: it makes
 * every path refuse the methods that it does not know, naming those it does.
 */
export function watchMethods(app: FastifyInstance): () => void {
  const known = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    // Fastify declares a plugin's root with and without the slash, as one route.
    if (url.endsWith('/')) return
    const methods = known.get(url) ?? new Set()
    for (const name of [method].flat()) methods.add(name)
    known.set(url, methods)
  })
  return () => {
    for (const [url, methods] of [...known]) {
      const allow = [...methods].sort().join(', ')
      const others = METHODS.filter((method) => !methods.has(method))
      if (others.length > 0) refuse(app, url, others, allow)
    }
  }
}

function refuse(app: FastifyInstance, url: string, method: HTTPMethods[], allow: string): void {
  app.route({
    url,
    method,
    schema: { hide: true },
    handler: (request, reply) => {
      reply.header('allow', allow)
      const detail = `This path does not know ${request.method}; it knows ${allow}.`
      sendProblem(reply, { code: 'METHOD_NOT_ALLOWED', detail }, request.url)
    }
  })
}
