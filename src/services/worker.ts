/** One background worker: holds the lease of its name and bucket, and runs one step at a time while it does. */
import type { Db } from '../db/client.js'
import type { Metrics } from '../observe/metrics.js'
import { claimLease, type Lease, releaseLease } from '../store/workers.js'

/** `until` is when it ends at the earliest, as `performance.now` counts. */
export type HeldLease = Lease & { until: number }

export type WorkerStep = (lease: HeldLease, signal: AbortSignal) => Promise<StepResult>

export type StepResult = {
  /** last position of the log dealt with */
  position: number
  /** whether there was anything to do: only then is the step measured */
  worked: boolean
  /** whether more is waiting */
  more: boolean
  /** whether its progress was refused: somebody else has the lease, or moved the position */
  lost?: boolean
}

export type Worker = {
  /** One step if this instance may do it; tells whether more is waiting. */
  once(signal: AbortSignal): Promise<'more' | 'idle'>
  /** Gives the lease up, so that another instance need not wait for it to end. */
  release(): Promise<void>
}

export const LEASE_MS = 10_000
/** A step begins with a lease that has nearly all of its length left, and whoever does not hold it asks no more often, ms. */
const RENEW_MS = 1000

/**
 * `step` must write its progress under the lease's epoch. `holder` names this instance. An instance that `mayHold` says no to
 * leaves the lease to others; it is asked before the lease is.
 */
export function createWorker(parts: {
  db: Db
  metrics: Pick<Metrics, 'handled'>
  name: string
  bucket: number
  holder: string
  step: WorkerStep
  mayHold?: (() => Promise<boolean>) | undefined
}): Worker {
  const { db, metrics, name, bucket, holder, step, mayHold } = parts
  let lease: HeldLease | null = null
  /** Not before then is the lease asked for again, whether it was given or refused. */
  let askAt = 0

  async function claim(): Promise<HeldLease | null> {
    const askedAt = performance.now()
    const given = await claimLease(db, bucket, name, holder, LEASE_MS)
    return given && { ...given, until: askedAt + LEASE_MS }
  }

  async function release(): Promise<void> {
    if (lease) await releaseLease(db, bucket, name, holder)
    lease = null
  }

  async function ask(): Promise<void> {
    askAt = performance.now() + RENEW_MS
    if (mayHold && !(await mayHold())) await release()
    else lease = await claim()
  }

  /** A step that takes long keeps its lease. If it was lost all the same, what it writes is refused for its epoch. */
  async function runStep(held: HeldLease, signal: AbortSignal): Promise<StepResult> {
    let renewing: Promise<unknown> = Promise.resolve()
    const renewal = setInterval(() => {
      renewing = claim().catch(() => {})
    }, LEASE_MS / 3)
    try {
      return await step(held, signal)
    } finally {
      clearInterval(renewal)
      await renewing
    }
  }

  return {
    async once(signal) {
      if (performance.now() >= askAt) await ask()
      if (!lease) return 'idle'
      const startedAt = performance.now()
      try {
        const { position, worked, more, lost } = await runStep(lease, signal)
        if (worked) metrics.handled(name, '_batch', (performance.now() - startedAt) / 1000)
        lease = { ...lease, position }
        if (lost) askAt = 0
        return more ? 'more' : 'idle'
      } catch (err) {
        lease = null
        askAt = 0
        throw err
      }
    },
    async release() {
      await release()
      askAt = 0
    }
  }
}
