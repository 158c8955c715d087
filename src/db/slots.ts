/** A bounded waiting line before a bounded number of slots: more work than both is refused at once, not queued for ever. */
import { DbError } from './pg-error.js'

export type Slots = ReturnType<typeof createSlots>

/** `slots` run at once; up to `waitingMax` wait, each for at most `waitMs`. */
export function createSlots({ slots, waitingMax, waitMs }: { slots: number; waitingMax: number; waitMs: number }) {
  const waiting = new Set<() => void>()
  let free = slots
  let onDrained: (() => void) | null = null

  function acquire(): Promise<void> | undefined {
    if (onDrained) throw new DbError('unavailable', 'CONNECTION_ENDED', null, 'The database pool is closed.')
    if (free > 0) {
      free--
      return undefined
    }
    if (waiting.size >= waitingMax) throw busy(`${waiting.size} queries are waiting already`)
    return new Promise((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        waiting.delete(enter)
        reject(busy(`no connection became free within ${waitMs} ms`))
      }, waitMs)
      waiting.add(enter)
    })
  }

  function release(): void {
    const [next] = waiting
    if (next) {
      waiting.delete(next)
      next()
    } else {
      free++
      if (free === slots) onDrained?.()
    }
  }

  return {
    /** Runs `work` in a slot. Throws a DbError `unavailable` (code POOL_BUSY) without running it when the line is full or slow. */
    async run<T>(work: () => Promise<T>): Promise<T> {
      await acquire()
      try {
        return await work()
      } finally {
        release()
      }
    },

    /** Lets no more work in, and resolves when what was in or in line is done, or after `timeoutMs`. */
    async drain(timeoutMs: number): Promise<void> {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs)
        onDrained = () => {
          clearTimeout(timer)
          resolve()
        }
        if (free === slots) onDrained()
      })
    }
  }
}

const busy = (why: string): DbError =>
  new DbError('unavailable', 'POOL_BUSY', null, `The database pool is busy: ${why}.`)
