/**
 * GET /metrics on a port of its own, so that a network can let scrapers in without letting them at the data, or clients at
 * the metrics. It serves nothing else.
 */
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Registry } from 'prom-client'
import { registerClosing } from './closing.js'
import { registerCommonHeaders } from './common-headers.js'
import { handleError, sendProblem } from './errors.js'
import { serveMetrics } from './measure.js'

/** Never listens. When it closes, scrapes in flight are answered, and connections end within `requestTimeoutMs`. */
export function buildMetricsApp({
  register,
  requestTimeoutMs,
  logger
}: {
  register: Registry
  requestTimeoutMs: number
  logger: FastifyBaseLogger | false
}): FastifyInstance {
  const app = Fastify({
    ...(logger ? { loggerInstance: logger } : { logger: false }),
    logController: new LogController({ disableRequestLogging: true }),
    requestTimeout: requestTimeoutMs,
    return503OnClosing: false,
    forceCloseConnections: 'idle'
  }) as unknown as FastifyInstance
  app.setErrorHandler(handleError)
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, { code: 'ROUTE_NOT_FOUND', detail: 'There is nothing here but GET /metrics.' }, request.url)
  )
  registerCommonHeaders(app)
  registerClosing(app, { operations: [], requestTimeoutMs })
  serveMetrics(app, register)
  return app
}
