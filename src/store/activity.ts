/** What the projection of users counted by day. */
import type { Db } from '../db/client.js'
import type { ActivityCounts, ActivitySpan } from '../domain/activity.js'
import { positionOf, REFLECTED, type Reflected } from './reflected.js'

/** The counts of a tenant by the intervals of a span, in one statement: counts and position are of one moment. */
export async function selectActivity(
  db: Db,
  tenantId: string,
  { from, to, interval }: ActivitySpan
): Promise<Reflected & ActivityCounts> {
  const [row] = await db.as(tenantId).query<{ position: string | null; events: string; users: string }>(
    `SELECT ${REFLECTED} AS position,
       (SELECT coalesce(json_agg(counted), '[]') FROM (
          SELECT date_trunc($4, day::timestamp)::date AS start, "eventType", sum(events) AS events FROM user_activity_events
          WHERE "tenantId" = $1::uuid AND day >= $2::date AND day < $3::date GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2) counted)::text AS events,
       (SELECT coalesce(json_agg(counted), '[]') FROM (
          SELECT date_trunc($4, day::timestamp)::date AS start, sum(active) AS active, sum(inactive) AS inactive,
                 sum(suspended) AS suspended, sum(deleted) AS deleted, sum(locked) AS locked FROM user_activity_days
          WHERE "tenantId" = $1::uuid AND day < $3::date GROUP BY 1) counted)::text AS users`,
    [tenantId, from, to, interval],
    { repeatable: true }
  )
  return {
    position: positionOf(row!),
    events: JSON.parse(row!.events),
    users: JSON.parse(row!.users)
  }
}
