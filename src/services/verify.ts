/** Whether what is served and kept of a user is what its events say: all of them are folded anew and compared. */
import type { Operation } from 'fast-json-patch'
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import type { Catalog } from '../domain/catalog.js'
import { differenceOf } from '../domain/compare-states.js'
import type { StreamKey } from '../domain/event.js'
import { fold, nothingFolded, type Replay } from '../domain/replay.js'
import type { User } from '../domain/user.js'
import { selectSlice } from '../store/replay.js'
import { selectSnapshotStates } from '../store/snapshots.js'
import type { EventTypeService } from './event-types.js'
import type { ReplayedState, ReplayService } from './replay.js'

/** `operations` (RFC 6902) turn what was found into what the events say; there are none when it is right. */
export type Compared = { version: number; correct: boolean; operations: Operation[] }

export type Verification = {
  userId: string
  version: number
  correct: boolean
  /** the state as it is served now */
  served: Compared
  /** every snapshot under the rules of now, the oldest version first; broken ones too */
  snapshots: Compared[]
}

export type VerifyService = ReturnType<typeof createVerifyService>

export function createVerifyService(parts: {
  db: Db
  replay: ReplayService
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes'>
  buckets: number
}) {
  const { db, replay, eventTypes, buckets } = parts

  /** The states at these versions, which go up, by folding every event under one catalog. */
  async function* statesAt(catalog: Catalog, key: StreamKey, versions: readonly number[]): AsyncGenerator<User> {
    const bucket = bucketOf(key.userId, buckets)
    let reached: Replay = nothingFolded
    for (const version of versions) {
      while (reached.version < version) {
        const events = await selectSlice(db, bucket, key, { after: reached.version, upTo: version })
        if (events.length === 0)
          throw new Error(`Events of user ${key.userId} after version ${reached.version} are missing.`)
        reached = fold(catalog, key, reached, events)
      }
      yield reached.state!
    }
  }

  /** The state as it is served, and the rules that made it: they may change while it is read. */
  async function serve(key: StreamKey): Promise<{ catalog: Catalog; served: ReplayedState }> {
    for (;;) {
      const catalog = eventTypes.of(key.tenantId)
      const served = await replay.stateAt(key)
      if (served.fingerprint === catalog.fingerprint) return { catalog, served }
    }
  }

  async function verify(key: StreamKey): Promise<Verification> {
    const { catalog, served } = await serve(key)
    const kept = await selectSnapshotStates(db, bucketOf(key.userId, buckets), key, catalog.fingerprint)
    const found: Found[] = [...kept.filter(({ version }) => version <= served.version), served]
    const compared: Compared[] = []
    const versions = found.map(({ version }) => version)
    for await (const right of statesAt(catalog, key, versions))
      compared.push(compare(key, found[compared.length]!, right))
    return {
      userId: key.userId,
      version: served.version,
      correct: compared.every(({ correct }) => correct),
      served: compared.at(-1)!,
      snapshots: compared.slice(0, -1)
    }
  }

  return {
    /**
     * Compares the state that is served, and every snapshot under the rules of now, with what all events up to there give.
     * Changes nothing. Throws USER_NOT_FOUND; an Error if events are missing.
     */
    verify: (key: StreamKey): Promise<Verification> => eventTypes.withTypes(() => verify(key))
  }
}

type Found = { version: number; state: unknown }

function compare(key: StreamKey, { version, state }: Found, right: User): Compared {
  const operations = differenceOf(key, state, right)
  return { version, correct: operations.length === 0, operations }
}
