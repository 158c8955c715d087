/**
 * The background work of an instance: counting statistics, making snapshots that are due or that new rules made useless,
 * letting old ones and the old audit go, archiving old events, and looking for new event types. Every instance starts all of it; the lease of each worker decides which one does it (DESIGN D6).
 */
import type { Db } from './db/client.js'
import { type Loop, startLoop } from './loop.js'
import type { Metrics } from './observe/metrics.js'
import { type ArchivePolicy, createArchiver } from './services/archiver.js'
import type { AuditService } from './services/audit.js'
import type { EventTypeService } from './services/event-types.js'
import type { SnapshotService } from './services/snapshots.js'
import { createWorker, type Worker, type WorkerStep } from './services/worker.js'
import type { UserMark } from './store/snapshots.js'
import { rollUpStatistics } from './store/statistics.js'
import { updatePosition } from './store/workers.js'

export type Background = {
  start(): void
  /** Something was appended: those that follow the log need not wait for their interval. */
  wake(): void
  /** Ends the running steps and gives the leases up. */
  stop(): Promise<void>
}

const ROLL_UP_EVENTS = 10_000
const FOLLOW_MS = 1000
const EXPIRY_MS = 3_600_000
const REFRESH_BATCH = 100
/** At most 20 snapshots a second are made anew, in turns well within a lease, so that a stop need not wait long. */
const TURN = { turnMs: 4000, pauseMs: 50 }
/** Another instance's new event types are known after this long and a tenth more, ms, or when one is met. */
const TYPES_MS = 800

export function createBackground(parts: {
  db: Db
  metrics: Pick<Metrics, 'handled'>
  buckets: number
  /** names this instance */
  holder: string
  snapshots: SnapshotService
  eventTypes: EventTypeService
  snapshotMaxAgeDays: number
  audit: Pick<AuditService, 'expire'>
  auditMaxAgeDays: number
  archivePolicy: ArchivePolicy
  onError: (err: unknown) => void
}): Background {
  const { db, metrics, buckets, holder, snapshots, eventTypes, archivePolicy, onError } = parts
  const workers: Worker[] = []
  const followers: Loop[] = []
  const others: Loop[] = []

  function run(name: string, bucket: number, intervalMs: number, step: WorkerStep): Loop {
    const worker = createWorker({ db, metrics, name, bucket, holder, step })
    workers.push(worker)
    return startLoop({ once: (signal) => worker.once(signal), intervalMs, gapMs: FOLLOW_MS / 2, onError })
  }

  /** Readers of statistics add the tail themselves, so these may lag; they only keep the tail short. */
  const countEvents =
    (bucket: number): WorkerStep =>
    async (lease) => {
      const counted = (await rollUpStatistics(db, bucket, lease.epoch, ROLL_UP_EVENTS)) ?? 0
      return { position: lease.position + counted, worked: counted > 0, more: counted === ROLL_UP_EVENTS }
    }

  const takeSnapshots =
    (bucket: number): WorkerStep =>
    async (lease, signal) => {
      const { position, more } = await snapshots.takeDue(bucket, lease.position, { ...TURN, signal })
      const moved = position > lease.position
      if (moved) await updatePosition(db, bucket, 'snapshots', lease.epoch, position)
      return { position, worked: moved || more, more }
    }

  /** Where the walk over users with stale snapshots stands, and the rules under which it was last done. */
  let refreshed: UserMark | null = null
  let refreshedUnder = ''

  const refreshSnapshots: WorkerStep = async ({ position }, signal) => {
    const rules = JSON.stringify(eventTypes.fingerprints())
    if (refreshed === null && rules === refreshedUnder) return { position, worked: false, more: false }
    const { made, next } = await snapshots.refreshStale(refreshed, { ...TURN, limit: REFRESH_BATCH, signal })
    if (refreshed === null) refreshedUnder = rules
    refreshed = next
    return { position, worked: made > 0, more: next !== null }
  }

  const expireSnapshots: WorkerStep = async ({ position }, signal) => {
    await snapshots.expire(parts.snapshotMaxAgeDays, signal)
    return { position, worked: true, more: false }
  }

  const expireAudit: WorkerStep = async ({ position }, signal) => {
    await parts.audit.expire(parts.auditMaxAgeDays, signal)
    return { position, worked: true, more: false }
  }

  const archiveEvents = createArchiver({
    db,
    snapshots,
    eventTypes,
    buckets,
    policy: archivePolicy,
    onUnfoldable: onError
  })

  const lookForTypes = async (): Promise<'idle'> => {
    await eventTypes.refresh()
    return 'idle'
  }

  return {
    start() {
      for (let bucket = 0; bucket < buckets; bucket++) {
        followers.push(run('statistics', bucket, FOLLOW_MS, countEvents(bucket)))
        followers.push(run('snapshots', bucket, FOLLOW_MS, takeSnapshots(bucket)))
      }
      others.push(run('snapshot-expiry', 0, EXPIRY_MS, expireSnapshots))
      others.push(run('audit-expiry', 0, EXPIRY_MS, expireAudit))
      others.push(run('snapshot-refresh', 0, FOLLOW_MS, refreshSnapshots))
      others.push(run('archive', 0, FOLLOW_MS, archiveEvents))
      // Every instance looks for itself.
      others.push(startLoop({ once: lookForTypes, intervalMs: TYPES_MS, onError }))
    },
    wake() {
      for (const loop of followers) loop.wake()
    },
    async stop() {
      await Promise.all([...followers, ...others].map((loop) => loop.stop()))
      await Promise.allSettled(workers.map((worker) => worker.release()))
    }
  }
}
