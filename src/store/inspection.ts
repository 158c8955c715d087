/** Reads that go through all that is stored, a page at a time: events of every tier, snapshots and the directory. */
import type { Db } from '../db/client.js'
import type { JsonObject } from '../domain/event.js'
import type { InspectedEvent, InspectedRow, InspectedSnapshot } from '../domain/inspection.js'
import type { Row } from '../domain/projection.js'
import { projectionWorker } from './projections.js'

/** Users of one bucket by their ids: above the one, up to and with the other; null: from the first, to the last. */
export type UserRange = { bucket: number; after: string | null; upTo: string | null }

const FIRST = '00000000-0000-0000-0000-000000000000'
const LAST = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
/** Above every version. */
const PASSED = 2_147_483_647

const EVENTS_PAGE = 1000
const KEPT_PAGE = 200

const EVENT = `e."aggregateId", e.version, e.position, e."tenantId", e."eventType", e."schemaVersion", e."createdAt"`
/** Where a page begins, and the range ends: $1 bucket, $2 and $3 the last user and version seen, $4 the last user of the range. */
const AFTER = `e.bucket = $1::smallint AND (e."aggregateId", e.version) > ($2::uuid, $3::integer) AND e."aggregateId" <= $4::uuid`
const tier = (table: string, data: string): string =>
  `(SELECT ${EVENT}, ${data} AS data FROM ${table} e WHERE ${AFTER} ORDER BY e."aggregateId", e.version LIMIT ${EVENTS_PAGE})`

const EVENTS = `
  SELECT e."aggregateId" AS "userId", e.version, e.position, e."tenantId", e."eventType", e."schemaVersion",
    (extract(epoch FROM e."createdAt") * 1000)::bigint AS "createdAtMs", e.data
  FROM (${tier('user_events', 'e."eventData"::text')} UNION ALL ${tier('user_events_archive', 'e."eventData"::text')}
        UNION ALL ${tier('user_events_offline', 'NULL')}) e
  ORDER BY e."aggregateId", e.version LIMIT ${EVENTS_PAGE}`

type EventRow = Omit<InspectedEvent, 'position' | 'createdAtMs' | 'eventData'> & {
  position: string
  createdAtMs: string
  data: string | null
}

/** All events of these users, by user and version. One that is being moved to the archive comes once. */
export async function* eventsOf(db: Db, { bucket, after, upTo }: UserRange): AsyncGenerator<InspectedEvent> {
  let [user, version] = after === null ? [FIRST, 0] : [after, PASSED]
  for (;;) {
    const rows = await db.query<EventRow>(EVENTS, [bucket, user, version, upTo ?? LAST], { repeatable: true })
    for (const { position, createdAtMs, data, ...rest } of rows) {
      if (rest.userId === user && rest.version === version) continue
      ;({ userId: user, version } = rest)
      const eventData = data === null ? null : (JSON.parse(data) as JsonObject)
      yield { ...rest, position: Number(position), createdAtMs: Number(createdAtMs), eventData }
    }
    if (rows.length < EVENTS_PAGE) return
  }
}

const SNAPSHOTS = `
  SELECT s."aggregateId" AS "userId", s."tenantId", s.version, s.fingerprint, s.state::text AS state, s.id
  FROM user_snapshots s
  WHERE s.bucket = $1::smallint AND (s."aggregateId", s.id) > ($2::uuid, $3::uuid) AND s."aggregateId" <= $4::uuid
  ORDER BY s."aggregateId", s.id LIMIT ${KEPT_PAGE}`

/** All snapshots of these users, by user. */
export async function* snapshotsOf(db: Db, { bucket, after, upTo }: UserRange): AsyncGenerator<InspectedSnapshot> {
  let [user, id] = after === null ? [FIRST, FIRST] : [after, LAST]
  for (;;) {
    const rows = await db.query<Omit<InspectedSnapshot, 'state'> & { state: string; id: string }>(
      SNAPSHOTS,
      [bucket, user, id, upTo ?? LAST],
      { repeatable: true }
    )
    for (const { id: _, state, ...rest } of rows) yield { ...rest, state: JSON.parse(state) }
    if (rows.length < KEPT_PAGE) return
    ;({ userId: user, id } = rows.at(-1)!)
  }
}

