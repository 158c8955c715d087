/** Builds the HTTP application out of services. Never listens; reads nothing from the environment. */
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import underPressure from '@fastify/under-pressure'
import Fastify, {
  type ConnectionError,
  type FastifyBaseLogger,
  type FastifyHttpOptions,
  type FastifyInstance,
  LogController
} from 'fastify'
import type { Registry } from 'prom-client'
import type { Cursors } from './domain/cursor.js'
import { DomainError } from './domain/errors.js'
import { registerAsyncApi } from './http/asyncapi.js'
import { registerAudit } from './http/audit.js'
import { registerAuth } from './http/auth.js'
import { registerClosing } from './http/closing.js'
import { commonHeaders, registerCommonHeaders } from './http/common-headers.js'
import { buildSerializer, buildValidator } from './http/compilers.js'
import { registerCors } from './http/cors.js'
import { registerDeadline } from './http/deadline.js'
import { type Failure, handleError, problemOf, requestTimeout, sendProblem } from './http/errors.js'
import { registerJsonBody } from './http/json-body.js'
import { createLongBodies, type LongBodies } from './http/long-bodies.js'
import { registerMeasure, serveMetrics } from './http/measure.js'
import { watchMethods } from './http/methods.js'
import { registerOpenApi } from './http/openapi.js'
import { type RateLimit, registerRateLimit } from './http/rate-limit.js'
import { apiKeyRoutes } from './http/routes/api-keys.js'
import { archiveRoutes } from './http/routes/archive.js'
import { auditRoutes } from './http/routes/audit.js'
import { eventTypeRoutes } from './http/routes/event-types.js'
import { eventRoutes } from './http/routes/events.js'
import { feedRoutes } from './http/routes/feed.js'
import { healthRoutes } from './http/routes/health.js'
import { meRoutes } from './http/routes/me.js'
import { metricsRoutes } from './http/routes/metrics.js'
import { outboxRoutes } from './http/routes/outbox.js'
import { projectionRoutes } from './http/routes/projections.js'
import { replayRoutes } from './http/routes/replay.js'
import { snapshotRoutes } from './http/routes/snapshots.js'
import { statsRoutes } from './http/routes/stats.js'
import { statusRoutes } from './http/routes/status.js'
import { subscriptionRoutes } from './http/routes/subscriptions.js'
import { tenantRoutes } from './http/routes/tenants.js'
import { transferRoutes } from './http/routes/transfer.js'
import { userRoutes } from './http/routes/users.js'
import { verifyRoutes } from './http/routes/verify.js'
import { createStreamSlots, type StreamBounds } from './http/stream-slots.js'
import { registerTracing } from './http/tracing.js'
import { registerTurns, type Turns } from './http/turns.js'
import { registerUi } from './http/ui.js'
import type { Tracer } from './observe/tracing.js'
import type { AccessService } from './services/access.js'
import type { ArchiveService } from './services/archive.js'
import type { AuditService } from './services/audit.js'
import type { DirectoryService } from './services/directory.js'
import type { EffectService } from './services/effects.js'
import type { EventTypeService } from './services/event-types.js'
import type { EventService } from './services/events.js'
import type { ExportService } from './services/export.js'
import type { FeedService } from './services/feed.js'
import type { HealthService } from './services/health.js'
import type { ImportService } from './services/import.js'
import type { ProjectionService } from './services/projections.js'
import type { ReplayService } from './services/replay.js'
import type { SnapshotService } from './services/snapshots.js'
import type { StatisticsService } from './services/statistics.js'
import type { StatusService } from './services/status.js'
import type { SubscriptionService } from './services/subscriptions.js'
import type { TenantLimitsService } from './services/tenant-limits.js'
import type { VerifyService } from './services/verify.js'

export type Services = {
  access: AccessService
  audit: AuditService
  archive: ArchiveService
  directory: DirectoryService
  events: EventService
  feed: FeedService
  eventTypes: EventTypeService
  replay: ReplayService
  effects: EffectService
  snapshots: SnapshotService
  statistics: StatisticsService
  status: StatusService
  projections: ProjectionService
  subscriptions: SubscriptionService
  tenantLimits: TenantLimitsService
  verify: VerifyService
  exports: ExportService
  imports: ImportService
  health: HealthService
}

