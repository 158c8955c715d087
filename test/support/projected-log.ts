/** A log to project, made straight by SQL, and what the database says of who projects it. */
import { createHash } from 'node:crypto'
import { openDb } from '../../src/db/client.js'
import { usersProjection } from '../../src/domain/projections/users.js'
import { type RebuildStart, startRebuild } from '../../src/store/projections.js'
import type { TestDatabase } from './db.js'
import { projectedIn } from './projected.js'

const USERS = 30
const EVENTS = 50
/** Events that moreEvents adds. */
export const CHUNK = USERS * EVENTS

/** The statement that puts EVENTS events of USERS new users into the log, mixed as many clients would: the `chunk`th of them. */
export const moreEvents = (chunk: number): string => `
  INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
  SELECT 0, ${chunk * USERS * EVENTS} + (v - 1) * ${USERS} + u, gen_random_uuid(), md5('${chunk}/' || u)::uuid, v,
    CASE WHEN v = 1 THEN 'UserCreated' WHEN v = ${EVENTS} AND u % 3 = 0 THEN 'UserDeleted' WHEN (v + u) % 4 = 0 THEN 'AccountLocked'
         WHEN (v + u) % 4 = 1 THEN 'UserUpdated' WHEN (v + u) % 4 = 2 THEN 'AccountUnlocked' ELSE 'LoginInfoUpdated' END,
    1,
    CASE WHEN v = 1 THEN format('{"username":"user%s","email":"user%s@example.com"}', u, u)
         WHEN v = ${EVENTS} AND u % 3 = 0 THEN '{"deletedBy":"support"}'
         WHEN (v + u) % 4 = 0 THEN '{"reason":"guessing","loginAttempts":5,"lockedUntil":"2999-01-01T00:00:00.000Z"}'
         WHEN (v + u) % 4 = 1 THEN format('{"fullName":"Name %s","status":"%s"}', v, CASE WHEN v % 3 = 0 THEN 'inactive' ELSE 'active' END)
         WHEN (v + u) % 4 = 2 THEN '{"unlockedBy":"support"}'
         ELSE '{"ipAddress":"203.0.113.7","loginAt":"2026-11-22T08:00:00.000Z"}' END::jsonb,
    md5('tenant' || u % 3)::uuid, '2026-01-01'::timestamptz + ${chunk} * interval '1 day' + v * interval '10 minutes'
  FROM generate_series(1, ${EVENTS}) v, generate_series(1, ${USERS}) u`

/** As if whoever holds the leases had been silent for longer than they last. */
export const expireLeases = ({ run }: TestDatabase) => run(`UPDATE workers SET "leaseUntil" = '-infinity'`)

/** Up to where a worker got; 0 before its first lease. */
export async function positionOf({ run }: TestDatabase, worker: string): Promise<number> {
  const [row] = await run<{ position: string }>(`SELECT position FROM workers WHERE name = '${worker}'`)
  return Number(row?.position ?? 0)
}

/** Which version serves, and the stage of a rebuild. */
export async function statusOf({ run }: TestDatabase) {
  const [row] = await run<{ version: number; stage: string | null; filledAt: string }>(
    'SELECT version, "rebuildStage" AS stage, "filledAt"::text AS "filledAt" FROM projections'
  )
  return row ?? { version: 0, stage: null, filledAt: '' }
}

/** Names all that is projected. */
export const hashOf = async (database: TestDatabase): Promise<string> =>
  createHash('sha256')
    .update(JSON.stringify(await projectedIn(database)))
    .digest('hex')

/** Begins a rebuild as the route does. */
export async function beginRebuild({ url }: TestDatabase): Promise<RebuildStart> {
  const db = openDb(url, { poolMax: 1 })
  try {
    return await startRebuild(db, usersProjection, 0)
  } finally {
    await db.close()
  }
}

export const LIVE = 'projection/users'
export const NEXT = 'projection/users/rebuild'
