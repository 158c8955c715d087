/** A bounded waiting line before a bounded number of slots: more work than both is refused at once, not queued for ever. */
import { DbError } from './pg-error.js'

/**
 * Work runs in one of `slots` at a time; up to `waitingMax` wait, each for at most `waitMs`. The slot that was free last is taken first: of
 * connections, that is the one whose process the machine has at hand. One whose work failed is taken last.
 */
export function createSlots<Slot>(parts: { slots: readonly Slot[]; waitingMax: number; waitMs: number }) {
  const { slots, waitingMax, waitMs } = parts
  const waiting = new Set<(slot: Slot) => void>()
  const free = [...slots]
  let onDrained: (() => void) | null = null

  function acquire(): Slot | Promise<Slot> {
    if (onDrained) throw new DbError('unavailable', 'CONNECTION_ENDED', null, 'The database pool is closed.')
    if (free.length > 0) return free.pop()!
    if (waiting.size >= waitingMax) throw busy(`${waiting.size} queries are waiting already`)
    return new Promise((resolve, reject) => {
      const enter = (slot: Slot) => {
        clearTimeout(timer)
        resolve(slot)
      }
      const timer = setTimeout(() => {
        waiting.delete(enter)
        reject(busy(`no connection became free within ${waitMs} ms`))
      }, waitMs)
      waiting.add(enter)
    })
  }

  function release(slot: Slot, failed: boolean): void {
    const [next] = waiting
    if (next) {
      waiting.delete(next)
      next(slot)
      return
    }
    if (failed) free.unshift(slot)
    else free.push(slot)
    if (free.length === slots.length) onDrained?.()
  }

  return {
    /** Runs `work` in a slot. Throws a DbError `unavailable` (code POOL_BUSY) without running it when the line is full or slow. */
    async run<T>(work: (slot: Slot) => Promise<T>): Promise<T> {
      const slot = await acquire()
      let failed = true
      try {
        const result = await work(slot)
        failed = false
        return result
      } finally {
        release(slot, failed)
      }
    },

    /** Those that nothing runs in. */
    free: (): readonly Slot[] => free,

    /** Lets no more work in, and resolves when what was in or in line is done, or after `timeoutMs`. */
    async drain(timeoutMs: number): Promise<void> {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs)
        onDrained = () => {
          clearTimeout(timer)
          resolve()
        }
        if (free.length === slots.length) onDrained()
      })
    }
  }
}

const busy = (why: string): DbError =>
  new DbError('unavailable', 'POOL_BUSY', null, `The database pool is busy: ${why}.`)
