/**
 * Rebuilds a projection while its tables serve: other tables are filled from the log, get their indexes, close in on the head
 * of the log, and take the place of those that serve in one statement.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Db } from '../db/client.js'
import { findDbError } from '../db/pg-error.js'
import type { Projection } from '../domain/projection.js'
import {
  dropOldTables,
  type ProjectionStatus,
  type RebuildStage,
  selectMissingIndexes,
  selectProjection,
  swapProjection,
  updateStage
} from '../store/projections.js'
import type { Projector } from './projector.js'
import type { WorkerStep } from './worker.js'

/** The tables that serve stand still once the rebuild is that close to the head. */
const CLOSE_EVENTS = 1000
/** Queries wait behind the swap no longer than this, ms; what it does itself comes on top. */
const SWAP_WAIT_MS = 20
/** After a query that took longer the tables that serve go on this long before the swap is tried again, ms. */
const SWAP_AGAIN_MS = 1000
/** A bucket that has nothing to do looks this often how the others stand, ms. */
const LOOK_MS = 20

/** The step of the worker that rebuilds one bucket; that of bucket 0 also leads the rebuild from stage to stage. */
export function createRebuild(parts: {
  db: Db
  /** runs a statement that may take as long as it likes */
  runLong: (statement: string, signal: AbortSignal) => Promise<void>
  projection: Projection
  projector: Projector
  bucket: number
  buckets: number
}): WorkerStep {
  const { db, runLong, projection, projector, bucket, buckets } = parts
  const leads = bucket === 0

  const toStage = (epoch: number, from: RebuildStage, to: RebuildStage): Promise<void> =>
    updateStage(db, projection, epoch, from, to)

  /** Takes the rebuild to its next stage when it is time for it; tells whether it was. */
  async function lead({ places }: ProjectionStatus, stage: RebuildStage, epoch: number): Promise<boolean> {
    if (stage === 'closing') return places.every(({ position, rebuilt }) => rebuilt >= position) && (await swap(epoch))
    if (Math.max(...places.map(({ head, rebuilt }) => head - rebuilt)) > CLOSE_EVENTS) return false
    if (stage === 'indexing') await dropOldTables(db, projection)
    await toStage(epoch, stage, stage === 'filling' ? 'indexing' : 'closing')
    return true
  }

  async function swap(epoch: number): Promise<boolean> {
    try {
      return await swapProjection(db, projection, { epoch, waitMs: SWAP_WAIT_MS })
    } catch (err) {
      if (findDbError(err)?.sqlState !== LOCK_NOT_AVAILABLE) throw err
      // A query took longer than others should wait for it.
      await toStage(epoch, 'closing', 'indexing')
      await pause(SWAP_AGAIN_MS)
      return false
    }
  }

  async function addIndexes(statements: readonly string[], signal: AbortSignal): Promise<void> {
    const analyze = projection.tables.map((table) => `ANALYZE ${table.name}_next`)
    try {
      for (const statement of [...statements, ...analyze]) await runLong(statement, signal)
    } catch (err) {
      // Whoever comes next finds what is missing.
      if (!signal.aborted) throw err
    }
  }

  return async (lease, signal) => {
    const idle = { position: lease.position, worked: false, more: false }
    const status = await selectProjection(db, projection.name, buckets)
    const rebuild = status?.rebuild
    if (rebuild?.version !== projection.version) return idle
    const missing = rebuild.stage === 'filling' ? [] : await selectMissingIndexes(db, projection)
    if (missing.length > 0) {
      // Whoever does not lead waits: what it would write had to wait for the indexes.
      if (!leads) return idle
      await addIndexes(missing, signal)
      return { ...idle, worked: true, more: true }
    }
    const result = await projector.step(lease)
    const moved = leads && (await lead(status!, rebuild.stage, lease.epoch))
    if (!result.worked && !moved) await pause(LOOK_MS)
    return { ...result, more: true }
  }
}

const LOCK_NOT_AVAILABLE = '55P03'
