import { deepStrictEqual } from 'node:assert'
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import type { FoldEvent, StreamKey } from '../../src/domain/event.js'
import { fold, nothingFolded, type Replay } from '../../src/domain/replay.js'
import { FIRST_SLICE_EVENTS, SLICE_EVENTS } from '../../src/store/replay.js'
import { histories } from '../domain/histories.js'
import { logins, newKey, type Parts, testParts } from './parts.js'

type Kind = 'taken' | 'good' | 'stale' | 'empty' | 'of another user' | 'half'
const kinds: Kind[] = ['taken', 'good', 'good', 'stale', 'empty', 'of another user', 'half']

/** Replays of all prefixes of a history; number n is that of version n. */
function prefixes({ catalog }: Parts, key: StreamKey, events: readonly FoldEvent[]): Replay[] {
  const replays = [nothingFolded]
  for (const event of events) replays.push(fold(catalog, key, replays.at(-1)!, [event]))
  return replays
}

/** Seeds the history, and on the way a snapshot of some kind at some of its versions. Returns the versions of usable ones. */
async function seedWithSnapshots(
  parts: Parts,
  key: StreamKey,
  events: readonly FoldEvent[],
  replays: readonly Replay[],
  marks: readonly (readonly [at: number, kind: Kind])[]
): Promise<number[]> {
  const kindAt = new Map(marks.map(([at, kind]) => [1 + (at % events.length), kind]))
  let seeded = 0
  const usable: number[] = []
  for (const [version, kind] of [...kindAt].sort(([a], [b]) => a - b)) {
    await parts.seed(key, events.slice(seeded, version))
    seeded = version
    const { state } = replays[version]!
    const otherStates = {
      empty: {},
      'of another user': { ...state, id: randomUUID() },
      half: { id: state!.id, tenantId: state!.tenantId }
    }
    if (kind === 'taken') await parts.snapshots.take(key, 'manual', 'test')
    else if (kind === 'stale')
      await parts.putSnapshot(key, { version, state: { ...state, fullName: 'wrong' }, fingerprint: 'other rules' })
    else await parts.putSnapshot(key, { version, state: kind === 'good' ? state : otherStates[kind] })
    if (kind === 'taken' || kind === 'good') usable.push(version)
  }
  await parts.seed(key, events.slice(seeded))
  return usable
}

t.test('state is the fold of all events, at every version and moment, whatever snapshots there are', async (t) => {
  const parts = await testParts(t, { policy: { retain: 1000 } })
  const marks = fc.array(fc.tuple(fc.nat(), fc.constantFrom(...kinds)), { maxLength: 8 })
  const property = fc.asyncProperty(histories(25), marks, async (events, marks) => {
    const key = newKey()
    const replays = prefixes(parts, key, events)
    const usable = await seedWithSnapshots(parts, key, events, replays, marks)

    const assertVersion = async (version: number, target: object) => {
      const { replay, text, fingerprint, ...found } = await parts.replay.stateAt(key, { ...target, useCache: false })
      deepStrictEqual(JSON.parse(text), found.state)
      deepStrictEqual(found, { userId: key.userId, ...replays[version]! })
      const { snapshotVersion } = replay
      deepStrictEqual(replay, {
        source: snapshotVersion === null ? 'events' : 'snapshot',
        snapshotVersion,
        eventsApplied: version - (snapshotVersion ?? 0)
      })
      if (snapshotVersion !== null)
        deepStrictEqual(usable.filter((usable) => usable <= version).at(-1), snapshotVersion)
    }
    const versionAt = (ms: number) => events.filter(({ createdAt }) => Date.parse(createdAt) <= ms).length
    const moments = events.flatMap(({ createdAt }) => [-1, 0, 1].map((ms) => Date.parse(createdAt) + ms))

    await Promise.all([
      assertVersion(events.length, {}),
      assertVersion(events.length, { useSnapshot: false }),
      ...events.map(({ version }) => assertVersion(version, { version })),
      ...events.map(({ version }) => assertVersion(version, { version, useSnapshot: false })),
      ...moments.filter(versionAt).map((ms) => assertVersion(versionAt(ms), { at: new Date(ms).toISOString() }))
    ])
  })
  await t.resolves(fc.assert(property, { numRuns: 40, endOnFailure: true }))
})

