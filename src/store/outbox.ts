/** What subscriptions owe: events that they passed without delivering them (0004_delivery.sql says what is kept true). */
import { and, asc, eq, inArray, sql } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { eventOutbox } from '../db/delivery-tables.js'
import type { StoredEvent } from '../domain/event.js'
import { type EventQuery, selectKept, withArchived } from './tiers.js'

export type OwedStatus = 'pending' | 'dead' | 'discarded'

export type OwedEvent = {
  bucket: number
  position: number
  aggregateId: string
  version: number
  status: OwedStatus
  attempts: number
  nextAttemptAt: string | null
  lastError: string | null
  createdAt: string
}

/** An event that a relay passed; `error` is null when it was not sent, `counts` 0 when the try says nothing about it. */
export type Passed = {
  position: number
  user: string
  version: number
  error: string | null
  delayMs: number
  counts: 0 | 1
}

/** What came of sending an owed event again; `error` is null when it was delivered, `counts` 0 when the try says nothing about it. */
export type Settled = { position: number; user: string; error: string | null; delayMs: number; counts: 0 | 1 }

/** Users among `users` whose next events must wait; dead events make them wait if `wait` says so. */
export async function selectBlockedUsers(
  db: Db,
  bucket: number,
  subscriptionId: string,
  users: readonly string[],
  wait: boolean
): Promise<Set<string>> {
  const rows = await db.query<{ user: string }>(
    // With a LIMIT users are looked up one by one: of EXISTS a plan may make a join with all that is owed.
    `SELECT u.id AS "user" FROM unnest($3::text::uuid[]) AS u(id), LATERAL (
       SELECT FROM event_outbox o
       WHERE o.bucket = $1::smallint AND o."subscriptionId" = $2::uuid AND o."aggregateId" = u.id
         AND (o.status = 'pending' OR ($4::boolean AND o.status = 'dead')) LIMIT 1) owed`,
    [bucket, subscriptionId, `{${users.join(',')}}`, wait],
    { repeatable: true }
  )
  return new Set(rows.map(({ user }) => user))
}

/** Moves the checkpoint and notes what was passed, if `epoch` still holds; tells whether it did. */
export async function recordRelay(
  db: Db,
  at: { bucket: number; subscriptionId: string; epoch: number; position: number },
  owed: readonly Passed[],
  policy: { wait: boolean; maxAttempts: number }
): Promise<boolean> {
  const [row] = await db.query<{ moved: boolean }>(
    'SELECT record_relay($1::smallint, $2::uuid, $3::bigint, $4::bigint, $5::text::jsonb, $6::boolean, $7::integer) AS moved',
    [at.bucket, at.subscriptionId, at.epoch, at.position, JSON.stringify(owed), policy.wait, policy.maxAttempts],
    { repeatable: true }
  )
  return row!.moved
}

/** Notes what came of owed events that were sent again, if `epoch` still holds; tells whether it did. */
export async function settleOwed(
  db: Db,
  at: { bucket: number; subscriptionId: string; epoch: number },
  results: readonly Settled[],
  policy: { wait: boolean; maxAttempts: number }
): Promise<boolean> {
  const [row] = await db.query<{ settled: boolean }>(
    'SELECT settle_owed($1::smallint, $2::uuid, $3::bigint, $4::text::jsonb, $5::boolean, $6::integer) AS settled',
    [at.bucket, at.subscriptionId, at.epoch, JSON.stringify(results), policy.wait, policy.maxAttempts]
  )
  return row!.settled
}

/**
 * Owed events to send now: of each user whose first is due, up to `perUser` of them in order; of at most `users` users. None of
 * a subscription that was deleted or reset.
 */
