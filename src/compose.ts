/** The composition root: the only place that builds things and knows them all. */
import { randomUUID } from 'node:crypto'
import { Cron } from 'croner'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import { buildApp } from './app.js'
import { createBackground } from './background.js'
import type { Config } from './config.js'
import { ALL_TENANTS } from './db/as-tenants.js'
import { runLong } from './db/long-statement.js'
import { migrate, readMigrations } from './db/migrate.js'
import { findDbError } from './db/pg-error.js'
import { createDelivery } from './delivery.js'
import { followersOf } from './domain/archive.js'
import { createCursors } from './domain/cursor.js'
import { createFeedCursors } from './domain/feed-cursor.js'
import { usersProjection } from './domain/projections/users.js'
import { openSink, refuseSink } from './edge/open-sink.js'
import { buildMetricsApp } from './http/metrics-app.js'
import { version } from './http/openapi.js'
import { startLoop } from './loop.js'
import { createMetrics } from './observe/metrics.js'
import { untraced } from './observe/tracing.js'
import { openJwtVerifierOf, openShared, openTracerOf } from './optional-parts.js'
import { createProjecting } from './projecting.js'
import { type AccessService, createAccessService } from './services/access.js'
import { createAppendQueue, defaultLimits } from './services/append-queue.js'
import { createArchiveService } from './services/archive.js'
import { createAuditService } from './services/audit.js'
import { createDirectoryService } from './services/directory.js'
import { createEffectService } from './services/effects.js'
import { createEventTypeService } from './services/event-types.js'
import { createEventService } from './services/events.js'
import { createExportService } from './services/export.js'
import { createFairSlots, type FairSlotsOptions } from './services/fair-slots.js'
import { createFeedService } from './services/feed.js'
import { createFollow } from './services/follow.js'
import { createHealthService } from './services/health.js'
import { createImportService } from './services/import.js'
import { createLogTail } from './services/log-tail.js'
import { admitOperator, noteCommand, type Operator } from './services/operator.js'
import { createProjectionService } from './services/projections.js'
import { createReplayService } from './services/replay.js'
import { createRequestCounter } from './services/request-counter.js'
import { createSnapshotService } from './services/snapshots.js'
import { createStateCache } from './services/state-cache.js'
import { createStatisticsService } from './services/statistics.js'
import { createStatusService } from './services/status.js'
import { createSubscriptionService } from './services/subscriptions.js'
import { createTailReader } from './services/tail-reader.js'
import { createTenantLimitsService } from './services/tenant-limits.js'
import { createVerifyService } from './services/verify.js'
import { assertBuckets, assertGuarded, claimsOf, openSecured } from './start-checks.js'
import type { Claiming } from './store/claims.js'
import { claimIdentity, type StoreIdentity } from './store/identity.js'
import { selectStoreGauges } from './store/statistics.js'

export type Service = {
  app: FastifyInstance
  /** names this process in leases */
  instance: string
  /** Whether requests must say who sends them; `open` means that nobody set it up. */
  authentication: () => ReturnType<AccessService['mode']>
  /** serves /metrics on METRICS_PORT; null when `app` does */
  metricsApp: FastifyInstance | null
  /** Starts the background work. */
  start(): void
  /**
   * Stops in order: not ready, no new requests, requests in flight answered, append queue drained, background work ended and
   * its leases given up, connections closed; metrics can be had until then. Can be called once.
   */
  stop(): Promise<void>
}

const PROJECTIONS = [usersProjection]

/** Longest wait of a reader for the read model to hold what it has written, ms. */
const READ_WAIT_MS = 5000
/** Events of other instances are seen after this long, ms. */
const TAIL_POLL_MS = 100
/** Those of this one are seen at once, but all that come within this time by one query, ms. */
const TAIL_GAP_MS = 10

/**
 * Migrates the database at `databaseUrl` and builds the service on it. Nothing listens and nothing runs in the background yet.
 * `silenceMs` is how long the body of an import may bring nothing, and who asked for an export may take nothing.
 * With an `operator` nobody else is let in.
 */