t.test('a broken snapshot is counted and every event is folded instead; a stale one is counted', async (t) => {
  const parts = await testParts(t)
  const key = newKey()
  await parts.seed(key, logins(20))
  const ignored = (reason: string) => parts.counted('event_snapshots_ignored_total', { reason })
  await parts.putSnapshot(key, { version: 5, state: (await parts.replay.stateAt(key, { version: 5 })).state })
  await parts.putSnapshot(key, { version: 9, state: {}, fingerprint: 'other rules' })
  t.match((await parts.replay.stateAt(key, { useCache: false })).replay, {
    source: 'snapshot',
    snapshotVersion: 5,
    eventsApplied: 15
  })
  t.equal(await ignored('stale'), 1)
  for (const [version, state] of [null, 5, 'text', [], { id: key.userId }].entries()) {
    await parts.putSnapshot(key, { version: 10 + version, state })
    const { state: found, replay } = await parts.replay.stateAt(key, { useCache: false })
    t.equal(found.totalLogins, 19)
    t.match(replay, { source: 'events', snapshotVersion: null, eventsApplied: 20 }, JSON.stringify(state))
    t.equal(await ignored('broken'), version + 1)
  }
  t.match(
    (await parts.replay.stateAt(key, { version: 9, useCache: false })).replay,
    { snapshotVersion: 5 },
    'below it others are used'
  )
})

t.test('streams longer than a slice are folded to the end, from any start', async (t) => {
  const parts = await testParts(t)
  const key = newKey()
  const count = FIRST_SLICE_EVENTS + 2 * SLICE_EVENTS + 3
  await parts.seed(key, logins(count))
  const { state } = await parts.replay.stateAt(key, { version: 2 })
  async function check(targets: number[], snapshotVersion: number | null) {
    for (const version of targets) {
      const found = await parts.replay.stateAt(key, { version, useCache: false })
      t.equal(found.state.totalLogins, version - 1, `version ${version} from ${snapshotVersion}`)
      t.match(found, { version, replay: { snapshotVersion, eventsApplied: version - (snapshotVersion ?? 0) } })
    }
  }
  const edges = [0, 1, 2].flatMap((slices) =>
    [-1, 0, 1].map((more) => FIRST_SLICE_EVENTS + slices * SLICE_EVENTS + more)
  )
  await check([1, ...edges, count], null)
  await parts.putSnapshot(key, { version: 2, state })
  await check([2, 3, ...edges.map((version) => version + 2)], 2)
})

t.test('a hole in the stream is an error, never a state', async (t) => {
  const parts = await testParts(t)
  for (const [missing, head] of [
    [1, 3],
    [2, 3],
    ...[FIRST_SLICE_EVENTS, FIRST_SLICE_EVENTS + SLICE_EVENTS].flatMap((end) => [
      [end, end + 2],
      [end + 1, end + 2]
    ])
  ] as [missing: number, head: number][]) {
    const key = newKey()
    await parts.seed(
      key,
      logins(head).filter(({ version }) => version !== missing)
    )
    await t.rejects(parts.replay.stateAt(key, { useCache: false }), /have a hole/, `version ${missing} of ${head}`)
    if (missing > 1) t.equal((await parts.replay.stateAt(key, { version: missing - 1 })).version, missing - 1)
  }
})

t.test('what cannot be reached is said', async (t) => {
  const parts = await testParts(t)
  const key = newKey()
  await parts.seed(key, logins(3))
  const stateAt = (target: object, of = key) => parts.replay.stateAt(of, target)
  await t.rejects(stateAt({ version: 4 }), { code: 'VERSION_NOT_FOUND', facts: { currentVersion: 3 } })
  await t.rejects(stateAt({ at: '2026-01-01T00:00:00.000Z' }), { code: 'NO_STATE_YET' })
  t.equal((await stateAt({ at: '2026-01-01T00:00:00.001Z' })).version, 1, 'the moment of the first event is included')
  t.equal((await stateAt({ at: '9999-12-31T23:59:59.999Z' })).version, 3)
  for (const target of [{}, { version: 1 }, { at: '2026-01-02T00:00:00.000Z' }, { useSnapshot: false }]) {
    await t.rejects(stateAt(target, newKey()), { code: 'USER_NOT_FOUND' })
    await t.rejects(
      stateAt(target, { ...key, tenantId: randomUUID() }),
      { code: 'USER_NOT_FOUND' },
      'of another tenant'
    )
  }
  t.equal(await parts.counted('event_replay_requests_total', { success: 'false' }), 10)
  t.equal(await parts.counted('event_replay_requests_total', { success: 'true', use_snapshot: 'false' }), 2)
})

t.test('a user of a store with several buckets is read from its own', async (t) => {
  const parts = await testParts(t, { buckets: 8 })
  const keys = Array.from({ length: 20 }, () => newKey())
  for (const [i, key] of keys.entries()) await parts.seed(key, logins(i + 1))
  for (const [i, key] of keys.entries()) {
    await parts.snapshots.take(key, 'manual', 'test')
    t.match(await parts.replay.stateAt(key, { useCache: false }), {
      version: i + 1,
      state: { totalLogins: i },
      replay: { snapshotVersion: i + 1 }
    })
  }
})
