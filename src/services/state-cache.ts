/**
 * States of users at the version they were last seen at, in this process (tier 1) and, if there is one, in a shared cache
 * (tier 2). Events are immutable, so an entry never becomes wrong, only old: readers ask the database for what came
 * after it, and nothing is ever invalidated. Entries only go up in version.
 */
import { LRUCache } from 'lru-cache'
import type { KnownState, StateKey } from '../domain/replay.js'

/** `checkedAt` (performance.now()) is when the state was known to be the newest. */
export type CachedState = KnownState & { checkedAt: number }

/** A cache that several instances share. Being slow or down costs speed, never an answer: `get` then gives null. */
export type SharedCache = {
  get(key: StateKey): Promise<KnownState | null>
  /** Goes on in the background and does nothing if a version as new is there. */
  put(key: StateKey, known: KnownState): void
  /** Throws away, in the background, what `get` gave and is not true. */
  drop(key: StateKey): void
}

export type CacheMetrics = {
  cacheRead(tier: 'process' | 'shared', result: 'hit' | 'miss'): void
  cacheEvicted(tier: 'process'): void
}

/**
 * What an entry weighs beside its text, which counts twice: as text and as objects; bytes. Measured on the heap of Node 20:
 * 1.3 KB for a state of 460 characters, 4.6 KB for one of 1,700 with 50 attributes, 35 KB for one of 13,500 with 500.
 */
export const ENTRY_BYTES = 1500

export type StateCache = ReturnType<typeof createStateCache>

export function createStateCache({
  usersMax,
  bytesMax,
  shared,
  metrics
}: {
  usersMax: number
  bytesMax: number
  shared: SharedCache | null
  metrics: CacheMetrics
}) {
  const entries = new LRUCache<string, CachedState>({
    // Room for so many is taken at once, so not for more than can ever be there.
    max: Math.min(usersMax, Math.ceil(bytesMax / ENTRY_BYTES)),
    maxSize: bytesMax,
    sizeCalculation: ({ text }) => ENTRY_BYTES + 2 * text.length,
    dispose: (_entry, _key, reason) => {
      if (reason === 'evict') metrics.cacheEvicted('process')
    }
  })
  const nameOf = ({ tenantId, userId, fingerprint }: StateKey): string => `${tenantId}:${userId}:${fingerprint}`

  return {
    /** The entry in this process, or undefined. */
    get(key: StateKey): Readonly<CachedState> | undefined {
      const entry = entries.get(nameOf(key))
      metrics.cacheRead('process', entry ? 'hit' : 'miss')
      return entry
    },

    /** What the shared cache has, or null. It may be old, or of another log: it is to be trusted only after a look into ours. */
    async fetch(key: StateKey): Promise<KnownState | null> {
      if (!shared) return null
      const known = await shared.get(key)
      metrics.cacheRead('shared', known ? 'hit' : 'miss')
      return known
    },

    /** Throws away what the shared cache has, because the log says otherwise. */
    distrust(key: StateKey): void {
      shared?.drop(key)
    },

    /**
     * Keeps a state that was the newest at `checkedAt`, freezes it, and returns the entry made of it; an entry of a higher
     * version stays. The shared cache gets it too unless it is known to have `sharedVersion`, and that is as new.
     */
    put(
      key: StateKey,
      { version, asOf, state, text }: Omit<KnownState, 'text'> & { text?: string },
      checkedAt: number,
      sharedVersion = 0
    ): Readonly<CachedState> {
      const name = nameOf(key)
      const known = entries.peek(name)
      if (known?.version === version) {
        known.checkedAt = Math.max(known.checkedAt, checkedAt)
        return known
      }
      const entry = { version, asOf, state: freeze(state), text: text ?? JSON.stringify(state), checkedAt }
      if (known && known.version > version) return entry
      entries.set(name, entry)
      if (version > sharedVersion) shared?.put(key, entry)
      return entry
    }
  }
}

/** Freezes deeply: a cached state is handed to many readers. What is frozen at its top was frozen here. */
function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) freeze(child)
  }
  return value
}
