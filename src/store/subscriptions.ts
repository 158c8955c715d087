/** Subscriptions: what they are, how far they got, and what the functions of 0004_delivery.sql change about them. */
import { asc } from 'drizzle-orm'
import { ALL_TENANTS } from '../db/as-tenants.js'
import type { Db } from '../db/client.js'
import { subscriptions } from '../db/delivery-tables.js'
import type { SubscriptionDefinition, SubscriptionState } from '../domain/subscription.js'

export type Subscription = {
  id: string
  /** whose events it delivers; null: every tenant's */
  tenantId: string | null
  name: string
  definition: SubscriptionDefinition
  state: SubscriptionState
  lastError: string | null
  stateSince: string
  createdAt: string
}

export type Progress = { bucket: number; position: number; head: number }

/** Owed events of a status are counted up to this number: to count a million takes as long as to read them. */
export const OWED_COUNTED_MAX = 10_000

/** Numbers about a subscription at one moment. */
export type SubscriptionNumbers = {
  id: string
  /** events of the log that it has not passed yet */
  lagEvents: number
  /** age of the oldest of them; 0 when there is none */
  lagSeconds: number
  /** up to OWED_COUNTED_MAX */
  pending: number
  /** up to OWED_COUNTED_MAX */
  dead: number
  /** users of whom one of those counted is owed */
  blockedUsers: number
}

/** The name of the worker whose lease says who relays, and of the one who sends again what is owed. */
export const relayWorker = (id: string): string => `subscription/${id}`
export const retryWorker = (id: string): string => `subscription/${id}/retry`

/** All subscriptions of all tenants, the oldest first. */
export async function selectSubscriptions(db: Db): Promise<Subscription[]> {
  return (await db.orm
    .select()
    .from(subscriptions)
    .orderBy(asc(subscriptions.createdAt), asc(subscriptions.id))) as Subscription[]
}

/** The subscription of this name in a scope (null: the one of all tenants), or undefined. */
export async function selectSubscription(
  db: Db,
  tenantId: string | null,
  name: string
): Promise<Subscription | undefined> {
  const acting = db.as(tenantId ?? ALL_TENANTS)
  const [row] = await acting.query<Subscription & { definition: string }>(
    `SELECT id, "tenantId", name, definition, state, "lastError", "stateSince", "createdAt" FROM subscriptions_of_tenants()
     WHERE "tenantId" IS NOT DISTINCT FROM $1::uuid AND name = $2 LIMIT 1`,
    [tenantId, name],
    { repeatable: true }
  )
  if (!row) return undefined
  const instant = (text: string) => new Date(text).toISOString()
  const definition = JSON.parse(row.definition) as SubscriptionDefinition
  return { ...row, definition, stateSince: instant(row.stateSince), createdAt: instant(row.createdAt) }
}

export type CreateOutcome = 'created' | 'same' | 'exists' | 'full'

/** Stores a subscription that starts after position `start`, or (null) with what is appended from now on. */
export async function insertSubscription(
  db: Db,
  subscription: Pick<Subscription, 'id' | 'tenantId' | 'name' | 'definition'>,
  { start, buckets, max }: { start: number | null; buckets: number; max: number }
): Promise<CreateOutcome> {
  const { id, tenantId, name, definition } = subscription
  const [row] = await db.query<{ outcome: CreateOutcome }>(
    'SELECT create_subscription($1::uuid, $2::uuid, $3, $4::text::jsonb, $5::bigint, $6::integer, $7::integer) AS outcome',
    [id, tenantId, name, JSON.stringify(definition), start, buckets, max],
    { repeatable: true }
  )
  return row!.outcome
}

/** Has it start again after `start`, or (null) from now on, and forget what it owes: under another id, `next`. */
export async function resetSubscription(db: Db, id: string, next: string, start: number | null): Promise<void> {
  await db.query('SELECT reset_subscription($1::uuid, $2::uuid, $3::bigint)', [id, next, start], { repeatable: true })
}

/** Removes it with all it had; tells whether it was there. */
export async function deleteSubscription(db: Db, id: string): Promise<boolean> {
  const [row] = await db.query<{ found: boolean }>('SELECT delete_subscription($1::uuid) AS found', [id], {
    repeatable: true
  })
  return row!.found
}

