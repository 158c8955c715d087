/** Reads of the log by position, for those who follow it (DESIGN D7). */
import { and, asc, desc, eq, gt, gte, inArray, lt, lte, type SQL, sql } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import type { Db } from '../db/client.js'
import { userEvents } from '../db/tables.js'
import type { StoredEvent } from '../domain/event.js'
import { shownColumns } from './events.js'

export type LogFilter = {
  /** whose events; absent: every tenant's */
  tenantId?: string | undefined
  eventTypes?: readonly string[] | undefined
  userId?: string | undefined
  /** createdAt, inclusive */
  from?: string | undefined
  /** createdAt, exclusive */
  to?: string | undefined
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
  const rows = await db.query<{ position: string | null }>(
    `SELECT (SELECT e.position FROM user_events e WHERE e.bucket = b.bucket::smallint ORDER BY e.position DESC LIMIT 1) AS position
     FROM generate_series(0, $1::integer - 1) AS b(bucket) ORDER BY b.bucket`,
    [buckets],
    { repeatable: true }
  )
  return rows.map(({ position }) => Number(position ?? 0))
}

/**
 * Events of a span of one bucket that pass the filter, by position in the span's direction, at most `limit`.
 * One type is read from the index of types; one user costs what is read of the user's stream, however long span and stream
 * are; all else costs what the span is long.
 */
export async function selectLogSpan(db: Db, span: LogSpan, filter: LogFilter): Promise<StoredEvent[]> {
  const conditions: (SQL | undefined)[] = [
    eq(userEvents.bucket, span.bucket),
    ...(filter.userId === undefined
      ? [gt(userEvents.position, span.after), lte(userEvents.position, span.upTo)]
      : ofUser(span, filter.userId)),
    filter.tenantId === undefined ? undefined : eq(userEvents.tenantId, filter.tenantId),
    filter.eventTypes === undefined ? undefined : inArray(userEvents.eventType, [...filter.eventTypes]),
    filter.from === undefined ? undefined : gte(userEvents.createdAt, filter.from),
    filter.to === undefined ? undefined : lt(userEvents.createdAt, filter.to)
  ]
  const order = filter.userId === undefined ? userEvents.position : userEvents.version
  return await db.orm
    .select(shownColumns)
    .from(userEvents)
    .where(and(...conditions))
    .orderBy(span.direction === 'forward' ? asc(order) : desc(order))
    .limit(span.limit)
}

/** A span of one user's stream, in the versions that its key has: positions of a user go up with them. */
function ofUser({ bucket, after, upTo }: LogSpan, userId: string): SQL[] {
  const versionAt = (position: number) =>
    sql`user_version_at_position(${bucket}::smallint, ${userId}::uuid, ${position}::bigint)`
  return [
    eq(userEvents.aggregateId, userId),
    gt(userEvents.version, versionAt(after)),
    lte(userEvents.version, versionAt(upTo))
  ]
}

/** What stands in one bucket at a position that is asked for, and at its end; null where nothing does. */
export type LogPlace = { head: number; headId: string | null; idAt: string | null }

/** For every bucket, by number, its newest event and the one at the position that `positions` has for it. */
export async function selectPlaces(db: Db, positions: readonly number[]): Promise<LogPlace[]> {
  const rows = await db.query<{ head: string | null; headId: string | null; idAt: string | null }>(
    `SELECT head.position AS head, head.id AS "headId", at.id AS "idAt"
     FROM unnest($1::text::bigint[]) WITH ORDINALITY AS b(position, number)
     LEFT JOIN LATERAL (SELECT e.position, e.id FROM user_events e WHERE e.bucket = (b.number - 1)::smallint
                        ORDER BY e.position DESC LIMIT 1) AS head ON true
     LEFT JOIN user_events AS at ON at.bucket = (b.number - 1)::smallint AND at.position = b.position
     ORDER BY b.number`,
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
  const number = sql`(b.number - 1)::smallint`
  const at = alias(userEvents, 'at')
  const tail = db.orm
    .select(shownColumns)
    .from(userEvents)
    .where(and(sql`${userEvents.bucket} = ${number}`, sql`${userEvents.position} > b.position`))
    .orderBy(asc(userEvents.position))
    .limit(limit)
    .as('tail')
  const { id, aggregateId, tenantId, position, version, eventType, schemaVersion, eventData, metadata } = tail
  const { occurredAt, createdAt } = tail
  return await db.orm
    .select({
      bucket: sql<number>`${number}`.mapWith(Number),
      idAt: at.id,
      event: {
        ...{ id, aggregateId, tenantId, position, version, eventType, schemaVersion, eventData, metadata },
        ...{ occurredAt, createdAt }
      }
    })
    .from(sql`unnest(${`{${positions}}`}::text::bigint[]) WITH ORDINALITY AS b(position, number)`)
    .leftJoin(at, sql`${at.bucket} = ${number} AND ${at.position} = b.position`)
    .leftJoinLateral(tail, sql`true`)
    .orderBy(sql`b.number`, asc(tail.position))
}
