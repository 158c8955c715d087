/** Numbers about a tenant's events and snapshots, exact at the moment of the call. */
import type { Db } from '../db/client.js'
import {
  type EventStatistics,
  type SnapshotStatistics,
  selectEventStatistics,
  selectSnapshotStatistics
} from '../store/statistics.js'

export type StatisticsService = ReturnType<typeof createStatisticsService>

export function createStatisticsService({ db, buckets }: { db: Db; buckets: number }) {
  return {
    /** Counts by type, users, first and last event, and the bytes of the whole log with its indexes. */
    events: (tenantId: string): Promise<EventStatistics> => selectEventStatistics(db, tenantId, buckets),

    /** Counts and sizes of snapshots, and the `limit` users with the most of them. */
    snapshots: (tenantId: string, limit: number): Promise<SnapshotStatistics> =>
      selectSnapshotStatistics(db, tenantId, limit)
  }
}