export async function selectDue(
  db: Db,
  bucket: number,
  subscriptionId: string,
  { users, perUser }: { users: number; perUser: number }
): Promise<{ position: number; attempts: number }[]> {
  const rows = await db.query<{ position: string; attempts: number }>(
    `WITH due AS (
       SELECT d."aggregateId", d.position FROM event_outbox d
       WHERE d.bucket = $1::smallint AND d."subscriptionId" = $2::uuid AND d."nextAttemptAt" <= now()
         AND EXISTS (SELECT FROM subscriptions s WHERE s.id = $2::uuid)
       ORDER BY d."nextAttemptAt" LIMIT $3::integer
     )
     SELECT o.position, o.attempts FROM (SELECT "aggregateId", min(position) AS position FROM due GROUP BY 1) first
     CROSS JOIN LATERAL (
       SELECT e.position, e.attempts FROM event_outbox e
       WHERE e.bucket = $1::smallint AND e."subscriptionId" = $2::uuid AND e."aggregateId" = first."aggregateId"
         AND e.position >= first.position AND e.status = 'pending'
       ORDER BY e.position LIMIT $4::integer) o
     ORDER BY o.position`,
    [bucket, subscriptionId, users, perUser],
    { repeatable: true }
  )
  return rows.map(({ position, attempts }) => ({ position: Number(position), attempts }))
}

/** Events at positions of a bucket, by position. Throws ARCHIVE_OFFLINE. */
export async function selectEventsAt(db: Db, bucket: number, positions: readonly number[]): Promise<StoredEvent[]> {
  const query: EventQuery = {
    where: (event) => [eq(event.bucket, bucket), inArray(event.position, [...positions])],
    order: 'position',
    direction: 'forward',
    limit: positions.length
  }
  const kept = await selectKept(db, query)
  return kept.length === positions.length ? kept : withArchived(db, query, kept)
}

export type OwedFilter = { status: OwedStatus; userId?: string | undefined; version?: number | undefined }

/** A place in the list of owed events. */
export type OwedMark = { position: number; bucket: number }

/** What a subscription owes or gave up, in the order of the log, after a place; at most `limit`. */
export async function selectOwed(
  db: Db,
  subscriptionId: string,
  { status, userId, version }: OwedFilter,
  { after, limit }: { after: OwedMark; limit: number }
): Promise<OwedEvent[]> {
  return (await db.orm
    .select({
      bucket: eventOutbox.bucket,
      position: eventOutbox.position,
      aggregateId: eventOutbox.aggregateId,
      version: eventOutbox.version,
      status: eventOutbox.status,
      attempts: eventOutbox.attempts,
      nextAttemptAt: eventOutbox.nextAttemptAt,
      lastError: eventOutbox.lastError,
      createdAt: eventOutbox.createdAt
    })
    .from(eventOutbox)
    .where(
      and(
        eq(eventOutbox.subscriptionId, subscriptionId),
        eq(eventOutbox.status, status),
        sql`(${eventOutbox.position}, ${eventOutbox.bucket}) > (${after.position}::bigint, ${after.bucket}::smallint)`,
        userId === undefined ? undefined : eq(eventOutbox.aggregateId, userId),
        version === undefined ? undefined : eq(eventOutbox.version, version)
      )
    )
    .orderBy(asc(eventOutbox.position), asc(eventOutbox.bucket))
    .limit(limit)) as OwedEvent[]
}

/** Which owed events an operator means; all that fit the status when nothing is named. */
export type OwedChoice = { userId?: string | undefined; version?: number | undefined }

/** Has dead events, and those that wait for their next try, tried now; at most `limit`. Returns how many there were. */
export async function retryOwed(
  db: Db,
  subscriptionId: string,
  { userId, version }: OwedChoice,
  { limit, wait }: { limit: number; wait: boolean }
): Promise<number> {
  const [row] = await db.query<{ count: number }>(
    'SELECT retry_owed($1::uuid, $2::uuid, $3::integer, $4::integer, $5::boolean) AS count',
    [subscriptionId, userId ?? null, version ?? null, limit, wait]
  )
  return row!.count
}

/** Gives dead events up, and a pending one if its version is named; at most `limit`. Returns how many there were. */
export async function discardOwed(
  db: Db,
  subscriptionId: string,
  { userId, version }: OwedChoice,
  reason: string,
  { limit, wait }: { limit: number; wait: boolean }
): Promise<number> {
  const [row] = await db.query<{ count: number }>(
    'SELECT discard_owed($1::uuid, $2::uuid, $3::integer, $4, $5::integer, $6::boolean) AS count',
    [subscriptionId, userId ?? null, version ?? null, reason, limit, wait]
  )
  return row!.count
}

/** Removes at most `limit` events that are owed by nobody any more; returns how many. */
export async function sweepOwed(db: Db, limit: number): Promise<number> {
  const [row] = await db.query<{ removed: number }>('SELECT sweep_owed($1::integer) AS removed', [limit])
  return row!.removed
}
