/**
 * What the service reads, by plain SQL and in the cheapest form the wire has: one text for many rows, or COPY. $1 is the
 * user's id. Columns of one row need no names, nor does a driver that reads one text make objects of it.
 */

const OF_USER = `bucket = 0 AND "aggregateId" = $1::uuid`
const SHOWN = `id, "aggregateId", "tenantId", position, version, "eventType", "schemaVersion", "eventData", metadata, "occurredAt", "createdAt"`

/** The version of a user's newest event. */
export const HEAD = `SELECT version FROM user_events WHERE ${OF_USER} ORDER BY version DESC LIMIT 1`

/** The data of a user's first `limit` events, or of all. */
export const dataOf = (limit?: number): string =>
  oneText('"eventData"', `WHERE ${OF_USER} ORDER BY version ${limit === undefined ? '' : `LIMIT ${limit}`}`)

/** A user's newest snapshot and the data of the events after it. */
export const SNAPSHOT_AND_TAIL = `SELECT
  (SELECT state::text FROM user_snapshots WHERE ${OF_USER} ORDER BY version DESC LIMIT 1),
  (${oneText(
    '"eventData"',
    `WHERE ${OF_USER} AND version > coalesce((SELECT max(s.version) FROM user_snapshots s WHERE ${OF_USER}), 0) ORDER BY version`
  )})`

/** All that a page shows of a user's first `limit` events. */
export const pageOf = (limit: number): string => oneText(SHOWN, `WHERE ${OF_USER} ORDER BY version LIMIT ${limit}`)

/** The same of all events of one user, whose id COPY must be told in the text. */
export const copyOf = (userId: string): string =>
  `COPY (SELECT ${SHOWN} FROM user_events WHERE bucket = 0 AND "aggregateId" = '${userId}' ORDER BY version) TO STDOUT`

/** What was counted of all events. */
export const STATISTICS = `SELECT "eventType", events, users, oldest, newest FROM event_statistics`

function oneText(columns: string, rest: string): string {
  return `SELECT string_agg(e::text, ',') FROM (SELECT ${columns} FROM user_events ${rest}) e`
}
