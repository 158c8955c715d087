/** What each event of a user did to the state, as RFC 6902 JSON Patch. */
import jsonPatch, { type Operation } from 'fast-json-patch'
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import { versionNotFound } from '../domain/errors.js'
import type { StreamKey } from '../domain/event.js'
import type { User } from '../domain/user.js'
import { selectSlice } from '../store/replay.js'
import type { EventTypeService } from './event-types.js'
import type { ReplayService } from './replay.js'

/** Effects in one page: an event of 64 KiB can have one as large. */
export const EFFECTS_MAX = 500

export type Effect = { version: number; eventType: string; createdAt: string; operations: Operation[] }

/** `version` is the newest of the user, `next` the version at which the next page begins; null on the last. */
export type Effects = { userId: string; version: number; effects: Effect[]; next: number | null }

export type EffectService = ReturnType<typeof createEffectService>

export function createEffectService(parts: {
  db: Db
  replay: ReplayService
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes'>
  buckets: number
}) {
  const { db, replay, eventTypes, buckets } = parts

  async function read(key: StreamKey, { from, limit, useSnapshot }: EffectPage): Promise<Effects> {
    const { version } = await replay.stateAt(key)
    if (from > version) throw versionNotFound(from, version)
    const upTo = Math.min(version, from + limit - 1)
    const catalog = eventTypes.of(key.tenantId)
    const before = from === 1 ? null : await replay.stateAt(key, { version: from - 1, useSnapshot })
    // The rules changed in between: what they made of the state before is no place to go on from.
    if (before && before.fingerprint !== catalog.fingerprint) return await read(key, { from, limit, useSnapshot })
    let state: User | null = before?.state ?? null
    const effects: Effect[] = []
    for (let at = from - 1; at < upTo; ) {
      const events = await selectSlice(db, bucketOf(key.userId, buckets), key, { after: at, upTo })
      if (events[0]?.version !== at + 1) throw new Error(`Version ${at + 1} of user ${key.userId} is missing.`)
      for (const event of events) {
        const after: User = catalog.evolve(key, state, event)
        const { eventType, createdAt } = event
        effects.push({ version: event.version, eventType, createdAt, operations: changeOf(state, after) })
        state = after
      }
      at = events.at(-1)!.version
    }
    return { userId: key.userId, version, effects, next: upTo < version ? upTo + 1 : null }
  }

  return {
    /** A page of at most `limit` effects, beginning with that of version `from`. Throws USER_NOT_FOUND, VERSION_NOT_FOUND. */
    read: (key: StreamKey, page: EffectPage): Promise<Effects> => eventTypes.withTypes(() => read(key, page))
  }
}

export type EffectPage = {
  from: number
  limit: number
  /** false folds every event up to the page, for debugging */
  useSnapshot: boolean
}

/** The first event makes the state from nothing. */
const changeOf = (before: User | null, after: User): Operation[] =>
  before === null ? [{ op: 'replace', path: '', value: after }] : jsonPatch.compare(before, after)
