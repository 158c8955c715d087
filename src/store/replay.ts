/**
 * Reads for folding: only what the reducer needs, in the cheapest form the wire has (one text for many events).
 * Single events are asked for as the first of an order: that leaves the planner one index, also while it knows nothing of the table.
 */
import type { Db } from '../db/client.js'
import type { FoldEvent, JsonObject, StreamKey } from '../domain/event.js'
import { isStateOf } from '../domain/snapshot.js'
import type { User } from '../domain/user.js'

/** Events in one slice: bounds what a replay holds in memory at once. */
export const SLICE_EVENTS = 2000

export type FoldTarget = {
  /** newest version to fold; the newest there is when neither this nor `at` is given */
  version?: number | undefined
  /** newest moment to fold, inclusive */
  at?: string | undefined
  /** fingerprint of usable snapshots; null folds every event */
  fingerprint: string | null
}

export type FoldStart = {
  /** version of the user's newest event; 0 if the tenant has no such user */
  headVersion: number
  /** version to fold up to: the target, at most the head; 0 if the user had no event by then */
  targetVersion: number
  /** newest usable snapshot at or below the target */
  snapshot: { version: number; state: User; asOf: string } | null
  /** a newer snapshot that was not used: of other rules, or with a state that cannot be read */
  ignored: 'stale' | 'broken' | null
  /** the first slice of events after the snapshot */
  events: FoldEvent[]
}

/** The text of one slice: a JSON array of [version, eventType, schemaVersion, createdAt in ms, eventData], or null. */
const SLICE = `SELECT '[' || string_agg(slice.item, ',') || ']' AS events FROM (
    SELECT '[' || e.version || ',"' || e."eventType" || '",' || e."schemaVersion" || ',' ||
           (extract(epoch FROM e."createdAt") * 1000)::bigint || ',' || e."eventData"::text || ']' AS item
    FROM user_events e`

const LOAD = `
  WITH head AS (
    SELECT e.version FROM user_events e
    WHERE e.bucket = $1::smallint AND e."aggregateId" = $2::uuid AND e."tenantId" = $3::uuid
    ORDER BY e.version DESC LIMIT 1
  ), target AS (
    SELECT head.version AS head, CASE
      WHEN $5::text IS NOT NULL THEN user_version_at($1::smallint, $2::uuid, $5::text::timestamptz)
      ELSE least(head.version, coalesce($4::integer, head.version)) END AS version
    FROM head
  ), snapshot AS (
    SELECT s.version, s.state FROM user_snapshots s, target
    WHERE s.bucket = $1::smallint AND s."aggregateId" = $2::uuid AND s.fingerprint = $6::text AND s.version <= target.version
    ORDER BY s.version DESC LIMIT 1
  )
  SELECT target.head, target.version AS target,
    EXISTS (SELECT FROM user_snapshots s
      WHERE s.bucket = $1::smallint AND s."aggregateId" = $2::uuid AND s.fingerprint <> $6::text
        AND s.version > coalesce(snapshot.version, 0) AND s.version <= target.version) AS stale, snapshot.version AS "snapshotVersion", snapshot.state::text AS state,
    (SELECT (extract(epoch FROM e."createdAt") * 1000)::bigint FROM user_events e
     WHERE e.bucket = $1::smallint AND e."aggregateId" = $2::uuid AND e.version >= snapshot.version
     ORDER BY e.version LIMIT 1) AS "snapshotAsOf",
    (${SLICE}
    WHERE e.bucket = $1::smallint AND e."aggregateId" = $2::uuid
      AND e.version > coalesce(snapshot.version, 0) AND e.version <= target.version
    ORDER BY e.version LIMIT $7::integer) slice) AS events
  FROM target LEFT JOIN snapshot ON true`

type LoadRow = {
  head: number
  target: number
  stale: boolean | null
  snapshotVersion: number | null
  state: string | null
  snapshotAsOf: string | null
  events: string | null
}

