/**
 * GET /metrics and the measuring of routes. Everything is in the registry passed in, nothing in the library's global
 * one, so that any number of apps can live in one process. URLs without a route are not measured: their number has no
 * bound.
 */
import type {} from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import routeMetrics from 'fastify-metrics'
import type { Registry } from 'prom-client'
import { durationBuckets } from '../observe/metrics.js'

/** Measures every route declared after this call has resolved, and adds Node's own metrics. */
export async function registerMeasure(app: FastifyInstance, { register }: { register: Registry }): Promise<void> {
  // The package is CommonJS: to an ES module its default export is a property of the default import.
  await app.register(routeMetrics.default, {
    // Its own endpoint would add the global registry to every answer.
    endpoint: null,
    defaultMetrics: { enabled: true, register },
    routeMetrics: {
      enabled: { histogram: true, summary: false },
      overrides: {
        histogram: { registers: [register], buckets: durationBuckets },
        // The summary is constructed even when it is off, and would land in the global registry.
        summary: { registers: [] }
      }
    }
  })
}

/** Serves all of `register` in the Prometheus text format on GET /metrics, which stays out of the OpenAPI document. */
export function serveMetrics(app: FastifyInstance, register: Registry): void {
  app.get(
    '/metrics',
    { config: { scopes: ['tenants:all'] }, schema: { hide: true }, logLevel: 'warn' },
    async (_request, reply) => {
      reply.type(register.contentType)
      return register.metrics()
    }
  )
}
