/** What projections read of the log, wherever the events are: by position, or one user's by version. */
import type { Db } from '../db/client.js'
import type { JsonObject } from '../domain/event.js'
import { instantOf } from '../domain/formats.js'
import type { ProjectedEvent } from '../domain/projection.js'
import { assertOnline } from './tiers.js'

type EventRow = {
  position: string
  aggregateId: string
  tenantId: string
  version: number
  eventType: string
  schemaVersion: number
  createdAtMs: string
  eventData: string
  traceparent?: string | null
}

const COLUMNS = `e.position, e."aggregateId", e."tenantId", e.version, e."eventType", e."schemaVersion",
  (extract(epoch FROM e."createdAt") * 1000)::bigint AS "createdAtMs", e."eventData"`

/** What is asked for besides, where what is projected is traced. */
const TRACE = `, e.metadata->>'$traceparent' AS traceparent`

const eventOf = (row: EventRow): ProjectedEvent => ({
  position: Number(row.position),
  aggregateId: row.aggregateId,
  tenantId: row.tenantId,
  version: row.version,
  eventType: row.eventType,
  schemaVersion: row.schemaVersion,
  createdAt: instantOf(Number(row.createdAtMs)),
  eventData: JSON.parse(row.eventData) as JsonObject,
  ...(row.traceparent === undefined ? {} : { traceparent: row.traceparent })
})

async function selectOf(
  db: Db,
  table: 'user_events' | 'user_events_archive',
  where: string,
  params: readonly (string | number)[],
  traces = false
): Promise<ProjectedEvent[]> {
  const text = `SELECT ${COLUMNS}${traces ? TRACE : ''} FROM ${table} e WHERE e.bucket = $1::smallint AND ${where}`
  return (await db.query<EventRow>(text, params, { repeatable: true })).map(eventOf)
}

/**
 * The next `limit` events of a bucket after a position, with their traces if asked for; fewer only at the end of the log. Throws if one is missing, as positions have
 * no gaps: ARCHIVE_OFFLINE if it is offline.
 */
export async function selectNextEvents(
  db: Db,
  bucket: number,
  after: number,
  limit: number,
  traces = false
): Promise<ProjectedEvent[]> {
  const next = 'e.position > $2::bigint ORDER BY e.position LIMIT $3::integer'
  const kept = await selectOf(db, 'user_events', next, [bucket, after, limit], traces)
  const last = kept.at(-1)?.position ?? after
  if (last === after + kept.length) return kept
  const archived = await selectOf(
    db,
    'user_events_archive',
    `e.position > $2::bigint AND e.position <= $3::bigint
     AND e."createdAt" >= (SELECT min(p."from") FROM archive_partitions p WHERE p.bucket = $1::smallint AND p."lastPosition" > $2::bigint)
     ORDER BY e.position`,
    [bucket, after, Math.min(after + limit, last)],
    traces
  )
  const byPosition = new Map([...kept, ...archived].map((event) => [event.position, event]))
  const events = [...byPosition.values()].sort((a, b) => a.position - b.position).slice(0, limit)
  if (events.at(-1)!.position === after + events.length) return events
  await assertOnline(db, 'e.position > $2::bigint AND e.position <= $3::bigint', [bucket, after, after + limit])
  throw new Error(`The log has a hole after position ${after} of bucket ${bucket}.`)
}

/** A user's events from a version on, up to a position, at most `limit`. Throws ARCHIVE_OFFLINE. */
export async function selectUserEvents(
  db: Db,
  bucket: number,
  { user, version, upTo }: { user: string; version: number; upTo: number },
  limit: number
): Promise<ProjectedEvent[]> {
  const where = 'e."aggregateId" = $2::uuid AND e.version >= $3::integer AND e.position <= $4::bigint'
  const span = [bucket, user, version, upTo]
  const kept = await selectOf(db, 'user_events', `${where} ORDER BY e.version LIMIT $5::integer`, [...span, limit])
  if (kept[0]?.version === version) return kept
  const archived = await selectOf(
    db,
    'user_events_archive',
    `${where} AND e.version < $6::integer ORDER BY e.version LIMIT $5::integer`,
    [...span, limit, kept[0]?.version ?? 2_147_483_647]
  )
  const events = [...archived, ...kept].slice(0, limit)
  if (events[0]?.version !== version) await assertOnline(db, where, span)
  if (events.some((event, i) => event.version !== version + i))
    throw new Error(`The log has a hole: events of user ${user} after version ${version} are missing.`)
  return events
}
