/** Replay with the cache of a process: always as good as a fold of every event, whoever appended them, and cheap. */
import { deepStrictEqual, ok } from 'node:assert'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { fold, nothingFolded, type Replay } from '../../src/domain/replay.js'
import { SLICE_EVENTS, TAIL_EVENTS } from '../../src/store/replay.js'
import { histories } from '../domain/histories.js'
import { instance, isLoad } from './instance.js'
import { logins, newKey, testParts } from './parts.js'

const parts = await testParts(t)

type Step =
  | { do: 'append'; events: number }
  | { do: 'read'; instance: number; version: number | null }
  | { do: 'snapshot' }
  | { do: 'evict'; instance: number }
  | { do: 'wait' }

const which = fc.integer({ min: 0, max: 1 })
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('append' as const), events: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ do: fc.constant('read' as const), instance: which, version: fc.constant(null) }),
    fc.record({ do: fc.constant('read' as const), instance: which, version: fc.constant(null) }),
    fc.record({ do: fc.constant('read' as const), instance: which, version: fc.nat(30) }),
    fc.constant({ do: 'snapshot' as const }),
    fc.record({ do: fc.constant('evict' as const), instance: which }),
    fc.constant({ do: 'wait' as const })
  ),
  { minLength: 5, maxLength: 40 }
)

t.test('every read, on any instance, includes what was acknowledged before it and is the fold of that', async (t) => {
  const instances = [instance(t, parts, { usersMax: 1 }), instance(t, parts, { usersMax: 1 })]
  const other = newKey()
  await parts.seed(other, logins(1))

  const property = fc.asyncProperty(histories(40), steps, async (events, steps) => {
    const key = newKey()
    const replays: Replay[] = [nothingFolded]
    for (const event of events) replays.push(fold(parts.catalog, key, replays.at(-1)!, [event]))
    let sent = 0
    let acknowledged = 0
    let appends = Promise.resolve()
    const reads: Promise<void>[] = []

    async function read(on: number, version: number | null): Promise<void> {
      const least = acknowledged
      const target = version === null ? {} : { version: 1 + (version % Math.max(1, least)) }
      try {
        const { replay, text, fingerprint, ...found } = await instances[on]!.replay.stateAt(key, target)
        if (target.version) deepStrictEqual(found.version, target.version)
        else ok(found.version >= least, `version ${found.version} is read when ${least} is acknowledged`)
        deepStrictEqual(found, { userId: key.userId, ...replays[found.version]! })
        deepStrictEqual(JSON.parse(text), found.state)
      } catch (err) {
        if (least > 0 || (err as { code?: string }).code !== 'USER_NOT_FOUND') throw err
      }
    }

    for (const step of steps) {
      if (step.do === 'append') {
        const more = events.slice(sent, sent + step.events)
        sent += more.length
        appends = appends.then(async () => {
          if (more.length > 0) await parts.seed(key, more)
          acknowledged += more.length
        })
      } else if (step.do === 'read') reads.push(read(step.instance, step.version))
      else if (step.do === 'evict') reads.push(instances[step.instance]!.replay.stateAt(other).then(() => {}))
      else if (step.do === 'wait') await Promise.race([appends, ...reads])
      else if (acknowledged > 0) reads.push(parts.snapshots.take(key, 'manual', 'test').then(() => {}))
      await nextTurn()
    }
    await appends
    await Promise.all([...reads, read(0, null), read(1, null)])
    if (sent > 0) deepStrictEqual((await instances[0]!.replay.stateAt(key)).version, sent)
  })
  await t.resolves(fc.assert(property, { numRuns: 150, endOnFailure: true }))
  const loads = instances.map(({ sent }) => sent.filter(isLoad).length)
  const tails = instances.map(({ sent }, i) => sent.length - loads[i]!)
  t.comment(`loads ${loads}, tails ${tails}`)
  for (const count of [...loads, ...tails]) t.ok(count > 20, 'both ways were taken')
})

