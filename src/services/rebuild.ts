/**
 * Rebuilds a projection while its tables serve: other tables are filled from the log, get their indexes, close in on the head
 * of the log, and take the place of those that serve in one statement. A newer version of the projection, and new rules of
 * registered event types, begin a rebuild by themselves.
 */
import type { Db } from '../db/client.js'
import { findDbError } from '../db/pg-error.js'
import type { Projection } from '../domain/projection.js'
import { selectHeads } from '../store/log.js'
import {
  insertProjection,
  type ProjectionStatus,
  type RebuildStatus,
  selectMissingIndexes,
  selectProjection,
  startRebuild,
  swapProjection,
  updateStage
} from '../store/projections.js'
import type { Lease } from '../store/workers.js'
import type { EventTypeService } from './event-types.js'
import type { Projector } from './projector.js'
import type { WorkerStep } from './worker.js'

/** A log this long is projected for the first time by a rebuild: it fills tables faster than those that serve can be. */
export const FIRST_FILL_EVENTS = 10_000
/** The tables that serve stand still once the rebuild is that close to the head. */
const CLOSE_EVENTS = 1000
/** Queries wait behind the swap no longer than this, ms. */
const SWAP_WAIT_MS = 30

/** The step of the worker that rebuilds one bucket; that of bucket 0 also leads the rebuild from stage to stage. */
export function createRebuild(parts: {
  db: Db
  /** runs a statement that may take as long as it likes */
  runLong: (statement: string) => Promise<void>
  eventTypes: Pick<EventTypeService, 'effectiveRevision'>
  projection: Projection
  projector: Projector
  bucket: number
  buckets: number
}): WorkerStep {
  const { db, runLong, eventTypes, projection, projector, bucket, buckets } = parts
  const { name, version } = projection
  const leads = bucket === 0

  /** At the first start. Of a log that is long already it says that no version serves yet, so that a rebuild is due. */
  async function note(): Promise<void> {
    const events = (await selectHeads(db, buckets)).reduce((sum, head) => sum + head, 0)
    const typesRevision = eventTypes.effectiveRevision()
    await insertProjection(db, { name, version: events < FIRST_FILL_EVENTS ? version : 0, typesRevision })
  }

  /** The rebuild that this instance can go on with, after beginning one if it is due. */
  async function current(): Promise<{ status: ProjectionStatus; rebuild: RebuildStatus } | null> {
    const status = await selectProjection(db, name, buckets)
    if (leads && !status) {
      await note()
      return await current()
    }
    if (leads && status && isDue(status)) {
      await startRebuild(db, projection, eventTypes.effectiveRevision())
      return null
    }
    return status?.rebuild?.version === version ? { status, rebuild: status.rebuild } : null
  }

  function isDue({ version: serves, typesRevision, rebuild }: ProjectionStatus): boolean {
    const revision = eventTypes.effectiveRevision()
    if (rebuild) return rebuild.version < version || (rebuild.version === version && rebuild.typesRevision < revision)
    return serves < version || (serves === version && typesRevision < revision)
  }

  async function closeIn({ places }: ProjectionStatus, { stage }: RebuildStatus, lease: Lease): Promise<void> {
    const behind = Math.max(...places.map(({ head, rebuilt }) => head - rebuilt))
    if (stage === 'closing') {
      if (places.every(({ position, rebuilt }) => rebuilt >= position)) await swap(lease)
    } else if (behind <= CLOSE_EVENTS) {
      await updateStage(db, projection, stage, stage === 'filling' ? 'indexing' : 'closing')
    }
  }

  async function addIndexes(statements: readonly string[]): Promise<void> {
    for (const statement of statements) await runLong(statement)
    for (const table of projection.tables) await runLong(`ANALYZE ${table.name}_next`)
  }

  async function swap({ epoch }: Lease): Promise<void> {
    try {
      await swapProjection(db, projection, { epoch, waitMs: SWAP_WAIT_MS })
    } catch (err) {
      // A query took longer than others should wait for it: another step tries again.
      if (findDbError(err)?.sqlState !== LOCK_NOT_AVAILABLE) throw err
    }
  }

  return async (lease) => {
    const found = await current()
    if (!found) return { position: lease.position, worked: false, more: false }
    const { status, rebuild } = found
    const missing = rebuild.stage === 'indexing' ? await selectMissingIndexes(db, projection) : []
    if (missing.length > 0) {
      if (leads) await addIndexes(missing)
      return { position: lease.position, worked: leads, more: leads }
    }
    const result = await projector.step(lease)
    if (leads) await closeIn(status, rebuild, lease)
    return { ...result, more: true }
  }
}

const LOCK_NOT_AVAILABLE = '55P03'
