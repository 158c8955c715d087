/** State of a user now, at a version or at a moment: newest usable snapshot, the events after it, one fold. */
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import type { Catalog } from '../domain/catalog.js'
import { DomainError, userNotFound, versionNotFound } from '../domain/errors.js'
import type { StreamKey } from '../domain/event.js'
import { fold, nothingFolded, type Replay } from '../domain/replay.js'
import type { User } from '../domain/user.js'
import type { Metrics } from '../observe/metrics.js'
import { type FoldStart, type FoldTarget, selectFoldStart, selectSlice } from '../store/replay.js'

export type ReplayTarget = {
  /** version to stop after; the newest when neither this nor `at` is given */
  version?: number | undefined
  /** moment to stop after, inclusive; RFC 3339 in UTC */
  at?: string | undefined
  /** false folds every event, for debugging */
  useSnapshot?: boolean
}

export type ReplayedState = {
  userId: string
  version: number
  asOf: string
  state: User
  replay: { source: 'snapshot' | 'events'; snapshotVersion: number | null; eventsApplied: number }
}

export type ReplayService = ReturnType<typeof createReplayService>

export function createReplayService({
  db,
  catalog,
  metrics,
  buckets
}: {
  db: Db
  catalog: Catalog
  metrics: Pick<Metrics, 'replayed' | 'snapshotIgnored'>
  buckets: number
}) {
  async function load(key: StreamKey, target: ReplayTarget): Promise<ReplayedState> {
    const bucket = bucketOf(key.userId, buckets)
    const wanted: FoldTarget = {
      version: target.version,
      at: target.at,
      fingerprint: target.useSnapshot === false ? null : catalog.fingerprint
    }
    let start = await selectFoldStart(db, bucket, key, wanted)
    if (start.ignored) metrics.snapshotIgnored(start.ignored)
    if (start.ignored === 'broken') start = await selectFoldStart(db, bucket, key, { ...wanted, fingerprint: null })
    assertReachable(key, target, start)

    let reached: Replay = start.snapshot ?? nothingFolded
    const from = reached.version
    for (
      let events = start.events;
      ;
      events = await selectSlice(db, bucket, key, reached.version, start.targetVersion)
    ) {
      reached = fold(catalog, key, reached, events)
      if (reached.version >= start.targetVersion) break
      if (events.length === 0)
        throw new Error(`Events of user ${key.userId} after version ${reached.version} are missing.`)
    }
    return {
      userId: key.userId,
      version: reached.version,
      asOf: reached.asOf,
      state: reached.state!,
      replay: {
        source: from > 0 ? 'snapshot' : 'events',
        snapshotVersion: from > 0 ? from : null,
        eventsApplied: reached.version - from
      }
    }
  }

  return {
    /**
     * State after the last event at or before the target. Without a target it includes every append that was acknowledged
     * before the call, on any instance. Throws USER_NOT_FOUND, VERSION_NOT_FOUND (with `currentVersion`), NO_STATE_YET.
     */
    async stateAt(key: StreamKey, target: ReplayTarget = {}): Promise<ReplayedState> {
      const startedAt = performance.now()
      try {
        const result = await load(key, target)
        const seconds = (performance.now() - startedAt) / 1000
        const { source, eventsApplied } = result.replay
        metrics.replayed({ success: true, useSnapshot: source === 'snapshot', eventCount: eventsApplied, seconds })
        return result
      } catch (err) {
        metrics.replayed({ success: false, useSnapshot: target.useSnapshot !== false, eventCount: 0, seconds: 0 })
        throw err
      }
    }
  }
}

function assertReachable(key: StreamKey, target: ReplayTarget, { headVersion, targetVersion }: FoldStart): void {
  if (headVersion === 0) throw userNotFound(key.userId)
  if (target.version !== undefined && target.version > headVersion) throw versionNotFound(target.version, headVersion)
  if (targetVersion === 0) {
    throw new DomainError(
      'NO_STATE_YET',
      `User ${key.userId} had no events yet at ${target.at}. Ask for a later moment.`
    )
  }
}
