/**
 * Moves old events to the archive, a window at a time: snapshots first, then copy, check and delete, each one statement that can
 * be repeated (DESIGN D8). What was moved is noted by the statement that deletes, so a run that breaks off goes on where it was.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Cron } from 'croner'
import type { Db } from '../db/client.js'
import { findDbError } from '../db/pg-error.js'
import { cutoffOf } from '../domain/archive.js'
import {
  type ArchiveRun,
  type ArchiveWindow,
  checkWindow,
  copyWindow,
  countArchivable,
  createPartitions,
  deleteWindow,
  insertRun,
  selectFirstPosition,
  selectFollowers,
  selectOpenRun,
  selectRuns,
  selectUncovered,
  selectWindow,
  updateRun
} from '../store/archive.js'
import type { Lease } from '../store/workers.js'
import type { EventTypeService } from './event-types.js'
import type { SnapshotService } from './snapshots.js'
import type { StepResult, WorkerStep } from './worker.js'

export type ArchivePolicy = {
  /** age at which events are moved; 0: only on request */
  afterDays: number
  /** when a run begins by itself */
  schedule: Cron
  /** positions of the log that one step looks at */
  windowEvents: number
  eventsPerSecond: number
  /** workers that must have passed what is moved, as subscriptions must */
  followers: readonly string[]
}

/** Snapshots for a window are made at most this long in one step, ms: a step ends well within its lease. */
const SNAPSHOTS_MS = 3000
/** A step waits no longer than this for its rate, ms. */
const PACE_MS = 1000
/** Where a run stands in the log: everything up to `after` in this bucket was looked at. */
type Walk = { runId: string; bucket: number; after: number; counted: number; held: string[] }

/** The step of the worker `archive`. `onUnfoldable` is told why a user's snapshot could not be made; the user's events stay. */
export function createArchiver(parts: {
  db: Db
  snapshots: Pick<SnapshotService, 'take'>
  eventTypes: Pick<EventTypeService, 'fingerprints'>
  buckets: number
  policy: ArchivePolicy
  onUnfoldable: (err: unknown) => void
}): WorkerStep {
  const { db, snapshots, eventTypes, buckets, policy, onUnfoldable } = parts
  const startedAt = new Date()
  let walk: Walk | null = null
  /** Not before then is more moved (performance.now). */
  let moveAt = 0

  /** The run to go on with; one that is due by the schedule begins. */
  async function currentRun(): Promise<ArchiveRun | null> {
    const open = await selectOpenRun(db)
    if (open || policy.afterDays === 0) return open
    const [last] = await selectRuns(db, 1, 'schedule')
    const due = policy.schedule.nextRun(last ? new Date(last.requestedAt) : startedAt)
    if (!due || due > new Date()) return null
    return await insertRun(db, { origin: 'schedule', dryRun: false, cutoff: cutoffOf(Date.now(), policy.afterDays) })
  }

  /** Makes the snapshots that a window needs; false when there was no time for all. Users who cannot have one are held. */
  async function cover(window: ArchiveWindow, held: string[], signal: AbortSignal): Promise<boolean> {
    const until = performance.now() + SNAPSHOTS_MS
    for (const { userId, tenantId } of await selectUncovered(db, window, eventTypes.fingerprints())) {
      if (signal.aborted || performance.now() > until) return false
      try {
        await snapshots.take({ userId, tenantId }, 'archive', 'archiver')
      } catch (err) {
        if (findDbError(err)) throw err
        onUnfoldable(err)
        held.push(userId)
      }
    }
    return true
  }

  /** Moves a window; null when the lease was lost. */
  async function move(window: ArchiveWindow, { epoch }: Lease, runId: string): Promise<number | null> {
    if (window.parts.length === 0) return 0
    await createPartitions(db, window)
    await copyWindow(db, window)
    const hash = await checkWindow(db, window)
    return await deleteWindow(db, window, { epoch, runId, hash })
  }

  /** The next window of a run. Returns whether the walk has come to its end. */
  async function advance(run: ArchiveRun, at: Walk, lease: Lease, signal: AbortSignal): Promise<boolean> {
    const places = await selectFollowers(db, buckets, policy.followers)
    const end = Math.min(...places.filter(({ bucket }) => bucket === at.bucket).map(({ position }) => position))
    const first = await selectFirstPosition(db, at.bucket)
    at.after = Math.max(at.after, first === null ? end : first - 1)
    if (at.after >= end) return nextBucket(at)
    const span = { bucket: at.bucket, after: at.after, span: policy.windowEvents, end, cutoff: run.cutoff }
    if (run.dryRun) {
      at.counted += await countArchivable(db, span)
    } else {
      const window = await selectWindow(db, span, at.held)
      const heldBefore = at.held.length
      if (!(await cover(window, at.held, signal))) return false
      window.parts = window.parts.filter(({ userId }) => !at.held.slice(heldBefore).includes(userId))
      const moved = await move(window, lease, run.id)
      if (moved === null) throw new Error('Another instance has taken the archive over.')
      moveAt = performance.now() + (moved / policy.eventsPerSecond) * 1000
    }
    at.after = Math.min(at.after + policy.windowEvents, end)
    return at.after >= end && nextBucket(at)
  }

  function nextBucket(at: Walk): boolean {
    at.bucket++
    at.after = 0
    return at.bucket === buckets
  }

  return async (lease, signal): Promise<StepResult> => {
    const result = { position: lease.position, worked: false, more: false }
    const run = await currentRun()
    if (!run) return result
    if (run.status === 'waiting') await updateRun(db, lease.epoch, run.id, { status: 'running' })
    if (walk?.runId !== run.id) walk = { runId: run.id, bucket: 0, after: 0, counted: 0, held: [] }
    const wait = moveAt - performance.now()
    if (wait > 0) await pause(Math.min(wait, PACE_MS), null, { signal }).catch(() => {})
    if (signal.aborted || moveAt > performance.now()) return { ...result, more: !signal.aborted }
    try {
      if (await advance(run, walk, lease, signal)) {
        const { counted } = walk
        await updateRun(db, lease.epoch, run.id, run.dryRun ? { status: 'done', counted } : { status: 'done' })
      }
    } catch (err) {
      if (findDbError(err)?.sqlState !== DIFFERS) throw err
      await updateRun(db, lease.epoch, run.id, { status: 'failed', error: findDbError(err)!.message })
    }
    return { ...result, worked: true, more: true }
  }
}

/** What 0009_archive.sql raises when a copy is not what it should be. */
const DIFFERS = 'UEA01'
