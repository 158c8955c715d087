/** The loops that project the log: for each bucket one keeps the tables that serve, and one rebuilds them when that is due. */
import type { Db } from './db/client.js'
import type { Projection } from './domain/projection.js'
import { type Loop, startLoop } from './loop.js'
import type { Metrics } from './observe/metrics.js'
import type { Tracer } from './observe/tracing.js'
import type { EventTypeService } from './services/event-types.js'
import { createVersionCheck } from './services/projection-versions.js'
import { createProjector } from './services/projector.js'
import { createRebuild } from './services/rebuild.js'
import { createWorker, type Worker, type WorkerStep } from './services/worker.js'
import { projectionWorker } from './store/projections.js'

const FOLLOW_MS = 1000
/** What is projected is looked for by readers, ms. */
const GAP_MS = 50

export type Projecting = {
  start(): void
  /** Something was appended: it need not wait for the interval. */
  wake(): void
  /** Ends the running steps and gives the leases up. */
  stop(): Promise<void>
}

/** `holder` names this instance. */
export function createProjecting(parts: {
  db: Db
  metrics: Pick<Metrics, 'handled' | 'parked'>
  tracer?: Tracer
  buckets: number
  holder: string
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes' | 'effectiveRevision'>
  projections: readonly Projection[]
  /** runs a statement that may take as long as it likes */
  runLong: (statement: string, signal: AbortSignal) => Promise<void>
  onError: (err: unknown) => void
}): Projecting {
  const { db, metrics, tracer, buckets, holder, eventTypes, projections, runLong, onError } = parts
  const workers: Worker[] = []
  const live: Loop[] = []
  const rebuilding: Loop[] = []

  function startProjection(projection: Projection, bucket: number): void {
    const { name } = projection
    const { mayProject, mayRebuild } = createVersionCheck({ db, eventTypes, projection, buckets })
    const onParked = (users: readonly unknown[]) => metrics.parked(name, users.length)
    const projectorOf = (rebuilds: boolean) =>
      createProjector({ db, eventTypes, projection, bucket, rebuilds, onParked, ...(tracer && { tracer }) })

    function loop(rebuilds: boolean, step: WorkerStep, mayHold: () => Promise<boolean>): Loop {
      const worker = createWorker({
        db,
        metrics,
        name: projectionWorker(name, rebuilds),
        bucket,
        holder,
        step,
        mayHold
      })
      workers.push(worker)
      return startLoop({ once: (signal) => worker.once(signal), intervalMs: FOLLOW_MS, gapMs: GAP_MS, onError })
    }

    const projector = projectorOf(false)
    const rebuild = createRebuild({ db, runLong, projection, projector: projectorOf(true), bucket, buckets })
    live.push(loop(false, (lease) => projector.step(lease), mayProject))
    rebuilding.push(loop(true, rebuild, mayRebuild))
  }

  return {
    start() {
      for (let bucket = 0; bucket < buckets; bucket++)
        for (const projection of projections) startProjection(projection, bucket)
    },
    wake() {
      for (const loop of live) loop.wake()
    },
    async stop() {
      await Promise.all([...live, ...rebuilding].map((loop) => loop.stop()))
      await Promise.allSettled(workers.map((worker) => worker.release()))
    }
  }
}
