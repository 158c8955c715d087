/** Reads of the log by position, for those who follow it (DESIGN D7). */
import { and, asc, eq, gt, gte, inArray, lt, lte, type SQL, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import { ALL_TENANTS } from '../db/as-tenants.js'
import type { Db } from '../db/client.js'
import { userEvents } from '../db/tables.js'
import type { StoredEvent } from '../domain/event.js'
import { type EventColumns, type EventQuery, selectKept, shownColumns, withArchived } from './tiers.js'

export type LogFilter = {
  /** whose events; absent: every tenant's */
  tenantId?: string | undefined
  eventTypes?: readonly string[] | undefined
  userId?: string | undefined
  /** createdAt, inclusive */
  from?: string | undefined
  /** createdAt, exclusive */
  to?: string | undefined
  /** whether events of the archive say that they are */
  includeSource?: boolean | undefined
}

export type LogSpan = {
  bucket: number
  /** exclusive */
  after: number
  /** inclusive */
  upTo: number
  direction: 'forward' | 'backward'
  limit: number
}

/** Last position of every bucket, by number of the bucket; 0 where nothing is stored. */
export async function selectHeads(db: Db, buckets: number): Promise<number[]> {
  const rows = await db.as(ALL_TENANTS).query<{ position: string | null }>(
    `SELECT (SELECT e.position FROM user_events e WHERE e.bucket = b.bucket ORDER BY e.position DESC LIMIT 1) AS position
     FROM generate_series(0, $1::integer - 1) AS b(bucket) ORDER BY b.bucket`,
    [buckets],
    { repeatable: true }
  )
  return rows.map(({ position }) => Number(position ?? 0))
}

/**
 * Events of a span of one bucket that pass the filter, by position in the span's direction, at most `limit`.
 * One type is read from the index of types; one user costs what is read of the user's stream, however long span and stream
 * are; all else costs what the span is long. Throws ARCHIVE_OFFLINE.
 */
export async function selectLogSpan(db: Db, span: LogSpan, filter: LogFilter): Promise<StoredEvent[]> {
  const { direction, limit } = span
  const where = (event: EventColumns): (SQL | undefined)[] => [
    eq(event.bucket, span.bucket),
    ...(filter.userId === undefined
      ? [gt(event.position, span.after), lte(event.position, span.upTo)]
      : ofUser(event, span, filter.userId)),
    filter.tenantId === undefined ? undefined : eq(event.tenantId, filter.tenantId),
    filter.eventTypes === undefined ? undefined : inArray(event.eventType, [...filter.eventTypes]),
    filter.from === undefined ? undefined : gte(event.createdAt, filter.from),
    filter.to === undefined ? undefined : lt(event.createdAt, filter.to)
  ]
  const query: EventQuery = {
    where,
    order: filter.userId === undefined ? 'position' : 'version',
    direction,
    limit,
    includeSource: filter.includeSource
  }
  const acting = db.as(filter.tenantId ?? ALL_TENANTS)
  const kept = await selectKept(acting, query)
  if (isWhole(span, kept)) return kept
  // What lies beyond the last event of a full page is of no use.
  const last = kept.length === limit ? kept.at(-1)!.position : null
  const wanted = last === null ? span : { ...span, ...(direction === 'forward' ? { upTo: last } : { after: last }) }
  const months = await selectArchivedMonths(acting, wanted, filter.userId)
  if (!months) return kept
  // Of the partitions only those of these months are looked at.
  const inMonths = (event: EventColumns) => [
    ...where(event),
    gte(event.createdAt, months.from),
    lt(event.createdAt, months.to)
  ]
  return await withArchived(acting, { ...query, where: inMonths }, kept)
}

/** Whether these are all events of a span, or a full page of its first without a gap: then no archived one is among them. */
function isWhole({ after, upTo, direction, limit }: LogSpan, events: readonly StoredEvent[]): boolean {
  const [first, last] = [events[0]?.position, events.at(-1)?.position]
  if (first === undefined || last === undefined || events.length < Math.min(limit, upTo - after)) return false
  return first === (direction === 'forward' ? after + 1 : upTo) && Math.abs(last - first) === events.length - 1
}

/** When the archived events of a span, or of a user in it, were recorded; null if there are none. */
async function selectArchivedMonths(
  db: Db,
  { bucket, after, upTo }: LogSpan,
  userId: string | undefined
): Promise<{ from: string; to: string } | null> {
  const [row] = await db.query<{ from: string | null; to: string }>(
    `SELECT min(p."from")::text AS "from", max(p."to")::text AS "to" FROM archive_partitions p
     WHERE p.bucket = $1::smallint AND p."firstPosition" <= $3::bigint AND p."lastPosition" > $2::bigint
       AND ($4::uuid IS NULL OR first_kept_version($1::smallint, $4::uuid) > 1 + user_version_until($1::smallint, $4::uuid, NULL, $2::bigint))`,
    [bucket, after, upTo, userId ?? null],
    { repeatable: true }
  )
  return row!.from === null ? null : { from: row!.from, to: row!.to }
}

/** A span of one user's stream, in the versions that its key has: positions of a user go up with them. */
function ofUser(event: EventColumns, { bucket, after, upTo }: LogSpan, userId: string): SQL[] {
  const versionAt = (position: number) =>
    sql`user_version_until(${bucket}::smallint, ${userId}::uuid, NULL, ${position}::bigint)`
  return [eq(event.aggregateId, userId), gt(event.version, versionAt(after)), lte(event.version, versionAt(upTo))]
}

/**
 * Positions, the first of bucket 0, as `b(position, bucket)`: what stands before their array, and behind it. OFFSET has the bucket
 * computed before it is compared: under row-level security no index serves a condition that computes something of another table.
 */
const BUCKETS = [
  '(SELECT p.position, (p.number - 1)::smallint AS bucket FROM unnest(',
  '::text::bigint[]) WITH ORDINALITY AS p(position, number) OFFSET 0) AS b'
]

/** What stands in one bucket at a position that is asked for, and at its end; null where nothing does. */
export type LogPlace = { head: number; headId: string | null; idAt: string | null }

/** For every bucket, by number, its newest event and the one at the position that `positions` has for it. */
export async function selectPlaces(db: Db, positions: readonly number[]): Promise<LogPlace[]> {
  const rows = await db.as(ALL_TENANTS).query<{ head: string | null; headId: string | null; idAt: string | null }>(
    `SELECT head.position AS head, head.id AS "headId", id_at(b.bucket, b.position) AS "idAt"
     FROM ${BUCKETS.join('$1')}
     LEFT JOIN LATERAL (SELECT e.position, e.id FROM user_events e WHERE e.bucket = b.bucket
                        ORDER BY e.position DESC LIMIT 1) AS head ON true
     ORDER BY b.bucket`,
    [`{${positions}}`],
    { repeatable: true }
  )
  return rows.map(({ head, headId, idAt }) => ({ head: Number(head ?? 0), headId, idAt }))
}

/** A row of the end of the log: the id that stands at the position asked from, and an event beyond it, if there is one. */
export type TailRow = { bucket: number; idAt: string | null; event: StoredEvent | null }

/**
 * Of every bucket, by number, at least one row and at most `limit`: what comes after the position that `positions` has for
 * it, in order. One statement however many buckets there are.
 */
export async function selectLogTail(db: Db, positions: readonly number[], limit: number): Promise<TailRow[]> {
  const at = alias(userEvents, 'at')
  const tail = db.orm
    .select(shownColumns(userEvents))
    .from(userEvents)
    .where(and(sql`${userEvents.bucket} = b.bucket`, sql`${userEvents.position} > b.position`))
    .orderBy(asc(userEvents.position))
    .limit(limit)
    .as('tail')
  return await db.orm
    .select({
      bucket: sql<number>`b.bucket`.mapWith(Number),
      idAt: at.id,
      event: shownColumns(tail)
    })
    .from(sql.join(BUCKETS.map(sql.raw), sql`${`{${positions}}`}`))
    .leftJoin(at, sql`${at.bucket} = b.bucket AND ${at.position} = b.position`)
    .leftJoinLateral(tail, sql`true`)
    .orderBy(sql`b.bucket`, asc(tail.position))
}
