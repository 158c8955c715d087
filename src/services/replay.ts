/**
 * State of a user now, at a version or at a moment. The current state starts from what is cached and asks the log for what
 * came after it; all else starts from the newest usable snapshot. Either way one fold of the events makes the answer.
 */
import { setImmediate } from 'node:timers/promises'
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import type { Catalog } from '../domain/catalog.js'
import { DomainError, userNotFound, versionNotFound } from '../domain/errors.js'
import type { FoldEvent, StreamKey } from '../domain/event.js'
import { fold, type KnownState, nothingFolded, type Replay, type StateKey } from '../domain/replay.js'
import type { User } from '../domain/user.js'
import type { Metrics } from '../observe/metrics.js'
import { type Tracer, untraced } from '../observe/tracing.js'
import {
  FIRST_SLICE_EVENTS,
  type FoldStart,
  type FoldTarget,
  NO_END,
  SLICE_EVENTS,
  selectFoldStart,
  selectSlice,
  TAIL_EVENTS
} from '../store/replay.js'
import type { EventTypeService } from './event-types.js'
import type { FairSlots } from './fair-slots.js'
import type { StateCache } from './state-cache.js'
import type { TailReader } from './tail-reader.js'

export type ReplayTarget = {
  /** version to stop after; the newest when neither this nor `at` is given */
  version?: number | undefined
  /** moment to stop after, inclusive; RFC 3339 in UTC */
  at?: string | undefined
  /** false starts from a snapshot and not from what is cached */
  useCache?: boolean
  /** false folds every event, for debugging */
  useSnapshot?: boolean
  /** a current state that was the newest less than this long ago will do, ms; of no use to `version` and `at` */
  maxStaleMs?: number | undefined
}

export type ReplayedState = {
  userId: string
  version: number
  /** names the rules it was folded under */
  fingerprint: string
  asOf: string
  state: User
  /** the state as JSON */
  text: string
  replay: { source: 'cache' | 'snapshot' | 'events'; snapshotVersion: number | null; eventsApplied: number }
}

/**
 * One read, under the rules that were known when it began. They may change while it waits for the database: what it folds,
 * keeps and answers bears the name of these.
 */
type Reading = { key: StateKey; catalog: Catalog }

export type ReplayService = ReturnType<typeof createReplayService>

