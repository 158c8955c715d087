/** Reads that compare what is counted, and what is kept of unique fields, with the log and the directory. */
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import type { Finding } from '../domain/inspection.js'
import { projectionWorker } from './projections.js'

const LOG = `
  (SELECT bucket, position, version, "aggregateId", "tenantId", "eventType", "createdAt" FROM user_events
   UNION ALL
   SELECT a.bucket, a.position, a.version, a."aggregateId", a."tenantId", a."eventType", a."createdAt" FROM user_events_archive a
   WHERE NOT EXISTS (SELECT FROM user_events e
     WHERE e.bucket = a.bucket AND e."aggregateId" = a."aggregateId" AND e.version = a.version)
   UNION ALL
   SELECT bucket, position, version, "aggregateId", "tenantId", "eventType", "createdAt" FROM user_events_offline)`

/** Each statement sees the counts and the position that they hold for as of one moment. */
const STATISTICS = `
  WITH counted AS (
    SELECT e."tenantId", e."eventType", count(*) AS events, count(*) FILTER (WHERE e.version = 1) AS users
    FROM ${LOG} e JOIN workers w ON w.bucket = e.bucket AND w.name = 'statistics' AND e.position <= w.position
    WHERE e.bucket = $1::smallint GROUP BY 1, 2)
  SELECT "tenantId", "eventType" AS what, concat_ws(' and ', coalesce(s.events, 0), coalesce(s.users, 0)) AS found,
    concat_ws(' and ', coalesce(c.events, 0), coalesce(c.users, 0)) AS right
  FROM counted c FULL JOIN (SELECT * FROM event_statistics WHERE bucket = $1::smallint) s USING ("tenantId", "eventType")
  WHERE (c.events, c.users) IS DISTINCT FROM (s.events, s.users) ORDER BY 1, 2 LIMIT 100`

/** What was not applied of users who were put aside is not counted. */
const ACTIVITY = `
  WITH counted AS (
    SELECT e."tenantId", (e."createdAt" AT TIME ZONE 'UTC')::date AS day, e."eventType", count(*) AS events
    FROM ${LOG} e JOIN workers w ON w.bucket = e.bucket AND w.name = $2 AND e.position <= w.position
    WHERE e.bucket = $1::smallint AND NOT EXISTS (SELECT FROM projection_parked p
      WHERE p.bucket = e.bucket AND p.worker = $2 AND p."aggregateId" = e."aggregateId" AND p.version <= e.version)
    GROUP BY 1, 2, 3)
  SELECT "tenantId", concat_ws(' of ', "eventType", day) AS what, coalesce(s.events, 0)::text AS found, coalesce(c.events, 0)::text AS right
  FROM counted c FULL JOIN (SELECT * FROM user_activity_events WHERE bucket = $1::smallint) s USING ("tenantId", day, "eventType")
  WHERE c.events IS DISTINCT FROM s.events ORDER BY 1, 2 LIMIT 100`

/** Of users by status: what came and went on all days together is what the directory shows. */
const KINDS = ['active', 'inactive', 'suspended', 'deleted']
const USERS_OF_DAYS = `
  SELECT "tenantId", 'users' AS what, to_jsonb(d) - 'tenantId' AS found, to_jsonb(r) - 'tenantId' AS right
  FROM (SELECT "tenantId", ${[...KINDS, 'locked'].map((kind) => `sum(${kind}) AS ${kind}`).join(', ')}
        FROM user_activity_days WHERE bucket = $1::smallint GROUP BY 1) d
  FULL JOIN (SELECT "tenantId", ${KINDS.map((kind) => `count(*) FILTER (WHERE state ->> 'status' = '${kind}') AS ${kind}`).join(', ')},
               count(*) FILTER (WHERE state ->> 'lockedUntil' IS NOT NULL AND state ->> 'status' <> 'deleted') AS locked
             FROM user_read_state WHERE bucket = $1::smallint GROUP BY 1) r USING ("tenantId")
  WHERE to_jsonb(d) IS DISTINCT FROM to_jsonb(r) ORDER BY 1 LIMIT 100`

/** Of two who have the same number either may be the one that is kept, so only the numbers are looked at. */
const LARGEST = `
  SELECT l."aggregateId" AS "userId", l.events AS found, c.events AS right
  FROM largest_users l JOIN workers w ON w.bucket = l.bucket AND w.name = 'statistics'
  CROSS JOIN LATERAL (SELECT coalesce(max(e.version), 0) AS events FROM ${LOG} e
    WHERE e.bucket = l.bucket AND e."aggregateId" = l."aggregateId" AND e.position <= w.position) c
  WHERE l.bucket = $1::smallint AND l.events <> c.events ORDER BY 1 LIMIT 100`

