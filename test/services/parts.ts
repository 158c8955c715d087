/** The services on a database of their own, without HTTP, and ways to put things into it that no service would make. */
import { randomUUID } from 'node:crypto'
import { Registry } from 'prom-client'
import type { Test } from 'tap'
import type { Db } from '../../src/db/client.js'
import { bucketOf } from '../../src/domain/bucket.js'
import type { Catalog } from '../../src/domain/catalog.js'
import { DEFAULT_TENANT, type FoldEvent, type StreamKey } from '../../src/domain/event.js'
import { createMetrics } from '../../src/observe/metrics.js'
import { createAppendQueue } from '../../src/services/append-queue.js'
import { createEventTypeService, type EventTypeService } from '../../src/services/event-types.js'
import { createEventService, type EventService } from '../../src/services/events.js'
import { createFairSlots } from '../../src/services/fair-slots.js'
import { createFollow } from '../../src/services/follow.js'
import { createReplayService, type ReplayService } from '../../src/services/replay.js'
import { createSnapshotService, type SnapshotPolicy, type SnapshotService } from '../../src/services/snapshots.js'
import { createStateCache } from '../../src/services/state-cache.js'
import { createStatisticsService, type StatisticsService } from '../../src/services/statistics.js'
import { createTailReader } from '../../src/services/tail-reader.js'
import { selectStoreGauges } from '../../src/store/statistics.js'
import { type TestDatabase, testDb } from '../support/db.js'
import { emptyGauges } from '../support/gauges.js'

export type Parts = {
  db: Db
  database: TestDatabase
  catalog: Catalog
  eventTypes: EventTypeService
  register: Registry
  events: EventService
  replay: ReplayService
  snapshots: SnapshotService
  statistics: StatisticsService
  /** Stores events as they are, after those that are there. */
  seed(key: StreamKey, events: readonly FoldEvent[]): Promise<void>
  /** Stores a snapshot as it is. */
  putSnapshot(key: StreamKey, snapshot: RawSnapshot): Promise<void>
  /** why users could not be folded in the background */
  unfoldable: unknown[]
  /** Value of a counter with these labels. */
  counted(name: string, labels: Record<string, string>): Promise<number>
}

export type RawSnapshot = { version: number; state: unknown; fingerprint?: string; createdAt?: string }

export const newKey = (tenantId = DEFAULT_TENANT): StreamKey => ({ tenantId, userId: randomUUID() })

export async function testParts(
  t: Test,
  { buckets = 1, policy = {} }: { buckets?: number; policy?: Partial<SnapshotPolicy> } = {}
): Promise<Parts> {
  const { db, database } = await testDb(t)
  const eventTypes = createEventTypeService({
    db,
    onPatchFailed: (eventType, patch) => metrics.patchFailed(eventType, patch)
  })
  const catalog = eventTypes.of(DEFAULT_TENANT)
  const register = new Registry()
  const metrics = createMetrics({
    register,
    ...emptyGauges,
    topAggregates: 10,
    topTenants: 10,
    storeGauges: () => selectStoreGauges(db, buckets, 10),
    onError: (err) => t.fail('the store answers', { err })
  })
  const unfoldable: unknown[] = []
  const cache = createStateCache({
    usersMax: 100,
    bytesMax: 10_000_000,
    shared: null,
    metrics
  })
  const replay = createReplayService({
    db,
    eventTypes,
    metrics,
    buckets,
    cache,
    tails: createTailReader({ db, buckets }),
    turns: createFairSlots({ what: 'replays', slots: 4, share: 1, waitingMax: 100, waitMs: 5000 })
  })
  const snapshots = createSnapshotService({
    db,
    replay,
    eventTypes,
    metrics,
    buckets,
    policy: { threshold: 100, retain: 5, maxAgeDays: 90, ...policy },
    onUnfoldable: (err) => unfoldable.push(err)
  })
  const queue = createAppendQueue({ db })
  t.teardown(() => queue.close())
  const events = createEventService({
    db,
    queue,
    eventTypes,
    metrics,
    buckets,
    eventBytesMax: 65_536,
    onStored: () => {}
  })
  const follow = createFollow({ db, projection: 'users', buckets, waitMs: 5000 })
  return {
    db,
    database,
    catalog,
    eventTypes,
    register,
    events,
    replay,
    snapshots,
    statistics: createStatisticsService({ db, follow, buckets }),
    unfoldable,
    async seed(key, events) {
      await db.query(SEED, [bucketOf(key.userId, buckets), key.userId, key.tenantId, JSON.stringify(events)])
    },
    async putSnapshot(
      key,
      { version, state, fingerprint = catalog.fingerprint, createdAt = new Date().toISOString() }
    ) {
      await db.query(PUT_SNAPSHOT, [
        bucketOf(key.userId, buckets),
        key.userId,
        key.tenantId,
        version,
        JSON.stringify(state),
        fingerprint,
        createdAt
      ])
    },
    async counted(name, labels) {
      const { values } = await register.getSingleMetric(name)!.get()
      const matching = values.filter((value) =>
        Object.entries(labels).every(([label, text]) => value.labels[label] === text)
      )
      return matching.reduce((sum, { value }) => sum + value, 0)
    }
  }
}

const SEED = `
  INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
  SELECT $1::smallint, last.position + row_number() OVER (ORDER BY e.version), gen_random_uuid(), $2::uuid, e.version, e."eventType",
         e."schemaVersion", e."eventData", $3::uuid, e."createdAt"
  FROM jsonb_to_recordset($4::text::jsonb)
         AS e(version integer, "eventType" text, "schemaVersion" smallint, "eventData" jsonb, "createdAt" timestamptz),
       (SELECT coalesce(max(position), 0) AS position FROM user_events WHERE bucket = $1::smallint) last`

const PUT_SNAPSHOT = `
  INSERT INTO user_snapshots (id, bucket, "aggregateId", "tenantId", version, state, fingerprint, metadata, "createdAt")
  VALUES (gen_random_uuid(), $1::smallint, $2::uuid, $3::uuid, $4::integer, $5::text::jsonb, $6::text,
          '{"reason": "manual", "eventCount": 1, "snapshotSize": 100, "createdBy": "test"}', $7::text::timestamptz)`

/** UserCreated and then logins: after version n the state says n - 1 logins. One event each ms. */
export const logins = (count: number, from = 1): FoldEvent[] =>
  Array.from({ length: count }, (_, i) => {
    const version = from + i
    const login = { ipAddress: '203.0.113.7', loginAt: '2026-01-01T00:00:00.000Z' }
    return {
      version,
      eventType: version === 1 ? 'UserCreated' : 'LoginInfoUpdated',
      schemaVersion: 1,
      eventData: version === 1 ? { username: 'ada', email: 'ada@example.com' } : login,
      createdAt: new Date(Date.UTC(2026, 0, 1) + version).toISOString()
    }
  })