t.test('a state is loaded once, and from then on costs a query without a row', async (t) => {
  const { replay, sent } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(7))
  const first = await replay.stateAt(key)
  t.match(first, { version: 7, state: { totalLogins: 6 }, replay: { source: 'events', eventsApplied: 7 } })
  const second = await replay.stateAt(key)
  t.strictSame(second.replay, { source: 'cache', snapshotVersion: null, eventsApplied: 0 })
  t.equal(second.text, first.text)
  await parts.seed(key, logins(2, 8))
  t.match(await replay.stateAt(key), {
    version: 9,
    state: { totalLogins: 8 },
    replay: { source: 'cache', eventsApplied: 2 }
  })
  t.strictSame(sent.map(isLoad), [true, false, false])
})

t.test('50 first reads at once are one load, and all are right', async (t) => {
  const { replay, sent } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(30))
  const found = await Promise.all(Array.from({ length: 50 }, () => replay.stateAt(key)))
  for (const { version, state } of found) t.strictSame([version, state.totalLogins], [30, 29])
  t.strictSame(sent.map(isLoad), [true, false], 'and one look at what came after it began, for the 49 that came later')
})

t.test('who joins a load that is under way sees what was acknowledged since that began', async (t) => {
  const { replay, sent, holdNext } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(3))
  const { taken, release } = holdNext()
  const before = Array.from({ length: 5 }, () => replay.stateAt(key))
  await taken
  await parts.seed(key, logins(1, 4))
  const after = Array.from({ length: 50 }, () => replay.stateAt(key))
  await nextTurn()
  release()
  t.equal((await before[0]!).version, 3, 'the load itself began before')
  for (const { version, state } of await Promise.all(after)) t.strictSame([version, state.totalLogins], [4, 3])
  t.strictSame(sent.map(isLoad), [true, false])
  t.equal((await replay.stateAt(key)).version, 4)
})

t.test('nor is a user unknown to who asks after its creation was acknowledged', async (t) => {
  const { replay, sent, holdNext } = instance(t, parts)
  const key = newKey()
  const { taken, release } = holdNext()
  const before = replay.stateAt(key)
  await taken
  await parts.seed(key, logins(1))
  const after = Array.from({ length: 50 }, () => replay.stateAt(key))
  await nextTurn()
  release()
  await t.rejects(before, { code: 'USER_NOT_FOUND' }, 'the load itself began before')
  for (const { version } of await Promise.all(after)) t.equal(version, 1)
  t.strictSame(sent.map(isLoad), [true, true], 'the 50 share a load of their own')
})

t.test('an unknown user is not kept as unknown, and many that ask for it at once are two loads', async (t) => {
  const { replay, sent } = instance(t, parts)
  const key = newKey()
  const found = await Promise.allSettled(Array.from({ length: 50 }, () => replay.stateAt(key)))
  t.ok(found.every((result) => result.status === 'rejected' && result.reason.code === 'USER_NOT_FOUND'))
  t.strictSame(sent.map(isLoad), [true, true])
  await parts.seed(key, logins(1))
  t.equal((await replay.stateAt(key)).version, 1)
})

t.test('a load that fails fails all that share it, and the next request loads anew', async (t) => {
  const { replay, sent } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(3))
  await parts.database.run('ALTER TABLE user_snapshots RENAME TO elsewhere')
  const found = await Promise.allSettled(Array.from({ length: 50 }, () => replay.stateAt(key)))
  await parts.database.run('ALTER TABLE elsewhere RENAME TO user_snapshots')
  t.ok(found.every((result) => result.status === 'rejected' && result.reason.sqlState === '42P01'))
  t.equal(sent.length, 1)
  t.equal((await replay.stateAt(key)).version, 3)
})

t.test('what is cached is no answer while the log cannot be asked', async (t) => {
  const { replay } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(3))
  await replay.stateAt(key)
  await parts.database.run('ALTER TABLE user_events RENAME TO elsewhere')
  await t.rejects(replay.stateAt(key), /does not exist/)
  await parts.database.run('ALTER TABLE elsewhere RENAME TO user_events')
  t.match(await replay.stateAt(key), { version: 3, replay: { source: 'cache' } })
})

