/** Reads of stored events, one statement each. */
import { and, asc, desc, eq, gt, gte, inArray, lt, lte, type SQL } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { userEvents } from '../db/tables.js'
import type { StoredEvent, StreamKey } from '../domain/event.js'

export type EventFilter = {
  fromVersion?: number | undefined
  /** inclusive */
  toVersion?: number | undefined
  /** createdAt, inclusive */
  from?: string | undefined
  /** createdAt, exclusive */
  to?: string | undefined
  eventTypes?: string[] | undefined
}

export type EventPage = {
  direction: 'forward' | 'backward'
  /** go on after this version, in the given direction */
  after?: number | undefined
  limit: number
}

/** What every read of whole events selects. */
export const shownColumns = {
  id: userEvents.id,
  aggregateId: userEvents.aggregateId,
  tenantId: userEvents.tenantId,
  position: userEvents.position,
  version: userEvents.version,
  eventType: userEvents.eventType,
  schemaVersion: userEvents.schemaVersion,
  eventData: userEvents.eventData,
  metadata: userEvents.metadata,
  occurredAt: userEvents.occurredAt,
  createdAt: userEvents.createdAt
}

/** Version of the user's newest event; 0 if the tenant has no such user. */
export async function selectHeadVersion(db: Db, bucket: number, key: StreamKey): Promise<number> {
  const [head] = await db.orm
    .select({ version: userEvents.version })
    .from(userEvents)
    .where(ofUser(bucket, key))
    .orderBy(desc(userEvents.version))
    .limit(1)
  return head?.version ?? 0
}

/** Events of one user that pass the filter, in the order of the page's direction, at most `page.limit`. */
export async function selectEvents(
  db: Db,
  bucket: number,
  key: StreamKey,
  filter: EventFilter,
  page: EventPage
): Promise<StoredEvent[]> {
  const forward = page.direction === 'forward'
  const conditions: (SQL | undefined)[] = [
    ofUser(bucket, key),
    filter.fromVersion === undefined ? undefined : gte(userEvents.version, filter.fromVersion),
    filter.toVersion === undefined ? undefined : lte(userEvents.version, filter.toVersion),
    filter.from === undefined ? undefined : gte(userEvents.createdAt, filter.from),
    filter.to === undefined ? undefined : lt(userEvents.createdAt, filter.to),
    filter.eventTypes === undefined ? undefined : inArray(userEvents.eventType, filter.eventTypes),
    page.after === undefined
      ? undefined
      : forward
        ? gt(userEvents.version, page.after)
        : lt(userEvents.version, page.after)
  ]
  return await db.orm
    .select(shownColumns)
    .from(userEvents)
    .where(and(...conditions))
    .orderBy(forward ? asc(userEvents.version) : desc(userEvents.version))
    .limit(page.limit)
}

/** The event at one version of a user, or undefined. */
export async function selectEvent(
  db: Db,
  bucket: number,
  key: StreamKey,
  version: number
): Promise<StoredEvent | undefined> {
  const [event] = await db.orm
    .select(shownColumns)
    .from(userEvents)
    .where(and(ofUser(bucket, key), gte(userEvents.version, version)))
    .orderBy(asc(userEvents.version))
    .limit(1)
  return event?.version === version ? event : undefined
}

const ofUser = (bucket: number, { tenantId, userId }: StreamKey): SQL | undefined =>
  and(eq(userEvents.bucket, bucket), eq(userEvents.aggregateId, userId), eq(userEvents.tenantId, tenantId))
