/** Numbers about the store. Events are counted up to a position in event_statistics; every read adds the tail, so that it is exact. */
import type { Db } from '../db/client.js'

/** Most users that largest_users keeps; METRICS_TOP_AGGREGATES may not exceed it. */
export const LARGEST_USERS_MAX = 1000

export type EventStatistics = {
  totalEvents: number
  totalUsers: number
  eventsByType: Record<string, number>
  oldestEvent: string | null
  newestEvent: string | null
  storageBytes: number
}

/** Counted rows and the events after them, of one tenant ($1) or of all (null). */
const COUNTED_AND_TAIL = `
  SELECT s."eventType", s.events, s.users, s.oldest, s.newest FROM event_statistics s
  WHERE $1::uuid IS NULL OR s."tenantId" = $1::uuid
  UNION ALL
  SELECT u."eventType", u.events, u.users, u.oldest, u.newest
  FROM generate_series(0, $2::integer - 1) AS b(bucket), uncounted_statistics(b.bucket::smallint, $1::uuid) u`

const STORAGE_BYTES = `pg_total_relation_size('user_events') + archive_bytes()`

type TypeRow = {
  eventType: string
  events: string
  users: string
  oldest: string
  newest: string
  storageBytes: string
}

/** Exact numbers of one tenant's events at the moment of the call; storageBytes is of the whole store. */
export async function selectEventStatistics(db: Db, tenantId: string, buckets: number): Promise<EventStatistics> {
  const rows = await db.as(tenantId).query<TypeRow>(
    `SELECT "eventType", sum(events) AS events, sum(users) AS users, min(oldest) AS oldest, max(newest) AS newest, 0 AS "storageBytes"
     FROM (${COUNTED_AND_TAIL}) counts GROUP BY "eventType"
     UNION ALL SELECT '', 0, 0, NULL, NULL, ${STORAGE_BYTES}`,
    [tenantId, buckets],
    { repeatable: true }
  )
  const types = rows.filter(({ eventType }) => eventType !== '').sort((a, b) => Number(b.events) - Number(a.events))
  const instants = (pick: (row: TypeRow) => string) => types.map((row) => new Date(pick(row)).toISOString()).sort()
  return {
    totalEvents: types.reduce((sum, row) => sum + Number(row.events), 0),
    totalUsers: types.reduce((sum, row) => sum + Number(row.users), 0),
    eventsByType: Object.fromEntries(types.map((row) => [row.eventType, Number(row.events)])),
    oldestEvent: instants((row) => row.oldest)[0] ?? null,
    newestEvent: instants((row) => row.newest).at(-1) ?? null,
    storageBytes: Number(rows.find(({ eventType }) => eventType === '')?.storageBytes ?? 0)
  }
}

export type StoreGauges = {
  totalEvents: number
  largestUsers: { aggregateId: string; events: number }[]
  snapshots: number
  storageBytes: number
}

/** Numbers of the whole store for the metrics page: totals, and the `largest` users with the most events, largest first. One statement, so that they fit together. */
export async function selectStoreGauges(db: Db, buckets: number, largest: number): Promise<StoreGauges> {
  const [row] = await db.query<{ events: string; snapshots: string; storageBytes: string; largest: string }>(
    `SELECT coalesce(sum(events), 0) AS events, (SELECT count(*) FROM user_snapshots) AS snapshots, ${STORAGE_BYTES} AS "storageBytes",
       (SELECT coalesce(json_agg(top), '[]') FROM (
          SELECT l."aggregateId", l.events FROM largest_users l ORDER BY l.events DESC, l."aggregateId" LIMIT $3::integer) top) AS largest
     FROM (${COUNTED_AND_TAIL}) counts`,
    [null, buckets, largest],
    { repeatable: true }
  )
  return {
    totalEvents: Number(row!.events),
    largestUsers: JSON.parse(row!.largest) as StoreGauges['largestUsers'],
    snapshots: Number(row!.snapshots),
    storageBytes: Number(row!.storageBytes)
  }
}

export type SnapshotStatistics = {
  totalSnapshots: number
  snapshotsByAggregate: { aggregateId: string; snapshots: number }[]
  averageSnapshotSize: number
  oldestSnapshot: string | null
  newestSnapshot: string | null
}

type SnapshotRow = { total: string; size: string | null; oldest: string | null; newest: string | null }

/** Exact numbers of one tenant's snapshots; the `limit` users with the most, largest first. Sizes are bytes of state as JSON. */
export async function selectSnapshotStatistics(db: Db, tenantId: string, limit: number): Promise<SnapshotStatistics> {
  const acting = db.as(tenantId)
  const [rows, users] = await Promise.all([
    acting.query<SnapshotRow>(
      `SELECT count(*) AS total, avg((metadata->>'snapshotSize')::numeric) AS size, min("createdAt") AS oldest, max("createdAt") AS newest
       FROM user_snapshots WHERE "tenantId" = $1::uuid`,
      [tenantId],
      { repeatable: true }
    ),
    acting.query<{ aggregateId: string; snapshots: number }>(
      `SELECT "aggregateId", count(*)::integer AS snapshots FROM user_snapshots WHERE "tenantId" = $1::uuid
       GROUP BY "aggregateId" ORDER BY snapshots DESC, "aggregateId" LIMIT $2::integer`,
      [tenantId, limit],
      { repeatable: true }
    )
  ])
  const { total, size, oldest, newest } = rows[0]!
  const instant = (text: string | null) => (text === null ? null : new Date(text).toISOString())
  return {
    totalSnapshots: Number(total),
    snapshotsByAggregate: users.map(({ aggregateId, snapshots }) => ({ aggregateId, snapshots })),
    averageSnapshotSize: Number(size ?? 0),
    oldestSnapshot: instant(oldest),
    newestSnapshot: instant(newest)
  }
}

/** Counts up to `limit` more events of a bucket; `counted` is 0 when there are none, null when the lease was lost. */
export async function rollUpStatistics(db: Db, bucket: number, epoch: number, limit: number): Promise<number | null> {
  const [row] = await db.query<{ events: string }>(
    'SELECT events FROM roll_up_statistics($1::smallint, $2::bigint, $3::integer, $4::integer)',
    [bucket, epoch, limit, LARGEST_USERS_MAX]
  )
  return row ? Number(row.events) : null
}
