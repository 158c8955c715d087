/**
 * Counts requests in windows of time: here, and where instances share a counter, there as well. A shared counter that does not
 * answer costs exactness among instances, never an answer: counting goes on here.
 */
import { LRUCache } from 'lru-cache'

/** A counter that several instances share. `count` gives null when there is no answer. */
export type SharedCounter = {
  count(key: string, windowMs: number): Promise<{ count: number; leftMs: number } | null>
}

/** What was counted in a window so far, and how long it goes on, ms. */
export type Counted = { count: number; leftMs: number }

/** Keys that are counted here at once; the one that was not heard of for the longest time begins anew. */
const KEYS_MAX = 10_000

export type RequestCounter = ReturnType<typeof createRequestCounter>

/** `onAlone` is told of requests that the shared counter should have counted and did not. */
export function createRequestCounter({ shared, onAlone }: { shared: SharedCounter | null; onAlone: () => void }) {
  const windows = new LRUCache<string, { beganAt: number; count: number }>({ max: KEYS_MAX })

  function countHere(key: string, windowMs: number): Counted {
    const now = performance.now()
    let window = windows.get(key)
    if (!window || now - window.beganAt >= windowMs) {
      window = { beganAt: now, count: 0 }
      windows.set(key, window)
    }
    return { count: ++window.count, leftMs: windowMs - (now - window.beganAt) }
  }

  return {
    /**
     * Counts a request of `key`, in the window of `windowMs` that began with the first, and resolves with the higher of the two
     * counts. One that is beyond `max` already here is not told the shared counter: refusing costs nothing.
     */
    async count(key: string, windowMs: number, max: number): Promise<Counted> {
      const here = countHere(key, windowMs)
      if (!shared || here.count > max) return here
      const everywhere = await shared.count(key, windowMs)
      if (!everywhere) onAlone()
      return everywhere && everywhere.count > here.count ? everywhere : here
    }
  }
}
