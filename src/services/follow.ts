/** Waits until a projection holds what a reader has written. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import { DomainError } from '../domain/errors.js'
import { type ProjectionPlace, selectProjectionPlaces } from '../store/projections.js'

/** How often somebody who waits has the position looked at, ms. */
const LOOK_MS = 20

export type Follow = ReturnType<typeof createFollow>

/** `waitMs` is the longest wait. */
export function createFollow(parts: { db: Db; projection: string; buckets: number; waitMs: number }) {
  const { db, projection, buckets, waitMs } = parts
  let looking: Promise<ProjectionPlace[]> | null = null

  /** One look for all who ask at once: positions only grow, so one that began earlier is no less true. */
  function look(): Promise<ProjectionPlace[]> {
    looking ??= selectProjectionPlaces(db, projection, buckets).finally(() => {
      looking = null
    })
    return looking
  }

  return {
    /**
     * Resolves when the projection holds the event at `position`, which an append answered. With several buckets it is the one of
     * the user's bucket; without a user, where the position may be of any, all buckets must have come as far, or to their ends.
     * Throws PROJECTION_BEHIND when that takes too long.
     */
    async reach(position: number | undefined, userId?: string): Promise<void> {
      if (position === undefined) return
      const of = userId === undefined ? null : bucketOf(userId, buckets)
      const until = performance.now() + waitMs
      for (;;) {
        const places = (await look()).filter((_, bucket) => of === null || bucket === of)
        const written = places.some(({ head }) => head >= position)
        if (written && places.every((place) => place.position >= Math.min(position, place.head))) return
        if (performance.now() >= until) throw behind(position, places)
        await pause(LOOK_MS)
      }
    },

    /** What a read reflects. Throws PROJECTION_BEHIND when the tables were never filled: they would say that nobody exists. */
    async filled<T extends { position: number | null }>(found: T): Promise<T & { position: number }> {
      if (found.position !== null) return { ...found, position: found.position }
      throw behind(null, await look())
    }
  }
}

function behind(asked: number | null, places: ProjectionPlace[]): DomainError {
  const sum = (pick: (place: ProjectionPlace) => number) => places.reduce((total, place) => total + pick(place), 0)
  const [position, head] = [sum((place) => place.position), sum((place) => place.head)]
  const text =
    asked === null
      ? 'The read model is being filled for the first time; GET /admin/projections shows how far it is. Ask again later.'
      : head < asked
        ? `The log ends at position ${head}, before ${asked}. Check the position: an append answers it.`
        : `The read model holds the events up to position ${position}, not yet ${asked}. Ask again, or without a position for what there is.`
  return new DomainError('PROJECTION_BEHIND', text, { position, head, lagEvents: head - position })
}