const msOf = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::bigint`
const ms = (column: string): string => `'${column}', ${msOf(`"${column}"`)}`
/** Of what both tables have, one value, or one that is never right. */
const twice = (column: string, value = `m."${column}"`): string =>
  `'${column}', CASE WHEN m."${column}" IS NOT DISTINCT FROM s."${column}" THEN to_json(${value}) ELSE '"differs"' END`
const same = (column: string): string => `'${column}', "${column}"`
const COLUMNS = [
  ...['userId', 'username', 'email', 'fullName', 'roleIds', 'state'].map(same),
  ...['lastUpdatedVersion', 'lastPosition'].map(same),
  ...['createdAt', 'deletedAt', 'changedAt'].map(ms),
  ...[twice('tenantId'), twice('status'), twice('lockedUntil', msOf('m."lockedUntil"'))]
]
const kept = (table: string): string =>
  `(SELECT * FROM ${table} r
    WHERE r.bucket = $1::smallint AND r."userId" >= $2::uuid AND (r."userId" > $2::uuid OR $3::boolean) AND r."userId" <= $4::uuid
    ORDER BY r."userId" LIMIT ${KEPT_PAGE})`
/** One of which either table has nothing is as wrong as one that differs. */
const ROWS = `
  SELECT "userId", coalesce("lastUpdatedVersion", 0) AS version, json_build_object(${COLUMNS.join(', ')})::text AS row
  FROM ${kept('user_read_model')} m FULL JOIN ${kept('user_read_state')} s USING (bucket, "userId")
  ORDER BY "userId" LIMIT ${KEPT_PAGE}`

/** The rows of the directory of these users, by user. */
export async function* directoryOf(db: Db, { bucket, after, upTo }: UserRange): AsyncGenerator<InspectedRow> {
  for (let last = after; ; ) {
    const rows = await db.query<{ userId: string; version: number; row: string }>(
      ROWS,
      [bucket, last ?? FIRST, last === null, upTo ?? LAST],
      { repeatable: true }
    )
    for (const { userId, version, row } of rows) yield { userId, version, row: JSON.parse(row) as Row }
    if (rows.length < KEPT_PAGE) return
    last = rows.at(-1)!.userId
  }
}

/** Whose a user is, by the newest event; null without events. */
export async function selectTenantOf(db: Db, bucket: number, userId: string): Promise<string | null> {
  const [row] = await db.query<{ tenantId: string }>(
    'SELECT "tenantId" FROM user_events WHERE bucket = $1::smallint AND "aggregateId" = $2::uuid ORDER BY version DESC LIMIT 1',
    [bucket, userId],
    { repeatable: true }
  )
  return row?.tenantId ?? null
}

/** Whether the directory put the user aside, because an event could not be applied. */
export async function selectIsParked(db: Db, bucket: number, projection: string, userId: string): Promise<boolean> {
  const [row] = await db.query<{ parked: boolean }>(
    `SELECT EXISTS (SELECT FROM projection_parked p
       WHERE p.bucket = $1::smallint AND p.worker = $2 AND p."aggregateId" = $3::uuid) AS parked`,
    [bucket, projectionWorker(projection, false), userId],
    { repeatable: true }
  )
  return row!.parked
}

/** Position up to which a projection holds everything in a bucket; 0 before its first event. */
export async function selectProjectedUpTo(db: Db, bucket: number, projection: string): Promise<number> {
  const [row] = await db.query<{ position: string }>(
    'SELECT position FROM workers WHERE bucket = $1::smallint AND name = $2',
    [bucket, projectionWorker(projection, false)],
    { repeatable: true }
  )
  return Number(row?.position ?? 0)
}

/** Share of a table that a sample of so many rows is, in percent. */
const SAMPLED_ROWS = 20_000

/**
 * At most `count` - 1 users that cut a bucket into ranges of about as many events each, in order. Ids need not be spread evenly, so a
 * sample tells; where there is next to nothing, there is one range.
 */
export async function selectBounds(db: Db, bucket: number, count: number): Promise<string[]> {
  const [size] = await db.query<{ rows: string }>(
    `SELECT greatest(reltuples, 0)::bigint AS rows FROM pg_class WHERE oid = 'user_events'::regclass`
  )
  const percent = Math.min(100, (100 * SAMPLED_ROWS) / Math.max(1, Number(size!.rows)))
  const fractions = Array.from({ length: count - 1 }, (_, i) => (i + 1) / count)
  const rows = await db.query<{ user: string | null }>(
    `SELECT DISTINCT "user" FROM unnest((
       SELECT percentile_disc($3::text::float8[]) WITHIN GROUP (ORDER BY e."aggregateId")
       FROM user_events e TABLESAMPLE SYSTEM ($2::float8) REPEATABLE (1) WHERE e.bucket = $1::smallint)) AS "user"
     ORDER BY 1`,
    [bucket, percent, `{${fractions.join(',')}}`]
  )
  return rows.flatMap(({ user }) => user ?? [])
}

/** Positions of a bucket above the one and up to the other that no event has, as ranges, at most `limit`. */
export async function selectMissingPositions(
  db: Db,
  bucket: number,
  { after, upTo, limit }: { after: number; upTo: number; limit: number }
): Promise<{ from: number; to: number }[]> {
  const of = (table: string): string =>
    `SELECT position FROM ${table} WHERE bucket = $1::smallint AND position > $2::bigint AND position <= $3::bigint`
  const rows = await db.query<{ from: string; to: string }>(
    `WITH present AS (${['user_events', 'user_events_archive', 'user_events_offline'].map(of).join(' UNION ALL ')}),
       steps AS (SELECT position, lag(position, 1, $2::bigint) OVER (ORDER BY position) AS before
         FROM (SELECT position FROM present UNION ALL SELECT $3::bigint + 1) p)
     SELECT before + 1 AS "from", position - 1 AS "to" FROM steps WHERE position > before + 1 ORDER BY 1 LIMIT $4::integer`,
    [bucket, after, upTo, limit],
    { repeatable: true }
  )
  return rows.map(({ from, to }) => ({ from: Number(from), to: Number(to) }))
}

/** Who has followed the log of a bucket further than it goes, and how far; null: nobody. */
export async function selectAhead(
  db: Db,
  bucket: number
): Promise<{ followers: string; position: number; head: number } | null> {
  const [row] = await db.query<{ followers: string | null; position: string; head: string }>(
    `SELECT string_agg(w.name, ', ' ORDER BY w.name) AS followers, max(w.position) AS position, max(h.head) AS head
     FROM workers w, (SELECT coalesce(max(position), 0) AS head FROM user_events WHERE bucket = $1::smallint) h
     WHERE w.bucket = $1::smallint AND w.position > h.head`,
    [bucket],
    { repeatable: true }
  )
  const { followers, position, head } = row!
  return followers === null ? null : { followers, position: Number(position), head: Number(head) }
}