export type AppParts = {
  services: Services
  cursors: Cursors
  /** names the rules of a tenant; part of entity tags */
  fingerprintOf: (tenantId: string) => string
  register: Registry
  /** names this process, as in leases */
  instance: string
  /** traces requests; nothing does when absent */
  tracer?: Tracer | undefined
  bodyBytesMax: number
  /** longest time from the first byte of a request to the last of the answer's head, ms */
  requestTimeoutMs: number
  /** origins whose pages may read answers; none when absent */
  corsOrigins?: readonly string[] | undefined
  /** addresses and networks whose word on who asks is taken (X-Forwarded-For); none when absent */
  trustedProxies?: string[] | undefined
  /** how many requests a key and a tenant may send; as many as they like when absent */
  rateLimit?: RateLimit | undefined
  /** for the requests of tenants; whoever comes is served when absent */
  turns?: Turns | undefined
  /** streams and waiting reads of the feed open at once, and those of one address */
  streams: StreamBounds
  /** the same of exports */
  exports: StreamBounds
  /** whether the reference page and the documents of the contract are served */
  docs: boolean
  /** whether the pages at /ui are served */
  ui: boolean
  /** whether /metrics is served here; else metrics-app.ts does */
  metrics: boolean
  /** longest silence of a body that may take longer than that, ms */
  silenceMs?: number | undefined
  logger: FastifyBaseLogger | false
}

/** Longest wait for all headers of a request, ms: less is needed by nobody honest. */
const HEADERS_TIMEOUT_MS = 5000
/** Event-loop delay beyond which requests are refused, ms. */
const LOOP_DELAY_MAX_MS = 1000
/** Time over which that delay is averaged, ms. */
const LOOP_SAMPLE_MS = 1000
const OPERATIONS = ['/livez', '/readyz', '/metrics']

export async function buildApp(parts: AppParts): Promise<FastifyInstance> {
  const { services, cursors, fingerprintOf, register } = parts
  const longBodies = createLongBodies()
  const app = Fastify(
    serverOptions(parts, longBodies)
  ).withTypeProvider<TypeBoxTypeProvider>() as unknown as FastifyInstance

  const whereListed = parts.docs ? ' /docs lists them all.' : ''
  app.setErrorHandler(handleError)
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      { code: 'ROUTE_NOT_FOUND', detail: `There is no route ${request.method} here.${whereListed}` },
      request.url
    )
  )
  registerJsonBody(app)
  registerCommonHeaders(app)
  if (parts.tracer) registerTracing(app, parts.tracer, OPERATIONS)
  await registerCors(app, parts.corsOrigins ?? [])
  const refuseOtherMethods = watchMethods(app)
  // Before all that may refuse a request: what is refused is measured as well.
  await registerMeasure(app, { register })
  longBodies.register(app)
  registerDeadline(app, parts.requestTimeoutMs)
  registerClosing(app, { operations: OPERATIONS, requestTimeoutMs: parts.requestTimeoutMs })
  // Before all that may ask the database, which is what a process with too much to do waits for longest.
  await shedLoad(app)
  registerAuth(app, services.access)
  if (parts.rateLimit) await registerRateLimit(app, parts.rateLimit, OPERATIONS)
  registerTurns(app, parts.turns)
  registerAudit(app, services.audit)
  if (parts.metrics) serveMetrics(app, register)
  await registerOpenApi(app, { shown: parts.docs })
  if (parts.docs) registerAsyncApi(app)
  if (parts.ui) await registerUi(app)

  await app.register(apiKeyRoutes, { access: services.access })
  await app.register(meRoutes, { access: services.access })
  await app.register(auditRoutes, { audit: services.audit, cursors })
  await app.register(healthRoutes, { health: services.health })
  await app.register(eventRoutes, { events: services.events, cursors, fingerprintOf })
  await app.register(feedRoutes, {
    feed: services.feed,
    slots: createStreamSlots(parts.streams),
    requestTimeoutMs: parts.requestTimeoutMs
  })
  await app.register(transferRoutes, {
    exports: services.exports,
    imports: services.imports,
    slots: createStreamSlots(parts.exports, { streams: 'exports', setting: 'EXPORTS' }),
    silenceMs: parts.silenceMs
  })
  await app.register(userRoutes, { directory: services.directory, cursors })
  await app.register(replayRoutes, { replay: services.replay, effects: services.effects })
  await app.register(snapshotRoutes, { snapshots: services.snapshots })
  await app.register(eventTypeRoutes, { eventTypes: services.eventTypes })
  await app.register(verifyRoutes, { verify: services.verify })
  await app.register(projectionRoutes, { projections: services.projections })
  await app.register(archiveRoutes, { archive: services.archive })
  await app.register(subscriptionRoutes, { subscriptions: services.subscriptions })
  await app.register(outboxRoutes, { subscriptions: services.subscriptions, cursors })
  await app.register(statsRoutes, { statistics: services.statistics })
  await app.register(statusRoutes, { status: services.status })
  await app.register(metricsRoutes, { register, instance: parts.instance })
  await app.register(tenantRoutes, { statistics: services.statistics, limits: services.tenantLimits })
  refuseOtherMethods()
  return app
}

