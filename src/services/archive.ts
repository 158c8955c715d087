/** What an operator sees and asks of the archive. */
import type { Db } from '../db/client.js'
import { cutoffOf } from '../domain/archive.js'
import { DomainError } from '../domain/errors.js'
import type { ArchiveGauges } from '../observe/gauges.js'
import {
  type ArchiveRun,
  insertRun,
  type PartitionSummary,
  type StorageSizes,
  selectFollowers,
  selectPartitions,
  selectRuns,
  selectSizes
} from '../store/archive.js'
import { selectHeads } from '../store/log.js'
import type { ArchivePolicy } from './archiver.js'

const RUNS_SHOWN = 20

export type ArchiveView = StorageSizes & {
  afterDays: number
  /** when a run begins by itself; null: never */
  nextRun: string | null
  /** the newest first */
  runs: ArchiveRun[]
  /** the oldest first */
  partitions: PartitionSummary[]
  /** who keeps events from being moved: of each bucket the follower that is the furthest behind its head */
  heldBackBy: { bucket: number; follower: string; position: number; head: number }[]
}

export type ArchiveService = ReturnType<typeof createArchiveService>

export function createArchiveService(parts: { db: Db; buckets: number; policy: ArchivePolicy }) {
  const { db, buckets, policy } = parts

  async function heldBackBy(): Promise<ArchiveView['heldBackBy']> {
    const places = await selectFollowers(db, buckets, policy.followers)
    // Heads second: whoever follows is not ahead of them.
    const heads = await selectHeads(db, buckets)
    return heads.flatMap((head, bucket) => {
      const behind = places.filter((place) => place.bucket === bucket && place.position < head)
      const [last] = behind.sort((a, b) => a.position - b.position)
      return last ? [{ ...last, head }] : []
    })
  }

  return {
    async read(): Promise<ArchiveView> {
      const [sizes, runs, partitions, held] = await Promise.all([
        selectSizes(db, buckets),
        selectRuns(db, RUNS_SHOWN),
        selectPartitions(db),
        heldBackBy()
      ])
      const nextRun = policy.afterDays === 0 ? null : (policy.schedule.nextRun()?.toISOString() ?? null)
      return { afterDays: policy.afterDays, nextRun, ...sizes, runs, partitions, heldBackBy: held }
    },

    /** Numbers for the metrics page. */
    async gauges(): Promise<ArchiveGauges> {
      const [{ hot, cold, offline }, runs] = await Promise.all([selectSizes(db, buckets), selectRuns(db, RUNS_SHOWN)])
      const last = runs.find(({ finishedAt, dryRun }) => finishedAt !== null && !dryRun)
      return {
        events: { hot: hot.events, cold: cold.events, offline: offline.events },
        bytes: { hot: hot.bytes, cold: cold.bytes },
        lastRun: last
          ? {
              finishedAtSeconds: Date.parse(last.finishedAt!) / 1000,
              seconds: (Date.parse(last.finishedAt!) - Date.parse(last.startedAt!)) / 1000,
              events: last.events,
              failed: last.status === 'failed'
            }
          : null
      }
    },

    /**
     * Asks for a run; it begins within a second or so, on the instance that archives. A dry run counts what would be moved.
     * Throws ARCHIVE_RUNNING; ARCHIVE_AGE_MISSING when neither the call nor the setting has an age.
     */
    async request({
      olderThanDays,
      dryRun
    }: {
      olderThanDays?: number | undefined
      dryRun: boolean
    }): Promise<ArchiveRun> {
      const days = olderThanDays ?? policy.afterDays
      if (olderThanDays === undefined && days === 0) {
        throw new DomainError(
          'ARCHIVE_AGE_MISSING',
          'ARCHIVE_AFTER_DAYS is 0, so nothing is archived by itself. Say how old the events must be: { "olderThanDays": 730 }.'
        )
      }
      const run = await insertRun(db, { origin: 'request', dryRun, cutoff: cutoffOf(Date.now(), days) })
      if (!run) {
        throw new DomainError(
          'ARCHIVE_RUNNING',
          'A run is under way or waiting; GET /admin/archive shows how far it is. Ask again when it is done.'
        )
      }
      return run
    }
  }
}
