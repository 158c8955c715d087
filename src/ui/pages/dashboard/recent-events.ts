/** What the dashboard holds of the log, however much comes: the newest events, and how many there were in each second. */

type Recorded = { id: string; createdAt: string }

export type Recent<Event> = {
  /** the newest first */
  newest: readonly Event[]
  /** the seconds of the window, of Unix time; the one under way is not in it */
  seconds: readonly number[]
  /** events recorded in each of them; null: before it was looked at */
  counts: readonly (number | null)[]
}

export type RecentEvents<Event> = ReturnType<typeof createRecentEvents<Event & Recorded>>

/** Keeps `listed` events, and counts for `windowSeconds`. */
export function createRecentEvents<Event extends Recorded>(bounds: { listed: number; windowSeconds: number }) {
  const { listed, windowSeconds } = bounds
  const perSecond = new Map<number, number>()
  let newest: Event[] = []
  let knownFrom = Number.POSITIVE_INFINITY

  return {
    /** Begins anew; all events since `fromMs` will be added. */
    reset(fromMs: number): void {
      perSecond.clear()
      newest = []
      knownFrom = Math.ceil(fromMs / 1000)
    },

    /** Adds events in the order of the log. */
    add(events: readonly Event[]): void {
      for (const { createdAt } of events) {
        const second = Math.floor(Date.parse(createdAt) / 1000)
        perSecond.set(second, (perSecond.get(second) ?? 0) + 1)
      }
      newest = [...events.slice(-listed).reverse(), ...newest].slice(0, listed)
    },

    /** How it is at `nowMs`; seconds that have left the window are forgotten. */
    at(nowMs: number): Recent<Event> {
      const end = Math.floor(nowMs / 1000)
      const first = end - windowSeconds
      for (const second of perSecond.keys()) if (second < first) perSecond.delete(second)
      const seconds = Array.from({ length: windowSeconds }, (_, i) => first + i)
      const counts = seconds.map((second) => (second < knownFrom ? null : (perSecond.get(second) ?? 0)))
      return { newest, seconds, counts }
    }
  }
}

/** Events per second over the last `seconds` that are known; null when none is. */
export function rateOf(counts: readonly (number | null)[], seconds: number): number | null {
  const known = counts.slice(-seconds).filter((count) => count !== null)
  return known.length === 0 ? null : known.reduce((sum, count) => sum + count, 0) / known.length
}

/** The most in one second; null when none is known. */
export const peakOf = (counts: readonly (number | null)[]): number | null =>
  counts.reduce((most, count) => (count === null ? most : Math.max(most ?? 0, count)), null)