/** Sets the state if the present one is among `from`; tells whether it was. What an operator does. */
export async function updateState(
  db: Db,
  id: string,
  from: readonly SubscriptionState[],
  to: SubscriptionState
): Promise<boolean> {
  const rows = await db.query(
    `UPDATE subscriptions SET state = $2::text, "lastError" = NULL, "stateSince" = date_trunc('milliseconds', clock_timestamp())
     WHERE id = $1::uuid AND state = ANY ($3::text::varchar[]) RETURNING id`,
    [id, to, `{${from.join(',')}}`],
    { repeatable: true }
  )
  return rows.length === 1
}

/** Says how it goes. What a worker does: only the holder of its lease can, and only while nobody paused or stopped it. */
export async function reportState(
  db: Db,
  id: string,
  { name, epoch }: { name: string; epoch: number },
  state: SubscriptionState,
  lastError: string | null
): Promise<void> {
  await db.query(
    `UPDATE subscriptions s SET state = $2::text, "lastError" = $3::text,
       "stateSince" = CASE WHEN s.state = $2::text THEN s."stateSince" ELSE date_trunc('milliseconds', clock_timestamp()) END
     WHERE s.id = $1::uuid AND s.state NOT IN ('paused', 'stopped')
       AND EXISTS (SELECT FROM workers w WHERE w.bucket = 0 AND w.name = $4::text AND w.epoch = $5::bigint)`,
    [id, state, lastError, name, epoch],
    { repeatable: true }
  )
}

/** How far it got in every bucket, and how far it can go. */
export async function selectProgress(db: Db, id: string): Promise<Progress[]> {
  const rows = await db.query<{ bucket: number; position: string; head: string }>(
    `SELECT c.bucket, c.position, coalesce(head.position, 0) AS head
     FROM subscription_checkpoints c LEFT JOIN LATERAL (
       SELECT e.position FROM user_events e WHERE e.bucket = c.bucket ORDER BY e.position DESC LIMIT 1) head ON true
     WHERE c."subscriptionId" = $1::uuid ORDER BY c.bucket`,
    [id],
    { repeatable: true }
  )
  return rows.map(({ bucket, position, head }) => ({ bucket, position: Number(position), head: Number(head) }))
}

/** Numbers about all subscriptions, or about one. */
export async function selectSubscriptionNumbers(db: Db, id: string | null = null): Promise<SubscriptionNumbers[]> {
  const rows = await db.query<Record<keyof SubscriptionNumbers, string>>(
    `SELECT s.id, coalesce(lag.events, 0) AS "lagEvents", coalesce(lag.seconds, 0) AS "lagSeconds",
       owed.pending, owed.dead, owed.users AS "blockedUsers"
     FROM subscriptions s
     LEFT JOIN LATERAL (
       SELECT sum(greatest(head.position - c.position, 0)) AS events,
         greatest(extract(epoch FROM clock_timestamp() - min(next."createdAt")), 0) AS seconds
       FROM subscription_checkpoints c
       LEFT JOIN LATERAL (
         SELECT e.position FROM user_events e WHERE e.bucket = c.bucket ORDER BY e.position DESC LIMIT 1) head ON true
       CROSS JOIN LATERAL recorded_after(c.bucket, c.position) AS next("createdAt")
       WHERE c."subscriptionId" = s.id) lag ON true
     CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE o.status = 'pending') AS pending, count(*) FILTER (WHERE o.status = 'dead') AS dead,
         count(DISTINCT o."aggregateId") AS users
       FROM unnest('{pending,dead}'::varchar[]) AS wanted(status), LATERAL (
         SELECT c.status, c."aggregateId" FROM event_outbox c WHERE c."subscriptionId" = s.id AND c.status = wanted.status
         LIMIT $2::integer) o) owed
     WHERE $1::uuid IS NULL OR s.id = $1::uuid`,
    [id, OWED_COUNTED_MAX],
    { repeatable: true }
  )
  return rows.map((row) => ({
    id: row.id,
    lagEvents: Number(row.lagEvents),
    lagSeconds: Number(row.lagSeconds),
    pending: Number(row.pending),
    dead: Number(row.dead),
    blockedUsers: Number(row.blockedUsers)
  }))
}
