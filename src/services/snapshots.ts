/** Making, listing and clearing snapshots. They save work and are never the truth: losing any costs only speed. */
import { setTimeout as pause } from 'node:timers/promises'
import { v7 as uuidV7 } from 'uuid'
import type { Db } from '../db/client.js'
import { findDbError } from '../db/pg-error.js'
import { bucketOf } from '../domain/bucket.js'
import { DomainError, userNotFound } from '../domain/errors.js'
import type { StreamKey } from '../domain/event.js'
import { isSnapshotDue, type Snapshot } from '../domain/snapshot.js'
import { isStateOf } from '../domain/user.js'
import type { Metrics } from '../observe/metrics.js'
import { type Tracer, untraced } from '../observe/tracing.js'
import { selectHeadVersion } from '../store/events.js'
import {
  type AgeMark,
  deleteExpiredSnapshots,
  deleteSnapshotsBeyond,
  insertSnapshot,
  type SnapshotSummary,
  selectLatestSnapshot,
  selectSnapshotAt,
  selectSnapshotCandidates,
  selectSnapshots,
  selectSnapshotUsers,
  type UserMark
} from '../store/snapshots.js'
import type { EventTypeService } from './event-types.js'
import type { ReplayService } from './replay.js'

export type SnapshotPolicy = {
  /** events past the newest usable snapshot that make another due */
  threshold: number
  /** snapshots of a user that stay */
  retain: number
  /** age after which the others go */
  maxAgeDays: number
}

/**
 * Work in the background: no other user is begun `turnMs` after it began, and users whose snapshots the rules made useless are
 * `pauseMs` apart, so that new rules make no peak of load.
 */
export type Turn = { turnMs: number; pauseMs: number; signal: AbortSignal }

/** Positions of the log that one step of the snapshotter looks at. */
export const CANDIDATE_SPAN = 5000
/** Who makes those that are due. */
const SNAPSHOTTER = 'snapshotter'
const EXPIRY_BATCH = 1000
const DAY_MS = 86_400_000

type Taken = { created: boolean; snapshot: SnapshotSummary }

export type SnapshotService = ReturnType<typeof createSnapshotService>