/** Everything that starts a fold, in one round trip. */
export async function selectFoldStart(db: Db, bucket: number, key: StreamKey, target: FoldTarget): Promise<FoldStart> {
  const [row] = await db.query<LoadRow>(
    LOAD,
    [bucket, key.userId, key.tenantId, target.version ?? null, target.at ?? null, target.fingerprint, SLICE_EVENTS],
    { repeatable: true }
  )
  if (!row) return { headVersion: 0, targetVersion: 0, snapshot: null, ignored: null, events: [] }
  const stored: unknown = row.state === null ? null : JSON.parse(row.state)
  const state = isStateOf(key, stored) ? stored : null
  return {
    headVersion: row.head,
    targetVersion: row.target,
    snapshot: state && { version: row.snapshotVersion!, state, asOf: new Date(Number(row.snapshotAsOf)).toISOString() },
    ignored: row.state !== null && state === null ? 'broken' : row.stale ? 'stale' : null,
    events: parseSlice(row.events)
  }
}

/** Events with `after` < version <= `upTo`, in order, at most SLICE_EVENTS of them. */
export async function selectSlice(
  db: Db,
  bucket: number,
  key: StreamKey,
  after: number,
  upTo: number
): Promise<FoldEvent[]> {
  const [row] = await db.query<{ events: string | null }>(
    `${SLICE}
    WHERE e.bucket = $1::smallint AND e."aggregateId" = $2::uuid AND e.version > $3::integer AND e.version <= $4::integer
    ORDER BY e.version LIMIT $5::integer) slice`,
    [bucket, key.userId, after, upTo, SLICE_EVENTS],
    { repeatable: true }
  )
  return parseSlice(row?.events ?? null)
}

type SliceItem = [version: number, eventType: string, schemaVersion: number, createdAtMs: number, eventData: JsonObject]

function parseSlice(text: string | null): FoldEvent[] {
  if (text === null) return []
  return (JSON.parse(text) as SliceItem[]).map(([version, eventType, schemaVersion, createdAtMs, eventData]) => ({
    version,
    eventType,
    schemaVersion,
    createdAt: new Date(createdAtMs).toISOString(),
    eventData
  }))
}

/** Events of one user in one batch of tails; a longer tail is read on by slices. */
export const TAIL_EVENTS = 200

export type TailRequest = { bucket: number; userId: string /** version that is known */; after: number }

type TailRow = {
  n: string
  version: number
  eventType: string
  schemaVersion: number
  createdAtMs: string
  eventData: string
}

const TAILS = `
  SELECT r.n, e.version, e."eventType", e."schemaVersion", (extract(epoch FROM e."createdAt") * 1000)::bigint AS "createdAtMs", e."eventData"
  FROM unnest($1::text::smallint[], $2::text::uuid[], $3::text::integer[]) WITH ORDINALITY AS r(bucket, "user", after, n)
  CROSS JOIN LATERAL (
    SELECT t.version, t."eventType", t."schemaVersion", t."createdAt", t."eventData" FROM user_events t
    WHERE t.bucket = r.bucket AND t."aggregateId" = r."user" AND t.version > r.after
    ORDER BY t.version LIMIT ${TAIL_EVENTS}
  ) e`

/** What came after the given version of each user, in the order of the requests; at most TAIL_EVENTS of each. One query. */
export async function selectTails(db: Db, requests: readonly TailRequest[]): Promise<FoldEvent[][]> {
  const list = (values: (string | number)[]) => `{${values.join(',')}}`
  const rows = await db.query<TailRow>(
    TAILS,
    [
      list(requests.map(({ bucket }) => bucket)),
      list(requests.map(({ userId }) => userId)),
      list(requests.map(({ after }) => after))
    ],
    { repeatable: true }
  )
  const tails: FoldEvent[][] = requests.map(() => [])
  for (const { n, version, eventType, schemaVersion, createdAtMs, eventData } of rows) {
    const createdAt = new Date(Number(createdAtMs)).toISOString()
    tails[Number(n) - 1]!.push({
      version,
      eventType,
      schemaVersion,
      createdAt,
      eventData: JSON.parse(eventData) as JsonObject
    })
  }
  for (const tail of tails) tail.sort((a, b) => a.version - b.version)
  return tails
}