t.test('the version that is cached needs no query; any other is loaded and leaves the cache as it is', async (t) => {
  const { replay, sent } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(9))
  await replay.stateAt(key)
  sent.length = 0
  t.match(await replay.stateAt(key, { version: 9 }), {
    version: 9,
    state: { totalLogins: 8 },
    replay: { source: 'cache' }
  })
  t.equal(sent.length, 0)
  t.match(await replay.stateAt(key, { version: 4 }), {
    version: 4,
    state: { totalLogins: 3 },
    replay: { source: 'events' }
  })
  t.strictSame(sent.map(isLoad), [true])
  await t.rejects(replay.stateAt(key, { version: 10 }), { code: 'VERSION_NOT_FOUND', facts: { currentVersion: 9 } })
  sent.length = 0
  t.match(await replay.stateAt(key), { version: 9, replay: { source: 'cache', eventsApplied: 0 } })
  t.strictSame(sent.map(isLoad), [false])
})

t.test('useSnapshot=false, useCache=false and a moment do not start from the cache', async (t) => {
  const { replay } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(5))
  await replay.stateAt(key)
  const events = { source: 'events', snapshotVersion: null, eventsApplied: 5 }
  t.strictSame((await replay.stateAt(key, { useSnapshot: false })).replay, events)
  t.strictSame((await replay.stateAt(key, { useSnapshot: false, maxStaleMs: 1e9 })).replay, events)
  t.strictSame((await replay.stateAt(key, { useSnapshot: false, version: 5 })).replay, events)
  t.strictSame((await replay.stateAt(key, { useCache: false })).replay, events)
  t.strictSame((await replay.stateAt(key, { at: '2026-01-02T00:00:00.000Z' })).replay, events)
  t.match(await replay.stateAt(key, { at: '2026-01-01T00:00:00.003Z', maxStaleMs: 1e9 }), { version: 3 })
  t.equal((await replay.stateAt(key)).replay.source, 'cache')
})

t.test('what a fold of every event gives is not kept: it is for finding out what is wrong', async (t) => {
  const { replay, sent } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(5))
  await replay.stateAt(key, { useSnapshot: false })
  await replay.stateAt(key)
  t.strictSame(sent.map(isLoad), [true, true])
})

t.test('an entry far behind is brought up to the newest event, over however many slices', async (t) => {
  for (const behind of [TAIL_EVENTS - 1, TAIL_EVENTS, TAIL_EVENTS + 1, TAIL_EVENTS + SLICE_EVENTS + 1]) {
    const { replay, sent } = instance(t, parts)
    const key = newKey()
    await parts.seed(key, logins(2))
    await replay.stateAt(key)
    await parts.seed(key, logins(behind, 3))
    const version = behind + 2
    t.match(await replay.stateAt(key), {
      version,
      state: { totalLogins: version - 1 },
      replay: { source: 'cache', eventsApplied: behind }
    })
    t.equal(sent.filter(isLoad).length, 1, `${behind} behind: without another load`)
    t.match(await replay.stateAt(key), { version, replay: { eventsApplied: 0 } })
  }
})

t.test('a hole in what came after the cached version is an error, and the cache stays as it was', async (t) => {
  const { replay } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(2))
  await replay.stateAt(key)
  await parts.seed(key, logins(1, 4))
  await t.rejects(replay.stateAt(key), /have a hole/)
  t.equal((await replay.stateAt(key, { maxStaleMs: 1e9 })).version, 2)
})

t.test('a state that was the newest less than maxStaleMs ago is given without a query', async (t) => {
  const { replay, sent } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(2))
  t.equal((await replay.stateAt(key, { maxStaleMs: 1e9 })).version, 2, 'if there is none, it is loaded')
  await parts.seed(key, logins(1, 3))
  sent.length = 0
  t.match(await replay.stateAt(key, { maxStaleMs: 1e9 }), { version: 2, replay: { source: 'cache', eventsApplied: 0 } })
  t.equal(sent.length, 0)
  t.equal((await replay.stateAt(key, { maxStaleMs: 0 })).version, 3, 'no time is never long enough')
  t.equal(sent.length, 1)
})

t.test('a user of another tenant is not found, cached or not', async (t) => {
  const { replay } = instance(t, parts)
  const key = newKey()
  await parts.seed(key, logins(2))
  await replay.stateAt(key)
  const foreign = { ...key, tenantId: newKey().userId }
  await t.rejects(replay.stateAt(foreign), { code: 'USER_NOT_FOUND' })
  await t.rejects(replay.stateAt(foreign, { maxStaleMs: 1e9 }), { code: 'USER_NOT_FOUND' })
  await t.rejects(replay.stateAt(foreign, { version: 2 }), { code: 'USER_NOT_FOUND' })
})
