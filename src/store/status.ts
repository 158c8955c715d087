/** What those who follow the log owe, and which transactions others wait for. */
import type { Db } from '../db/client.js'
import { type BlockedUser, type Blocking, type Undelivered, WAITING_S } from '../domain/holdup.js'

/** Of each subscription, by its id, the first event that it owes or gave up: later ones of that user wait for it. */
export async function selectFirstOwed(db: Db): Promise<Map<string, Undelivered>> {
  const of = (status: string): string =>
    `(SELECT o.position, o."aggregateId", o.version, o.attempts, o."lastError" FROM event_outbox o
      WHERE o."subscriptionId" = s.id AND o.status = '${status}' ORDER BY o.position LIMIT 1)`
  const rows = await db.query<Undelivered & { id: string }>(
    `SELECT s.id, first."aggregateId" AS "userId", first.version, first.attempts, coalesce(first."lastError", '') AS error
     FROM subscriptions s
     CROSS JOIN LATERAL (SELECT * FROM (${of('pending')} UNION ALL ${of('dead')}) o ORDER BY o.position LIMIT 1) first`,
    [],
    { repeatable: true }
  )
  return new Map(rows.map(({ id, ...first }) => [id, first]))
}

/** By worker, how many users are parked and who waits longest. */
export async function selectFirstParked(db: Db): Promise<Map<string, { users: number; first: BlockedUser }>> {
  const rows = await db.query<{ worker: string; users: number } & BlockedUser>(
    `SELECT DISTINCT ON (p.worker) p.worker, count(*) OVER (PARTITION BY p.worker)::integer AS users,
       p."aggregateId" AS "userId", p.version, p.error
     FROM projection_parked p ORDER BY p.worker, p."createdAt", p."aggregateId"`,
    [],
    { repeatable: true }
  )
  return new Map(rows.map(({ worker, users, ...first }) => [worker, { users, first }]))
}

/** Transactions for which sessions of this database have waited for at least WAITING_S, the longest wait first. */
export const selectBlocking = (db: Db): Promise<Blocking[]> =>
  db.query<Blocking>(
    'SELECT pid, application, state, "transactionSeconds", waiting, "waitingSeconds" FROM blocking_transactions($1::float8)',
    [WAITING_S],
    { repeatable: true }
  )