export async function compose(
  config: Config,
  databaseUrl: string,
  logger: FastifyBaseLogger | false,
  { silenceMs, operator }: { silenceMs?: number | undefined; operator?: Operator } = {}
): Promise<Service> {
  const migrations = await readMigrations()
  await migrate(databaseUrl, { migrations })
  const instance = randomUUID()
  const tracer = operator
    ? untraced
    : await openTracerOf(config, {
        version,
        instance,
        onTrouble(reason) {
          if (logger) logger.warn({ reason }, 'traces cannot be sent')
        }
      })
  const db = await openSecured(config, databaseUrl, tracer)
  /** For what serves no tenant, or several at once. */
  const everyone = db.as(ALL_TENANTS)
  const buckets = config.EVENT_BUCKETS
  const eventTypes = createEventTypeService({
    db,
    onPatchFailed: (eventType, patch) => metrics.patchFailed(eventType, patch)
  })
  const fingerprintOf = (tenantId: string): string => eventTypes.of(tenantId).fingerprint
  let shared: Awaited<ReturnType<typeof openShared>>
  let identity: StoreIdentity
  let claiming: Claiming
  let access: AccessService
  try {
    access = createAccessService({
      db,
      required: config.AUTH === undefined ? undefined : config.AUTH === 'on',
      tokens: await openJwtVerifierOf(config, {
        onRefused(reason) {
          if (logger) logger.debug({ reason }, 'token refused')
        },
        onKeysTrouble(reason) {
          if (logger) logger.warn({ reason }, 'the keys of tokens cannot be had')
        }
      })
    })
    identity = await claimIdentity(db, buckets)
    assertBuckets(buckets, identity.buckets)
    claiming = await claimsOf(db, databaseUrl, config.UNIQUE_CLAIMS)
    await eventTypes.refresh()
    if (config.BOOTSTRAP_ADMIN_KEY !== undefined) await access.bootstrap(config.BOOTSTRAP_ADMIN_KEY)
    await access.refresh()
    assertGuarded(config.HOST, access.mode())
    shared = await openShared(config.REDIS_URL, (kind) => metrics.cacheTrouble(kind))
  } catch (err) {
    await db.close()
    throw err
  }

  const onError = (err: unknown): void => {
    // Drizzle's message holds every parameter of the statement, a user's state for one.
    if (logger) logger.error({ err: findDbError(err) ?? err }, 'background work failed')
  }
  const register = new Registry()
  // The usual text format has no place for exemplars. The types of the library know one format for a registry.
  if (tracer.on) register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
  const metrics = createMetrics({
    traceparent: tracer.on ? () => tracer.current().traceparent : undefined,
    register,
    topAggregates: config.METRICS_TOP_AGGREGATES,
    topTenants: config.METRICS_TOP_TENANTS,
    ready: () => health.isReady(),
    storeGauges: () => selectStoreGauges(everyone, buckets, config.METRICS_TOP_AGGREGATES),
    subscriptionGauges: () => subscriptions.gauges(),
    projectionGauges: () => projections.gauges(),
    archiveGauges: () => archive.gauges(),
    onError
  })
  const queue = createAppendQueue({
    db: everyone,
    claiming,
    metrics,
    tracer,
    limits: { ...defaultLimits, deadlineMs: config.REQUEST_TIMEOUT_MS * 0.8 }
  })
  const cache = createStateCache({
    usersMax: config.CACHE_MAX_USERS,
    bytesMax: config.CACHE_BYTES_MAX,
    shared: shared?.cache ?? null,
    metrics
  })
  const turns = createFairSlots(replaySlots(config.DATABASE_POOL_MAX))
  const replay = createReplayService({
    db,
    eventTypes,
    metrics,
    tracer,
    buckets,
    cache,
    tails: createTailReader({ db, buckets }),
    turns
  })
  const health = createHealthService({ db, migrations, projections: () => projections.list() })
  /** What follows the log need not wait for its interval. */
  function wakeFollowers(): void {
    background.wake()
    projecting.wake()
    delivery.wake()
    tail.wake()
  }
  const events = createEventService({
    db,
    queue,
    eventTypes,
    metrics,
    tracer,
    buckets,
    eventBytesMax: config.EVENT_BYTES_MAX,
    onStored: wakeFollowers
  })
  const tail = createLogTail({
    db: everyone,
    buckets,
    eventTypes,
    metrics,
    startPolling: (once) => startLoop({ once, intervalMs: TAIL_POLL_MS, gapMs: TAIL_GAP_MS, onError })
  })
  const cursors = createCursors(identity.secret)
  const feed = createFeedService({
    db,
    cursors: createFeedCursors({ cursors, storeId: identity.id, buckets }),
    buckets,
    eventTypes,
    tail,
    metrics
  })
  const snapshots = createSnapshotService({
    db,
    replay,
    eventTypes,
    metrics,
    tracer,
    buckets,
    policy: {
      threshold: config.SNAPSHOT_THRESHOLD,
      retain: config.RETAIN_SNAPSHOTS,
      maxAgeDays: config.SNAPSHOT_MAX_AGE_DAYS
    },
    onUnfoldable: onError
  })
  const exports = createExportService({ db, eventTypes, buckets })
  const imports = createImportService({
    db: everyone,
    claiming,
    eventTypes,
    metrics,
    buckets,
    eventBytesMax: config.EVENT_BYTES_MAX,
    deadlineMs: config.REQUEST_TIMEOUT_MS * 0.8,
    onStored: wakeFollowers
  })
  const verify = createVerifyService({ db, replay, eventTypes, buckets })
  const effects = createEffectService({ db, replay, eventTypes, buckets })
  const follow = createFollow({
    db: everyone,
    projection: usersProjection.name,
    buckets,
    waitMs: Math.min(READ_WAIT_MS, config.REQUEST_TIMEOUT_MS * 0.8)
  })
  const directory = createDirectoryService({ db, follow, buckets })
  const statistics = createStatisticsService({ db, follow, buckets })
  const subscriptions = createSubscriptionService({
    db: everyone,
    eventTypes,
    buckets,
    refuseSink: (sink) => refuseSink(sink, config),
    onChanged: () => delivery.changed()
  })
  const projections = createProjectionService({ db: everyone, projections: PROJECTIONS, eventTypes, buckets })
  const archivePolicy = {
    afterDays: config.ARCHIVE_AFTER_DAYS,
    schedule: new Cron(config.ARCHIVE_SCHEDULE, { timezone: 'UTC' }),
    windowEvents: config.ARCHIVE_WINDOW_EVENTS,
    eventsPerSecond: config.ARCHIVE_EVENTS_PER_SECOND,
    followers: followersOf(PROJECTIONS)
  }
  const archive = createArchiveService({ db: everyone, buckets, policy: archivePolicy })
  const audit = createAuditService({ db })
  const tenantLimits = createTenantLimitsService({ db, perKey: config.RATE_LIMIT_PER_SECOND, onError })
  const app = await buildApp({
    services: {
      access: operator ? admitOperator(access, operator) : access,
      audit: operator ? noteCommand(audit, operator) : audit,
      archive,
      directory,
      effects,
      events,
      eventTypes,
      exports,
      feed,
      imports,
      projections,
      replay,
      snapshots,
      statistics,
      status: createStatusService({ db: everyone, instance }),
      subscriptions,
      tenantLimits,
      verify,
      health
    },
    cursors,
    fingerprintOf,
    register,
    instance,
    tracer,
    bodyBytesMax: config.BODY_BYTES_MAX,
    requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
    corsOrigins: config.CORS_ORIGINS?.split(','),
    trustedProxies: config.TRUST_PROXY?.split(','),
    // Who works on the database itself is nobody's client.
    rateLimit: operator
      ? undefined
      : {
          ratesOf: tenantLimits.ratesOf,
          counter: createRequestCounter({ shared: shared?.counter ?? null, onAlone: metrics.countedAlone }),
          onRefused: metrics.rateLimited,
          onAdmitted: turns.note
        },
    turns: {
      share: config.TENANT_SHARE,
      turns: createFairSlots({
        what: 'requests',
        slots: Number.POSITIVE_INFINITY,
        share: config.TENANT_SHARE,
        waitingMax: WAITING_MAX,
        waitMs: TURN_WAIT_MS
      })
    },
    streams: { max: config.STREAMS_MAX, perClientMax: config.STREAMS_PER_CLIENT_MAX },
    exports: { max: config.EXPORTS_MAX, perClientMax: config.EXPORTS_PER_CLIENT_MAX },
    docs: config.DOCS,
    ui: config.UI,
    metrics: config.METRICS_PORT === undefined,
    silenceMs,
    logger
  })
  const metricsApp =
    config.METRICS_PORT === undefined
      ? null
      : buildMetricsApp({ register, requestTimeoutMs: config.REQUEST_TIMEOUT_MS, logger })

  const background = createBackground({
    db: everyone,
    metrics,
    buckets,
    holder: instance,
    snapshots,
    eventTypes,
    snapshotMaxAgeDays: config.SNAPSHOT_MAX_AGE_DAYS,
    audit,
    auditMaxAgeDays: config.AUDIT_MAX_AGE_DAYS,
    archivePolicy,
    onError
  })

  const projecting = createProjecting({
    db: everyone,
    metrics,
    tracer,
    buckets,
    holder: instance,
    eventTypes,
    projections: PROJECTIONS,
    runLong: (statement, signal) => runLong(databaseUrl, statement, signal),
    onError
  })

  const delivery = createDelivery({
    db: everyone,
    metrics,
    tracer,
    eventTypes,
    buckets,
    holder: instance,
    openSink: (sink) => openSink(sink, config),
    onError,
    onTrouble(subscription) {
      // Not why: what a receiver answered can hold the events that it got.
      if (logger) logger.warn({ subscription }, 'delivery failed; GET /admin/subscriptions tells why')
    }
  })

  return {
    app,
    instance,
    authentication: access.mode,
    metricsApp,
    start() {
      background.start()
      projecting.start()
      delivery.start()
    },
    async stop() {
      health.leave()
      await app.close()
      await tail.close()
      await queue.close()
      await Promise.all([background.stop(), projecting.stop(), delivery.stop()])
      await tracer.close()
      await metricsApp?.close()
      shared?.cache.close()
      shared?.counter.close()
      await access.close()
      await db.close()
    }
  }
}

/** Pieces of work of one tenant that may wait for their turn, and how long, ms. */
const WAITING_MAX = 1000
const TURN_WAIT_MS = 5000

/** Replays that are not cached. */
const replaySlots = (poolMax: number): FairSlotsOptions => ({
  what: 'replays',
  slots: poolMax,
  share: Math.ceil(poolMax / 10),
  waitingMax: WAITING_MAX,
  waitMs: TURN_WAIT_MS
})