export function createReplayService(parts: {
  db: Db
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes'>
  metrics: Pick<Metrics, 'replayed' | 'snapshotIgnored'>
  tracer?: Tracer
  buckets: number
  cache: StateCache
  tails: TailReader
  /** for what is not cached */
  turns: FairSlots
}) {
  const { db, eventTypes, metrics, tracer = untraced, buckets, cache, tails, turns } = parts
  /** Loads that are under way: whoever misses the cache meanwhile shares them. */
  const loading = new Map<string, Promise<ReplayedState>>()

  /** From the newest usable snapshot at or below the target. */
  async function load({ key, catalog }: Reading, target: ReplayTarget): Promise<ReplayedState> {
    const bucket = bucketOf(key.userId, buckets)
    const startedAt = performance.now()
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
    for await (const events of slices(key, start)) reached = fold(catalog, key, reached, events)
    if (reached.version !== start.targetVersion)
      throw new Error(
        `The events of user ${key.userId} have a hole: version ${reached.version} is the last of ${start.targetVersion}.`
      )
    const { version, asOf } = reached
    const state = reached.state!
    const isNewest = version === start.headVersion && target.useSnapshot !== false
    const text = isNewest ? cache.put(key, { version, asOf, state }, startedAt).text : JSON.stringify(state)
    const source = from > 0 ? 'snapshot' : 'events'
    const replay = { source, snapshotVersion: from > 0 ? from : null, eventsApplied: version - from } as const
    return { userId: key.userId, version, fingerprint: key.fingerprint, asOf, state, text, replay }
  }

  /** The events of a fold, slice by slice; while one is folded, the database reads the next SLICES_AHEAD. */
  async function* slices(key: StreamKey, { snapshot, events, targetVersion }: FoldStart): AsyncGenerator<FoldEvent[]> {
    const bucket = bucketOf(key.userId, buckets)
    const ahead = [Promise.resolve(events)]
    let asked = (snapshot?.version ?? 0) + FIRST_SLICE_EVENTS
    for (let slice = ahead.shift(); slice; slice = ahead.shift()) {
      for (; asked < targetVersion && ahead.length < SLICES_AHEAD; asked += SLICE_EVENTS) {
        const upTo = Math.min(asked + SLICE_EVENTS, targetVersion)
        const next = selectSlice(db, bucket, key, { after: asked, upTo })
        // Whoever stops before the end leaves it unread.
        next.catch(() => {})
        ahead.push(next)
      }
      if (ahead.length > 0) await sent()
      yield await slice
    }
  }

  const loadInTurn = (reading: Reading, target: ReplayTarget): Promise<ReplayedState> =>
    turns.run(reading.key.tenantId, () => load(reading, target))

  /** What is known, and the events after it. */
  async function catchUp({ key, catalog }: Reading, known: KnownState): Promise<ReplayedState> {
    const startedAt = performance.now()
    const tail = await tails.after(key, known.version)
    // Mostly nothing came, and whoever reads what is cached waits for the database alone.
    const newest = tail.length === 0 ? known : await foldOn({ key, catalog }, known, tail, tail.length >= TAIL_EVENTS)
    return fromCache(key, cache.put(key, newest, startedAt), known.version)
  }

  /** From the shared cache, if what it has is what the log says: the event of that version must stand there, with that time. */
  async function fromShared({ key, catalog }: Reading): Promise<ReplayedState | null> {
    const known = await cache.fetch(key)
    if (!known) return null
    const startedAt = performance.now()
    const events = await tails.after(key, known.version - 1)
    const [last, ...tail] = events
    // What it was folded from is in the archive: a snapshot is nearer.
    if (last && last.version > known.version) return null
    if (last?.version !== known.version || last.createdAt !== known.asOf) {
      cache.distrust(key)
      return null
    }
    const newest = await foldOn({ key, catalog }, known, tail, events.length >= TAIL_EVENTS)
    tracer.current().set({ 'state.tier': 'redis' })
    return fromCache(key, cache.put(key, newest, startedAt, known.version), known.version)
  }

  /** `known` with its tail folded onto it; where there may be `more` than a batch of tails holds, the rest is read by slices. */
  async function foldOn({ key, catalog }: Reading, known: KnownState, tail: readonly FoldEvent[], more: boolean) {
    if (tail.length === 0) return known
    // What comes between was archived since.
    const hasGap = tail[0]!.version > known.version + 1
    let reached: Replay = hasGap ? known : fold(catalog, key, known, tail)
    let goesOn = hasGap || more
    while (goesOn) {
      const events = await selectSlice(db, bucketOf(key.userId, buckets), key, { after: reached.version, upTo: NO_END })
      reached = fold(catalog, key, reached, events)
      goesOn = events.length > 0
    }
    return { ...reached, state: reached.state! }
  }

  function current(reading: Reading, maxStaleMs: number): Promise<ReplayedState> {
    const { key } = reading
    const known = cache.get(key)
    if (!known) return loadCurrent(reading)
    const fresh = performance.now() - known.checkedAt < maxStaleMs
    return fresh ? Promise.resolve(fromCache(key, known, known.version)) : catchUp(reading, known)
  }

  /** Of a user who is not cached; shares a load that is under way. */
  async function loadCurrent(reading: Reading): Promise<ReplayedState> {
    const { key } = reading
    const name = `${key.tenantId}:${key.userId}:${key.fingerprint}`
    const running = loading.get(name)
    if (!running) return await begin(reading, name)
    // It may have begun before this request: what was acknowledged in between must be looked for, the user's creation too.
    const found = await running.catch(nullIfNotFound)
    return found ? await catchUp(reading, found) : await (loading.get(name) ?? begin(reading, name))
  }

  function begin(reading: Reading, name: string): Promise<ReplayedState> {
    const mine = fromShared(reading)
      .then((found) => found ?? loadInTurn(reading, {}))
      .finally(() => loading.delete(name))
    loading.set(name, mine)
    return mine
  }

  function replay({ tenantId, userId }: StreamKey, target: ReplayTarget): Promise<ReplayedState> {
    const catalog = eventTypes.of(tenantId)
    const key = { tenantId, userId, fingerprint: catalog.fingerprint }
    const reading = { key, catalog }
    // Who makes snapshots asks for one after another, and nobody would repeat it.
    if (target.useCache === false) return load(reading, target)
    if (target.at !== undefined || target.useSnapshot === false) return loadInTurn(reading, target)
    if (target.version === undefined) return current(reading, target.maxStaleMs ?? 0)
    const known = cache.get(key)
    return known?.version === target.version
      ? Promise.resolve(fromCache(key, known, known.version))
      : loadInTurn(reading, target)
  }

  async function measured(key: StreamKey, target: ReplayTarget): Promise<ReplayedState> {
    const startedAt = performance.now()
    try {
      const result = await eventTypes.withTypes(() => replay(key, target))
      const seconds = (performance.now() - startedAt) / 1000
      const { source, eventsApplied } = result.replay
      metrics.replayed({ success: true, useSnapshot: source !== 'events', eventCount: eventsApplied, seconds })
      return result
    } catch (err) {
      metrics.replayed({ success: false, useSnapshot: target.useSnapshot !== false, eventCount: 0, seconds: 0 })
      throw err
    }
  }

  return {
    /**
     * State after the last event at or before the target. Without a target it includes every append that was acknowledged
     * before the call, on any instance. The state must not be changed: others may hold it. Throws USER_NOT_FOUND,
     * VERSION_NOT_FOUND (with `currentVersion`), NO_STATE_YET.
     */
    stateAt: (key: StreamKey, target: ReplayTarget = {}): Promise<ReplayedState> =>
      tracer.span(
        'state',
        // The cache, unless it turns out that it began elsewhere.
        () => ({ attributes: { 'user.id': key.userId, 'tenant.id': key.tenantId, 'state.tier': 'cache' } }),
        async (span) => {
          const result = await measured(key, target)
          const { source, eventsApplied } = result.replay
          span.set({ 'state.events_folded': eventsApplied, 'user.version': result.version })
          if (source !== 'cache') span.set({ 'state.tier': source === 'snapshot' ? 'snapshot' : 'full' })
          return result
        }
      )
  }
}

function nullIfNotFound(err: unknown): null {
  if (err instanceof DomainError && err.code === 'USER_NOT_FOUND') return null
  throw err
}

/** Two, so that one is always at work in the database while the answer of the other is on its way. */
const SLICES_AHEAD = 2

/** Lets others have their turn; what was asked of the database before has been sent when it ends (the driver sends in the next turn). */
async function sent(): Promise<void> {
  await setImmediate()
  await setImmediate()
}

function fromCache(
  { userId, fingerprint }: StateKey,
  { version, asOf, state, text }: KnownState,
  cachedVersion: number
): ReplayedState {
  const replay = { source: 'cache', snapshotVersion: null, eventsApplied: version - cachedVersion } as const
  return { userId, version, fingerprint, asOf, state, text, replay }
}

function assertReachable(key: StateKey, target: ReplayTarget, { headVersion, targetVersion }: FoldStart): void {
  if (headVersion === 0) throw userNotFound(key.userId)
  if (target.version !== undefined && target.version > headVersion) throw versionNotFound(target.version, headVersion)
  if (targetVersion === 0) {
    throw new DomainError(
      'NO_STATE_YET',
      `User ${key.userId} had no events yet at ${target.at}. Ask for a later moment.`
    )
  }
}
