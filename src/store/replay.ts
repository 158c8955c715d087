/**
 * Reads for folding: only what the reducer needs, in the cheapest form the wire has (one text for many events).
 * Single events are asked for as the first of an order: that leaves the planner one index, also while it knows nothing of the table.
 */
import type { Db } from '../db/client.js'
import type { FoldEvent, JsonObject, StreamKey } from '../domain/event.js'
import { instantOf } from '../domain/formats.js'
import { isStateOf, type User } from '../domain/user.js'
import { assertOnline } from './tiers.js'

/** Events in one slice: bounds what a replay holds in memory at once. */
export const SLICE_EVENTS = 1000

/** Events in the first one, which tells how many there are: nothing else goes on meanwhile, so it is soon read. */
export const FIRST_SLICE_EVENTS = 200

/** Above every version: the end of a span that goes on to the newest event. */
export const NO_END = 2_147_483_647

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

/**
 * One slice as one row: for each kind of value a text of all its events. Versions need not be told one by one, since a
 * user's have no gaps, and anything joined in the database copies all that came before it.
 */
const sliceOf = (
  table: 'user_events' | 'user_events_archive'
): string => `SELECT min(e.version) AS first, max(e.version) AS last, string_agg(e."eventType", ',') AS "eventTypes",
    string_agg(e."schemaVersion"::text, ',') AS "schemaVersions", string_agg(e."createdAtMs"::text, ',') AS "createdAtMs",
    string_agg(e."eventData"::text, ',') AS "eventData"
  FROM (
    SELECT e.version, e."eventType", e."schemaVersion", (date_part('epoch', e."createdAt") * 1000)::bigint AS "createdAtMs", e."eventData"
    FROM ${table} e`

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
  ), start AS MATERIALIZED (
    -- Row-level security lets no computed bound into an index, only one that stands in a row.
    SELECT target.head, target.version AS target, coalesce(snapshot.version, 0) AS after, snapshot.version, snapshot.state
    FROM target LEFT JOIN snapshot ON true
  )
  SELECT start.head, start.target,
    EXISTS (SELECT FROM user_snapshots s
      WHERE s.bucket = $1::smallint AND s."aggregateId" = $2::uuid AND s.fingerprint <> $6::text
        AND s.version > start.after AND s.version <= start.target) AS stale,
    start.version AS "snapshotVersion", start.state::text AS state,
    (SELECT (extract(epoch FROM CASE WHEN e.version = start.version THEN e."createdAt" ELSE
        (SELECT a."createdAt" FROM stored_at_version($1::smallint, $2::uuid, start.version, NULL, NULL, NULL) a) END) * 1000)::bigint
     FROM user_events e
     WHERE e.bucket = $1::smallint AND e."aggregateId" = $2::uuid AND e.version >= start.version
     ORDER BY e.version LIMIT 1) AS "snapshotAsOf",
    slice.*
  FROM start
  CROSS JOIN LATERAL (${sliceOf('user_events')}
    WHERE e.bucket = $1::smallint AND e."aggregateId" = $2::uuid
      AND e.version > start.after AND e.version <= start.target
    ORDER BY e.version LIMIT $7::integer) e) slice`

/** Texts are separated by commas, which no name of a type has; all are null when there is no event. */
type SliceRow = {
  first: number | null
  last: number | null
  eventTypes: string | null
  schemaVersions: string | null
  createdAtMs: string | null
  eventData: string | null
}

type LoadRow = SliceRow & {
  head: number
  target: number
  stale: boolean | null
  snapshotVersion: number | null
  state: string | null
  snapshotAsOf: string | null
}

/** Everything that starts a fold, in one round trip. */
export async function selectFoldStart(db: Db, bucket: number, key: StreamKey, target: FoldTarget): Promise<FoldStart> {
  const acting = db.as(key.tenantId)
  const [row] = await acting.query<LoadRow>(
    LOAD,
    [
      bucket,
      key.userId,
      key.tenantId,
      target.version ?? null,
      target.at ?? null,
      target.fingerprint,
      FIRST_SLICE_EVENTS
    ],
    { repeatable: true }
  )
  if (!row) return { headVersion: 0, targetVersion: 0, snapshot: null, ignored: null, events: [] }
  const stored: unknown = row.state === null ? null : JSON.parse(row.state)
  const state = isStateOf(key, stored) ? stored : null
  const from = row.snapshotVersion ?? 0
  return {
    headVersion: row.head,
    targetVersion: row.target,
    snapshot: state && { version: row.snapshotVersion!, state, asOf: instantOf(Number(row.snapshotAsOf)) },
    ignored: row.state !== null && state === null ? 'broken' : row.stale ? 'stale' : null,
    events: await complete(
      acting,
      bucket,
      key,
      { after: from, upTo: row.target, limit: FIRST_SLICE_EVENTS },
      parseSlice(key, row)
    )
  }
}

/** Versions of a user's stream: after the one, up to the other. */
export type VersionSpan = { after: number; upTo: number }

/** The first events of a span, at most so many. */
type Slice = VersionSpan & { limit: number }

/** The first events of a span, in order, at most SLICE_EVENTS of them. Throws ARCHIVE_OFFLINE. */
export async function selectSlice(db: Db, bucket: number, key: StreamKey, span: VersionSpan): Promise<FoldEvent[]> {
  const acting = db.as(key.tenantId)
  const slice = { ...span, limit: SLICE_EVENTS }
  const row = await selectSliceRow(acting, 'user_events', bucket, key, slice)
  return await complete(acting, bucket, key, slice, parseSlice(key, row))
}

/**
 * `kept`, the first events of a slice that are in user_events, with those that are missing before them: they are in the archive (see
 * tiers.ts). Of a span without an end nothing is missing where there is nothing.
 */
async function complete(
  db: Db,
  bucket: number,
  key: StreamKey,
  { after, upTo, limit }: Slice,
  kept: FoldEvent[]
): Promise<FoldEvent[]> {
  const missing = { after, upTo: kept.length > 0 ? kept[0]!.version - 1 : upTo, limit }
  if (missing.upTo <= after || (kept.length === 0 && upTo === NO_END)) return kept
  const expected = Math.min(limit, missing.upTo - after)
  const row = await selectSliceRow(db, 'user_events_archive', bucket, key, missing)
  if (row.first !== after + 1 || row.last !== after + expected) {
    const where = 'e."aggregateId" = $2::uuid AND e.version > $3::integer AND e.version <= $4::integer'
    await assertOnline(db, where, [bucket, key.userId, after, after + expected])
  }
  const archived = parseSlice(key, row)
  return after + expected === missing.upTo ? [...archived, ...kept].slice(0, limit) : archived
}

async function selectSliceRow(
  db: Db,
  table: 'user_events' | 'user_events_archive',
  bucket: number,
  key: StreamKey,
  { after, upTo, limit }: Slice
): Promise<SliceRow> {
  const [row] = await db.query<SliceRow>(
    `${sliceOf(table)}
    WHERE e.bucket = $1::smallint AND e."aggregateId" = $2::uuid AND e.version > $3::integer AND e.version <= $4::integer
    ORDER BY e.version LIMIT $5::integer) e`,
    [bucket, key.userId, after, upTo, limit],
    { repeatable: true }
  )
  return row!
}

function parseSlice({ userId }: StreamKey, row: SliceRow): FoldEvent[] {
  if (row.first === null) return []
  const eventTypes = row.eventTypes!.split(',')
  const schemaVersions = row.schemaVersions!.split(',')
  const createdAtMs = row.createdAtMs!.split(',')
  const eventData = JSON.parse(`[${row.eventData}]`) as JsonObject[]
  const { first, last } = row
  if (last! - first + 1 !== eventData.length) {
    throw new Error(
      `The events of user ${userId} have a hole: there are ${eventData.length} of the versions ${first} to ${last}.`
    )
  }
  return eventData.map((data, i) => ({
    version: first + i,
    eventType: eventTypes[i]!,
    schemaVersion: Number(schemaVersions[i]),
    createdAt: instantOf(Number(createdAtMs[i])),
    eventData: data
  }))
}

/** Events of one user in one batch of tails; a longer tail is read on by slices. */
export const TAIL_EVENTS = 200

export type TailRequest = { bucket: number; key: StreamKey /** version that is known */; after: number }

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
  const acting = db.as([...new Set(requests.map(({ key }) => key.tenantId))])
  const rows = await acting.query<TailRow>(
    TAILS,
    [
      list(requests.map(({ bucket }) => bucket)),
      list(requests.map(({ key }) => key.userId)),
      list(requests.map(({ after }) => after))
    ],
    { repeatable: true }
  )
  const tails: FoldEvent[][] = requests.map(() => [])
  for (const { n, version, eventType, schemaVersion, createdAtMs, eventData } of rows) {
    const createdAt = instantOf(Number(createdAtMs))
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