export function createSnapshotService(parts: {
  db: Db
  replay: ReplayService
  eventTypes: Pick<EventTypeService, 'of' | 'fingerprints'>
  metrics: Pick<Metrics, 'snapshotCreated'>
  tracer?: Tracer
  buckets: number
  policy: SnapshotPolicy
  /** told why a user's events could not be folded in the background */
  onUnfoldable: (err: unknown) => void
}) {
  const { db, replay, eventTypes, metrics, tracer = untraced, buckets, policy, onUnfoldable } = parts
  const fingerprintOf = ({ tenantId }: StreamKey): string => eventTypes.of(tenantId).fingerprint
  const bucketFor = (key: StreamKey) => bucketOf(key.userId, buckets)

  async function assertUser(key: StreamKey): Promise<void> {
    if ((await selectHeadVersion(db, bucketFor(key), key)) === 0) throw userNotFound(key.userId)
  }

  const take = (key: StreamKey, reason: string, createdBy: string): Promise<Taken> =>
    tracer.span(
      'snapshot',
      // Not the reason: people may write what they like there.
      () => ({
        attributes: {
          'user.id': key.userId,
          'tenant.id': key.tenantId,
          'snapshot.by_itself': createdBy === SNAPSHOTTER
        }
      }),
      async (span) => {
        const taken = await make(key, reason, createdBy)
        span.set({ 'user.version': taken.snapshot.version, 'snapshot.created': taken.created })
        return taken
      }
    )

  async function make(key: StreamKey, reason: string, createdBy: string): Promise<Taken> {
    const startedAt = performance.now()
    const { version, fingerprint, text, replay: how } = await replay.stateAt(key, { useCache: false })
    const made = await insertSnapshot(
      db,
      bucketFor(key),
      key,
      {
        id: uuidV7(),
        version,
        stateText: text,
        fingerprint,
        metadata: { reason, eventCount: how.eventsApplied, snapshotSize: Buffer.byteLength(text), createdBy }
      },
      policy.retain
    )
    if (made) {
      metrics.snapshotCreated(reason, (performance.now() - startedAt) / 1000)
      return { created: true, snapshot: made }
    }
    const snapshot = await selectSnapshotAt(db, bucketFor(key), key, version, fingerprint)
    if (!snapshot) throw snapshotNotFound(key.userId)
    return { created: false, snapshot }
  }

  /** Tells whether it was made; a user whose events cannot be folded is reported. */
  async function makeDue({ tenantId, userId }: StreamKey, reason: 'threshold' | 'rules changed'): Promise<boolean> {
    try {
      await take({ tenantId, userId }, reason, SNAPSHOTTER)
      return true
    } catch (err) {
      if (findDbError(err)) throw err
      onUnfoldable(err)
      return false
    }
  }

  return {
    /** Makes a snapshot of the current version from the one before; `created` is false if it was there already. Throws USER_NOT_FOUND. */
    take,

    /** Snapshots of a user without their states, newest first; `usable` under the rules of this service. Throws USER_NOT_FOUND. */
    async list(key: StreamKey): Promise<(SnapshotSummary & { usable: boolean })[]> {
      await assertUser(key)
      const fingerprint = fingerprintOf(key)
      const snapshots = await selectSnapshots(db, bucketFor(key), key)
      return snapshots.map((snapshot) => ({ ...snapshot, usable: snapshot.fingerprint === fingerprint }))
    },

    /** Newest usable snapshot. Throws USER_NOT_FOUND, SNAPSHOT_NOT_FOUND. */
    async latest(key: StreamKey): Promise<Snapshot> {
      await assertUser(key)
      for (let below: number | undefined; ; ) {
        const snapshot = await selectLatestSnapshot(db, bucketFor(key), key, fingerprintOf(key), below)
        if (!snapshot) throw snapshotNotFound(key.userId)
        if (isStateOf(key, snapshot.state)) return snapshot
        below = snapshot.version
      }
    },

    /** Deletes all but the `retain` newest snapshots of a user and returns how many. Throws USER_NOT_FOUND. */
    async cleanUp(key: StreamKey, retain: number): Promise<number> {
      await assertUser(key)
      return await deleteSnapshotsBeyond(db, bucketFor(key), key, retain, fingerprintOf(key))
    },

    /** Deletes snapshots older than `days`, but never a user's newest usable one. Returns how many; stops early when aborted. */
    async expire(days: number, signal?: AbortSignal): Promise<number> {
      const before = new Date(Date.now() - days * DAY_MS).toISOString()
      let total = 0
      let after: AgeMark | null = null
      do {
        const { deleted, next } = await deleteExpiredSnapshots(db, {
          before,
          after,
          limit: EXPIRY_BATCH,
          fingerprints: eventTypes.fingerprints()
        })
        total += deleted
        after = next
      } while (after && !signal?.aborted)
      return total
    },

    /**
     * Of the next `limit` users with snapshots after `after`, makes one for each who has none that can be used any more,
     * because the rules of its tenant have changed, no faster than the turn allows. `next` is where to go on, null at the
     * end. Users whose events cannot be folded are reported.
     */
    async refreshStale(
      after: UserMark | null,
      { limit, ...turn }: Turn & { limit: number }
    ): Promise<{ made: number; next: UserMark | null }> {
      const users = await selectSnapshotUsers(db, after, limit, eventTypes.fingerprints())
      const mayGoOn = startTurn(turn)
      let made = 0
      for (const user of users) {
        if (user.usable) continue
        if (await makeDue(user, 'rules changed')) made++
        if (!(await mayGoOn(true))) return { made, next: user }
      }
      return { made, next: users.length === limit ? users.at(-1)! : null }
    },

    /**
     * One step of the snapshotter: looks at the log after `position` and makes the snapshots that are due; those of users whose
     * snapshots the rules made useless no faster than the turn allows. `position` is where it got to: all due users up to
     * there have their snapshot, but for those whose events cannot be folded, who are reported and hold nobody else up. A turn
     * that was over before that stays where it was, with `more` to do. Throws when the database fails.
     */
    async takeDue(bucket: number, position: number, turn: Turn): Promise<{ position: number; more: boolean }> {
      const { upTo, candidates } = await selectSnapshotCandidates(db, {
        bucket,
        position,
        span: CANDIDATE_SPAN,
        threshold: policy.threshold,
        fingerprints: eventTypes.fingerprints()
      })
      const mayGoOn = startTurn(turn)
      for (const { key, version, snapshotVersion, stale } of candidates) {
        if (!isSnapshotDue(version, snapshotVersion, policy.threshold)) continue
        await makeDue(key, stale ? 'rules changed' : 'threshold')
        if (!(await mayGoOn(stale))) return { position, more: true }
      }
      return { position: upTo, more: upTo - position >= CANDIDATE_SPAN }
    }
  }
}

/**
 * Waits `pauseMs` if it is told to, and says whether there is time for another user: a turn that took `turnMs`, or whose service
 * is stopping, is over.
 */
function startTurn({ turnMs, pauseMs, signal }: Turn): (pausing: boolean) => Promise<boolean> {
  const endAt = performance.now() + turnMs
  return async (pausing) => {
    if (pausing) await pause(pauseMs, undefined, { signal }).catch(() => {})
    return !signal.aborted && performance.now() < endAt
  }
}

const snapshotNotFound = (userId: string): DomainError =>
  new DomainError(
    'SNAPSHOT_NOT_FOUND',
    `User ${userId} has no usable snapshot. Make one, or read the state, which needs none.`
  )
