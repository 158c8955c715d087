/** Reads of stored events, one statement each. */
import { and, desc, eq, gt, gte, inArray, lt, lte, type SQL } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { userEvents } from '../db/tables.js'
import type { StoredEvent, StreamKey } from '../domain/event.js'
import { type EventColumns, type EventQuery, selectFirstKept, selectKept, withArchived } from './tiers.js'

export type EventFilter = {
  fromVersion?: number | undefined
  /** inclusive */
  toVersion?: number | undefined
  /** createdAt, inclusive */
  from?: string | undefined
  /** createdAt, exclusive */
  to?: string | undefined
  eventTypes?: string[] | undefined
  /** whether events of the archive say that they are */
  includeSource?: boolean | undefined
}

export type EventPage = {
  direction: 'forward' | 'backward'
  /** go on after this version, in the given direction */
  after?: number | undefined
  limit: number
}

/** Version of the user's newest event; 0 if the tenant has no such user. */
export async function selectHeadVersion(db: Db, bucket: number, key: StreamKey): Promise<number> {
  const { orm } = db.as(key.tenantId)
  const [head] = await orm
    .select({ version: userEvents.version })
    .from(userEvents)
    .where(ofUser(userEvents, bucket, key))
    .orderBy(desc(userEvents.version))
    .limit(1)
  return head?.version ?? 0
}

/** Events of one user that pass the filter, in the order of the page's direction, at most `page.limit`. Throws ARCHIVE_OFFLINE. */
export async function selectEvents(
  db: Db,
  bucket: number,
  key: StreamKey,
  filter: EventFilter,
  page: EventPage
): Promise<StoredEvent[]> {
  const { direction, after, limit } = page
  const forward = direction === 'forward'
  const query: EventQuery = {
    order: 'version',
    direction,
    limit,
    includeSource: filter.includeSource,
    where: (event) => [
      ofUser(event, bucket, key),
      filter.fromVersion === undefined ? undefined : gte(event.version, filter.fromVersion),
      filter.toVersion === undefined ? undefined : lte(event.version, filter.toVersion),
      filter.from === undefined ? undefined : gte(event.createdAt, filter.from),
      filter.to === undefined ? undefined : lt(event.createdAt, filter.to),
      filter.eventTypes === undefined ? undefined : inArray(event.eventType, filter.eventTypes),
      after === undefined ? undefined : forward ? gt(event.version, after) : lt(event.version, after)
    ]
  }
  const acting = db.as(key.tenantId)
  const kept = await selectKept(acting, query)
  const lowest = Math.max((forward && after !== undefined ? after : 0) + 1, filter.fromVersion ?? 1)
  if (forward ? kept[0]?.version === lowest : kept.length === limit) return kept
  const first = await selectFirstKept(acting, bucket, key.userId)
  if (first === null || first <= lowest) return kept
  return await withArchived(acting, query, kept)
}

/** The event at one version of a user, or undefined. Throws ARCHIVE_OFFLINE. */
export async function selectEvent(
  db: Db,
  bucket: number,
  key: StreamKey,
  version: number,
  includeSource = false
): Promise<StoredEvent | undefined> {
  const query: EventQuery = {
    order: 'version',
    direction: 'forward',
    limit: 1,
    includeSource,
    where: (event) => [ofUser(event, bucket, key), gte(event.version, version)]
  }
  const acting = db.as(key.tenantId)
  const [kept] = await selectKept(acting, query)
  if (!kept || kept.version === version) return kept
  const where = (event: EventColumns) => [ofUser(event, bucket, key), eq(event.version, version)]
  return (await withArchived(acting, { ...query, where }, []))[0]
}

const ofUser = (event: EventColumns, bucket: number, { tenantId, userId }: StreamKey): SQL | undefined =>
  and(eq(event.bucket, bucket), eq(event.aggregateId, userId), eq(event.tenantId, tenantId))