/** Users whose newest events the directory lacks, or who were put aside, are left out: what it shows of them is not the newest. */
const claimsOf = (whose: string): string => `
  WITH shown AS (
    SELECT r."tenantId", r."userId", c.field, c.value
    FROM user_read_model r
    CROSS JOIN LATERAL claims_of('UserCreated', jsonb_build_object('username', r.username, 'email', r.email)) c
    JOIN unique_claims k ON k.field = c.field
    WHERE r.status <> 'deleted' AND c.value IS NOT NULL AND ${whose}),
  held AS (SELECT * FROM user_claims r WHERE ${whose})
  SELECT "userId", field, coalesce(h."tenantId", s."tenantId") AS "tenantId", h.value IS NOT NULL AS kept, s.value IS NOT NULL AS shown
  FROM shown s FULL JOIN held h USING ("userId", field)
  WHERE (s."tenantId", s.value) IS DISTINCT FROM (h."tenantId", h.value)
    AND NOT EXISTS (SELECT FROM workers w JOIN user_events e ON e.bucket = w.bucket AND e.position > w.position
      WHERE w.name = $1 AND e."aggregateId" = "userId")
    AND NOT EXISTS (SELECT FROM projection_parked p WHERE p.worker = $1 AND p."aggregateId" = "userId")
  ORDER BY 1, 2 LIMIT 100`

/** Unique fields of a user, or with null of everybody, that are kept otherwise than the directory shows them. Of use when that is right. */
export async function selectWrongClaims(
  db: Db,
  buckets: number,
  projection: string,
  userId: string | null
): Promise<Finding[]> {
  const worker = projectionWorker(projection, false)
  const [text, values] =
    userId === null ? [claimsOf('true'), [worker]] : [claimsOf('r."userId" = $2::uuid'), [worker, userId]]
  const rows = await db.query<{ userId: string; field: string; tenantId: string; kept: boolean; shown: boolean }>(
    text,
    values,
    { repeatable: true }
  )
  return rows.map(({ kept, shown, field, ...whose }) => ({
    ...whose,
    kind: 'CLAIM_DIFFERS',
    bucket: bucketOf(whose.userId, buckets),
    version: null,
    position: null,
    detail: `Of ${field} ${kept ? (shown ? 'another value is kept, or for another tenant' : 'a value is kept, and the user has none') : 'nothing is kept'}.`
  }))
}

/** Numbers of users by status that are not those of the directory. Of use when that is right. */
export async function selectWrongDays(db: Db, bucket: number): Promise<Finding[]> {
  const rows = await db.query<Wrong>(USERS_OF_DAYS, [bucket], { repeatable: true })
  return rows.map((wrong) => findingOf(bucket, 'Users by status', wrong))
}

/** Counts of events, by type and by day, that are not those of the log; `projection` null leaves the days out. */
export async function selectWrongCounts(db: Db, bucket: number, projection: string | null): Promise<Finding[]> {
  const statistics = await db.query<Wrong>(STATISTICS, [bucket], { repeatable: true })
  const activity =
    projection === null
      ? []
      : await db.query<Wrong>(ACTIVITY, [bucket, projectionWorker(projection, false)], { repeatable: true })
  const largest = await db.query<{ userId: string; found: string; right: string }>(LARGEST, [bucket], {
    repeatable: true
  })
  return [
    ...largest.map(
      ({ userId, found, right }): Finding => ({
        ...NOBODY,
        bucket,
        userId,
        detail: `Events of the largest users: ${found}, expected ${right}.`
      })
    ),
    ...statistics.map((wrong) => findingOf(bucket, 'Events and users by type', wrong)),
    ...activity.map((wrong) => findingOf(bucket, 'Events by day', wrong))
  ]
}

type Wrong = { tenantId: string; what: string; found: string | null; right: string | null }

const NOBODY = { kind: 'COUNTS_DIFFER', userId: null, tenantId: null, version: null, position: null } as const

const findingOf = (bucket: number, of: string, { tenantId, what, found, right }: Wrong): Finding => ({
  ...NOBODY,
  bucket,
  tenantId,
  detail: `${of}: ${found ?? 'none'} of ${what}, expected ${right ?? 'none'}.`
})
