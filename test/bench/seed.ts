/** Fills a database fast, straight by SQL and with the numbering that appends would give. The service must not be running on it. */
import { createHash } from 'node:crypto'
import type { Sql } from 'postgres'

/** Events of a user in a filled database. */
export const EVENTS_PER_USER = 20
const CHUNK_USERS = 10_000

const COLUMNS = `bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt"`

/** A user's life: created, then signing in and changing by turns. `v` is the version. */
const TYPE = `CASE WHEN v = 1 THEN 'UserCreated' WHEN v % 2 = 0 THEN 'UserUpdated' ELSE 'LoginInfoUpdated' END`
const DATA = `CASE
  WHEN v = 1 THEN '{"username":"user","email":"user@example.com"}'
  WHEN v % 2 = 0 THEN format('{"fullName":"Name %s","attributes":{"theme":"dark","language":"en"}}', v)
  ELSE '{"ipAddress":"203.0.113.7","loginAt":"2026-11-22T08:00:00.000Z"}' END::jsonb`

/** Adds users with EVENTS_PER_USER events each until the log has at least `events`; `user` of number i has the id `bulkUser(i)`.
 *  `createdAt` is SQL, which may speak of the user's number `u` and the version `v`. */
export async function seedEvents(
  sql: Sql,
  events: number,
  onProgress: (done: number) => void = () => {},
  createdAt = `date_trunc('milliseconds', clock_timestamp())`
): Promise<void> {
  let users = (await lastPosition(sql)) / EVENTS_PER_USER
  while (users * EVENTS_PER_USER < events) {
    const more = Math.min(CHUNK_USERS, Math.ceil(events / EVENTS_PER_USER) - users)
    await sql.unsafe(`
      INSERT INTO user_events (${COLUMNS})
      SELECT 0, ${users * EVENTS_PER_USER} + (u - ${users}) * ${EVENTS_PER_USER} + v, gen_random_uuid(), md5('bulk' || u)::uuid, v, ${TYPE}, 1, ${DATA},
             '00000000-0000-0000-0000-000000000000', ${createdAt}
      FROM generate_series(${users}, ${users + more - 1}) u, generate_series(1, ${EVENTS_PER_USER}) v`)
    users += more
    onProgress(users * EVENTS_PER_USER)
  }
  await sql.unsafe('ANALYZE user_events')
}

/** Fills an empty database with users of EVENTS_PER_USER events each, one event of every user after the other, as many clients would. */
export async function seedInterleaved(sql: Sql, events: number): Promise<void> {
  const users = events / EVENTS_PER_USER
  await sql.unsafe(`
    INSERT INTO user_events (${COLUMNS})
    SELECT 0, (v - 1) * ${users} + u + 1, gen_random_uuid(), md5('bulk' || u)::uuid, v, ${TYPE}, 1, ${DATA},
           '00000000-0000-0000-0000-000000000000', date_trunc('milliseconds', clock_timestamp())
    FROM generate_series(1, ${EVENTS_PER_USER}) v, generate_series(0, ${users - 1}) u`)
  await sql.unsafe('ANALYZE user_events')
}

/** Adds users with `events` events each, one user after the other. */
export async function seedUsers(sql: Sql, userIds: string[], events: number): Promise<void> {
  const from = await lastPosition(sql)
  await sql.unsafe(`
    INSERT INTO user_events (${COLUMNS})
    SELECT 0, ${from} + (n - 1) * ${events} + v, gen_random_uuid(), id, v, ${TYPE}, 1, ${DATA},
           '00000000-0000-0000-0000-000000000000', date_trunc('milliseconds', clock_timestamp())
    FROM unnest('{${userIds.join(',')}}'::uuid[]) WITH ORDINALITY u(id, n), generate_series(1, ${events}) v ORDER BY n, v`)
}

/** Id of the user of number `number` (from 0) that seedEvents made. */
export const bulkUser = (number: number): string =>
  createHash('md5')
    .update(`bulk${number}`)
    .digest('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')

async function lastPosition(sql: Sql): Promise<number> {
  const [row] = await sql.unsafe<{ position: string }[]>(
    'SELECT coalesce(max(position), 0) AS position FROM user_events WHERE bucket = 0'
  )
  return Number(row!.position)
}
