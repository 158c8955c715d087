/** Numbers about a tenant's events and snapshots, exact at the moment of the call, and what the read model says of days. */
import type { Db } from '../db/client.js'
import { type Activity, type ActivitySpan, activityOf, activitySpan } from '../domain/activity.js'
import { selectActivity } from '../store/activity.js'
import {
  type EventStatistics,
  type SnapshotStatistics,
  selectEventStatistics,
  selectSnapshotStatistics
} from '../store/statistics.js'
import type { Follow } from './follow.js'

export type StatisticsService = ReturnType<typeof createStatisticsService>

export type ActivityReport = ActivitySpan & { position: number; intervals: Activity[] }

export function createStatisticsService({ db, follow, buckets }: { db: Db; follow: Follow; buckets: number }) {
  return {
    /**
     * What happened by day, week or month, from the read model. Without `to` through today, without `from` 30 days.
     * Throws RANGE_INVALID, PROJECTION_BEHIND.
     */
    async activity(
      tenantId: string,
      asked: Partial<ActivitySpan>,
      atLeast: number | undefined
    ): Promise<ActivityReport> {
      const span = activitySpan(asked, Date.now())
      await follow.reach(atLeast)
      const { position, ...counts } = await follow.filled(await selectActivity(db, tenantId, span))
      return { ...span, position, intervals: activityOf(span, counts) }
    },

    /** Counts by type, users, first and last event, and the bytes of the whole log with its indexes. */
    events: (tenantId: string): Promise<EventStatistics> => selectEventStatistics(db, tenantId, buckets),

    /** Counts and sizes of snapshots, and the `limit` users with the most of them. */
    snapshots: (tenantId: string, limit: number): Promise<SnapshotStatistics> =>
      selectSnapshotStatistics(db, tenantId, limit)
  }
}
