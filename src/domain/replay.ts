/** Folding: events in, state out. Works in slices so that a long stream is never held whole. */
import type { Catalog } from './catalog.js'
import type { FoldEvent, StreamKey } from './event.js'
import type { User } from './user.js'

/** State of a user at one version; `asOf` is createdAt of the last event folded. Version 0 is the state before any. */
export type Replay = { version: number; asOf: string; state: User | null }

/** Names the states of a user under the rules of one catalog: under others they are other states. */
export type StateKey = StreamKey & { fingerprint: string }

/** A user's state after some version, frozen, with its JSON text: a fact that never becomes wrong, only old. */
export type KnownState = { version: number; asOf: string; state: User; text: string }

export const nothingFolded: Replay = { version: 0, asOf: '', state: null }

/**
 * Folds `events`, which must follow `from` without a gap, onto it. Pure: `from` stays as it was.
 * Throws if a version is missing or out of order: wrong state would be worse than none.
 */
export function fold(catalog: Catalog, key: StreamKey, from: Replay, events: Iterable<FoldEvent>): Replay {
  let { version, asOf, state } = from
  for (const event of events) {
    if (event.version !== version + 1) {
      throw new Error(`The events of user ${key.userId} have a hole: version ${event.version} follows ${version}.`)
    }
    state = catalog.evolve(key, state, event)
    version = event.version
    asOf = event.createdAt
  }
  return { version, asOf, state }
}
