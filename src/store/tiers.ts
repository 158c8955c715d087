/**
 * Reads of whole events wherever they are: in user_events, or, the first part of a user's stream, in the archive
 * (0009_archive.sql). Every read asks user_events first. What it does not find there stands in the archive by then, so that
 * asking the archive second misses nothing; what moved in between comes twice and is taken once.
 */
import { and, asc, desc, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { userEventsArchive, userEventsOffline } from '../db/archive-tables.js'
import type { Db } from '../db/client.js'
import { userEvents } from '../db/tables.js'
import { DomainError } from '../domain/errors.js'
import type { StoredEvent } from '../domain/event.js'

/** What conditions may speak of: the columns that events have in every tier. */
export type EventColumns = Record<
  'bucket' | 'position' | 'id' | 'aggregateId' | 'version' | 'eventType' | 'tenantId' | 'createdAt',
  PgColumn
>

export type EventQuery = {
  /** The conditions, for the table at hand. */
  where: (event: EventColumns) => (SQL | undefined)[]
  order: 'position' | 'version'
  direction: 'forward' | 'backward'
  limit: number
  /** whether events of the archive say that they are */
  includeSource?: boolean | undefined
}

const SHOWN = [
  ...(['id', 'aggregateId', 'tenantId', 'position', 'version', 'eventType', 'schemaVersion'] as const),
  ...(['eventData', 'metadata', 'occurredAt', 'createdAt'] as const)
]
type Shown = (typeof SHOWN)[number]

/** What every read of whole events selects, from a table or from a subquery that selects it. */
export const shownColumns = <T extends Record<Shown, unknown>>(from: T): Pick<T, Shown> =>
  Object.fromEntries(SHOWN.map((name) => [name, from[name]])) as Pick<T, Shown>

const sorted = ({ order, direction }: EventQuery, table: EventColumns): SQL =>
  direction === 'forward' ? asc(table[order]) : desc(table[order])

/** The events in user_events that pass, in order. */
export async function selectKept(db: Db, query: EventQuery): Promise<StoredEvent[]> {
  return await db.orm
    .select(shownColumns(userEvents))
    .from(userEvents)
    .where(and(...query.where(userEvents)))
    .orderBy(sorted(query, userEvents))
    .limit(query.limit)
}

/** What the archive has, and the first event that passes of a partition that is offline. */
type Archived = { events: StoredEvent[]; missing: { place: number; partition: string } | null }

/** The events in the archive that pass, in order. One statement: whatever goes offline, or comes back, is seen on one side. */
async function selectArchived(db: Db, query: EventQuery): Promise<Archived> {
  const { order, direction } = query
  const archived = db.orm
    .select(shownColumns(userEventsArchive))
    .from(userEventsArchive)
    .where(and(...query.where(userEventsArchive)))
    .orderBy(sorted(query, userEventsArchive))
    .limit(query.limit)
    .as('archived')
  const offline = db.orm
    .select({
      place: sql<number>`${userEventsOffline[query.order]}`.mapWith(Number).as('place'),
      partition: userEventsOffline.partition
    })
    .from(userEventsOffline)
    .where(and(...query.where(userEventsOffline)))
    .orderBy(sorted(query, userEventsOffline))
    .limit(1)
    .as('offline')
  const rows = await db.orm
    .select({ offline: { place: offline.place, partition: offline.partition }, event: shownColumns(archived) })
    .from(sql`(SELECT) AS one`)
    .leftJoin(offline, sql`true`)
    .leftJoin(archived, sql`true`)
    .orderBy(direction === 'forward' ? asc(archived[order]) : desc(archived[order]))
  const events = rows.flatMap(({ event }): StoredEvent[] => {
    if (!event) return []
    return [query.includeSource ? { ...event, archived: true } : event]
  })
  return { events, missing: rows[0]!.offline }
}

/**
 * `kept`, which `selectKept` found, together with what the archive has: every event once, in order, at most `query.limit`.
 * `query` may be narrower than the one before, to spare the archive. Throws ARCHIVE_OFFLINE if one of them is offline.
 */
export async function withArchived(db: Db, query: EventQuery, kept: readonly StoredEvent[]): Promise<StoredEvent[]> {
  const { events, missing } = await selectArchived(db, query)
  const twice = new Set(events.map(({ id, aggregateId }) => `${aggregateId}/${id}`))
  const page = [...kept.filter(({ id, aggregateId }) => !twice.has(`${aggregateId}/${id}`)), ...events]
    .sort((a, b) => (isBefore(query, a[query.order], b[query.order]) ? -1 : 1))
    .slice(0, query.limit)
  const last = page.at(-1)
  if (missing && (page.length < query.limit || isBefore(query, missing.place, last![query.order])))
    throw archiveOffline(missing.partition)
  return page
}

const isBefore = ({ direction }: EventQuery, a: number, b: number): boolean => (direction === 'forward' ? a < b : a > b)

const archiveOffline = (partition: string): DomainError =>
  new DomainError(
    'ARCHIVE_OFFLINE',
    `The answer needs events of ${partition}, which is offline. Restore it (user-events archive restore --partition ${partition}), or ask for less.`,
    { partition }
  )

/** Throws ARCHIVE_OFFLINE if an event `e` of a bucket ($1) for which `where` is true is in a partition that is offline. */
export async function assertOnline(db: Db, where: string, params: readonly (string | number)[]): Promise<void> {
  const [offline] = await db.query<{ partition: string }>(
    `SELECT e.partition FROM user_events_offline e WHERE e.bucket = $1::smallint AND ${where} LIMIT 1`,
    params,
    { repeatable: true }
  )
  if (offline) throw archiveOffline(offline.partition)
}

/** Of a user, the first version that is in user_events; all before it are in the archive. Null without a user. */
export async function selectFirstKept(db: Db, bucket: number, userId: string): Promise<number | null> {
  const [row] = await db.query<{ first: number | null }>(
    'SELECT first_kept_version($1::smallint, $2::uuid) AS first',
    [bucket, userId],
    { repeatable: true }
  )
  return row!.first
}