function serverOptions(
  { bodyBytesMax, requestTimeoutMs, trustedProxies, logger }: AppParts,
  longBodies: LongBodies
): FastifyHttpOptions<Server> {
  return {
    ...(logger ? { loggerInstance: logger } : { logger: false }),
    // A line per request would cost more than the request; failures are logged by the error handler.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: ({ headers }) => clientRequestId(headers['x-request-id']) ?? randomUUID(),
    trustProxy: trustedProxies ?? false,
    bodyLimit: bodyBytesMax,
    routerOptions: { maxParamLength: 500 },
    // A slow body is cut off only when all three are set, and the interval is short (Node checks connections that often).
    requestTimeout: requestTimeoutMs,
    http: {
      requestTimeout: requestTimeoutMs,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs),
      connectionsCheckingInterval: 500,
      // Else the first of two content types would count, and for somebody else the second: so it is one, which nobody takes.
      joinDuplicateHeaders: true
    },
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    // A URL that cannot be read comes here and past all hooks.
    frameworkErrors: (err, request, reply) => {
      reply.headers(commonHeaders).header('x-request-id', request.id)
      handleError(err, request, reply)
    },
    clientErrorHandler: (err, socket) => {
      // Node tells it once for each request, and then leaves the connection to us.
      if (err.code === 'ERR_HTTP_REQUEST_TIMEOUT' && longBodies.has(socket)) return
      refuseBrokenRequest(err, socket)
    },
    schemaController: { compilersFactory: { buildValidator, buildSerializer } }
  }
}

function clientRequestId(header: string | string[] | undefined): string | null {
  return typeof header === 'string' && /^[\w.:/+=-]{1,128}$/.test(header) ? header : null
}

async function shedLoad(app: FastifyInstance): Promise<void> {
  // Compiling schemas at the start blocks the loop; what is measured before two samples have passed is no load.
  let measuredFrom = Number.POSITIVE_INFINITY
  app.addHook('onReady', async () => {
    measuredFrom = performance.now() + 2 * LOOP_SAMPLE_MS
  })
  await app.register(underPressure, {
    maxEventLoopDelay: LOOP_DELAY_MAX_MS,
    sampleInterval: LOOP_SAMPLE_MS,
    // A delay is infinite when the loop turned less than twice in the time of a sample.
    pressureHandler: (request) => {
      if (performance.now() < measuredFrom) return
      if (OPERATIONS.includes(request.routeOptions.url ?? '')) return
      throw new DomainError('OVERLOADED', 'The service is too busy to take requests now. Send the request again later.')
    }
  })
}

/** Answers what Node's HTTP parser gives up on: there is no request yet, so the answer is written by hand. */
function refuseBrokenRequest(err: ConnectionError, socket: Socket): void {
  if (!socket.writable || err.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const problem = problemOf(brokenRequest(err.code), '/')
  const body = JSON.stringify(problem)
  const headers = {
    connection: 'close',
    'content-type': 'application/problem+json',
    ...commonHeaders,
    'x-request-id': randomUUID(),
    'content-length': Buffer.byteLength(body)
  }
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${problem.status} Refused\r\n${head.join('')}\r\n${body}`)
}

function brokenRequest(code: string): Failure {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return requestTimeout
    case 'HPE_HEADER_OVERFLOW':
      return { code: 'HEADERS_TOO_LARGE', detail: 'The headers are larger than 16 KiB.' }
    default:
      return { code: 'MALFORMED_REQUEST', detail: `The request is not valid HTTP (${code}).` }
  }
}
