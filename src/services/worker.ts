/** One background worker: holds the lease of its name and bucket, and runs one step at a time while it does. */
import type { Db } from '../db/client.js'
import type { Metrics } from '../observe/metrics.js'
import { claimLease, type Lease, releaseLease } from '../store/workers.js'

export type WorkerStep = (lease: Lease, signal: AbortSignal) => Promise<StepResult>

export type StepResult = {
  /** last position of the log dealt with */
  position: number
  /** whether there was anything to do: only then is the step measured */
  worked: boolean
  /** whether more is waiting */
  more: boolean
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

/** `step` must end well within LEASE_MS and write its progress under the lease's epoch. `holder` names this instance. */
export function createWorker(parts: {
  db: Db
  metrics: Pick<Metrics, 'handled'>
  name: string
  bucket: number
  holder: string
  step: WorkerStep
}): Worker {
  const { db, metrics, name, bucket, holder, step } = parts
  let lease: Lease | null = null
  /** Not before then is the lease asked for again, whether it was given or refused. */
  let askAt = 0

  return {
    async once(signal) {
      if (performance.now() >= askAt) {
        askAt = performance.now() + RENEW_MS
        lease = await claimLease(db, bucket, name, holder, LEASE_MS)
      }
      if (!lease) return 'idle'
      const startedAt = performance.now()
      try {
        const { position, worked, more } = await step(lease, signal)
        if (worked) metrics.handled(name, '_batch', (performance.now() - startedAt) / 1000)
        lease = { ...lease, position }
        return more ? 'more' : 'idle'
      } catch (err) {
        lease = null
        askAt = 0
        throw err
      }
    },
    async release() {
      if (lease) await releaseLease(db, bucket, name, holder)
      lease = null
      askAt = 0
    }
  }
}
