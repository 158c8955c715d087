/** Whether what is served and kept of a user is what its events say: all of them are folded anew and compared. */
import jsonPatch, { type Operation } from 'fast-json-patch'
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import type { StreamKey } from '../domain/event.js'
import { fold, nothingFolded, type Replay } from '../domain/replay.js'
import type { User } from '../domain/user.js'
import { selectSlice } from '../store/replay.js'
import { selectSnapshotStates } from '../store/snapshots.js'
import type { EventTypeService } from './event-types.js'
import type { ReplayService } from './replay.js'

/** `operations` (RFC 6902) turn what was found into what the events say; there are none when it is right. */
export type Compared = { version: number; correct: boolean; operations: Operation[] }

export type Verification = {
  userId: string
  version: number
  correct: boolean
  /** the state as it is served now */
  served: Compared
  /** every usable snapshot, the oldest version first */
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

  /** The states at these versions, which go up, by folding every event. */
  async function* statesAt(key: StreamKey, versions: readonly number[]): AsyncGenerator<User> {
    const bucket = bucketOf(key.userId, buckets)
    let reached: Replay = nothingFolded
    for (const version of versions) {
      while (reached.version < version) {
        const from = reached
        const events = await selectSlice(db, bucket, key, from.version, version)
        if (events.length === 0)
          throw new Error(`Events of user ${key.userId} after version ${from.version} are missing.`)
        reached = await eventTypes.withTypes(async () => fold(eventTypes.of(key.tenantId), key, from, events))
      }
      yield reached.state!
    }
  }

  return {
    /**
     * Compares the state that is served, and every usable snapshot, with what all events up to there give. Changes nothing.
     * Throws USER_NOT_FOUND; an Error if events are missing.
     */
    async verify(key: StreamKey): Promise<Verification> {
      const { version, state } = await replay.stateAt(key)
      const { fingerprint } = eventTypes.of(key.tenantId)
      const kept = await selectSnapshotStates(db, bucketOf(key.userId, buckets), key, fingerprint)
      const found = [...kept.filter((snapshot) => snapshot.version <= version), { version, state }]
      const compared: Compared[] = []
      const states = statesAt(
        key,
        found.map((each) => each.version)
      )
      for await (const right of states) {
        const { version, state } = found[compared.length]!
        const operations = jsonPatch.compare(state, right)
        compared.push({ version, correct: operations.length === 0, operations })
      }
      const served = compared.at(-1)!
      const correct = compared.every((each) => each.correct)
      return { userId: key.userId, version, correct, served, snapshots: compared.slice(0, -1) }
    }
  }
}
