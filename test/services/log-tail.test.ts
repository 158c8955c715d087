/** The shared end of the log: what following costs, however many do it, and what happens when it cannot go on. */
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { markOf } from '../../src/domain/feed-cursor.js'
import type { StreamBatch } from '../../src/services/feed.js'
import type { defaultTailLimits } from '../../src/services/log-tail.js'
import { loseEventsAfter } from '../support/feed.js'
import { range } from '../support/sse.js'
import { until } from '../support/wait.js'
import { testFeed } from './feed-parts.js'
import { logins, newKey } from './parts.js'

/** A feed whose polls are made by the test. */
async function setUp(t: Test, limits: Partial<typeof defaultTailLimits> = {}) {
  let poll: (() => Promise<'more' | 'idle'>) | null = null
  const stop = async () => {
    poll = null
  }
  const parts = await testFeed(
    t,
    (once) => {
      poll = once
      return { wake: () => {}, stop }
    },
    limits
  )
  const key = newKey()
  let stored = 0
  return {
    ...parts,
    polling: () => poll !== null,
    poll: () => poll!(),
    async store(count: number) {
      await parts.seed(key, logins(count, stored + 1))
      stored += count
    }
  }
}

const selection = { tenantId: DEFAULT_TENANT, upcast: true }

/** Reads a stream as fast as it goes; `seen` are the positions. */
function consume(batches: AsyncGenerator<StreamBatch>) {
  const seen: number[] = []
  const state = { seen, failure: null as Error | null }
  const run = async () => {
    for await (const { events } of batches) for (const { data } of events) seen.push(JSON.parse(data).position)
  }
  run().catch((err) => {
    state.failure = err
  })
  return state
}

t.test('a thousand followers cost one query for each batch of events, and all of them see every event', async (t) => {
  const { feed, poll, store, sent, tail } = await setUp(t)
  const ending = new AbortController()
  const open = { heartbeatMs: 60_000, signal: ending.signal }
  const streams: ReturnType<typeof consume>[] = []
  for (let i = 0; i < 500; i++) streams.push(consume(await feed.follow(selection, 'now', open)))
  const pages = Array.from({ length: 500 }, () =>
    feed.awaitPage({ selection, limit: 100 }, performance.now() + 60_000, ending.signal)
  )
  const everybody = Promise.all(pages)
  await until(() => sent.length >= 1000)
  await poll()
  t.ok(tail.covers(markOf([0], [0n])))
  await turn()

  const before = sent.length
  await store(3)
  await poll()
  for (const page of await everybody) t.strictSame(page.events.length, 3)
  await until(() => streams.every(({ seen }) => seen.length === 3))
  let cursors = (await everybody).map(({ next }) => next!)
  for (let round = 2; round <= 4; round++) {
    const again = Promise.all(
      cursors.map((after) =>
        feed.awaitPage({ selection, after, limit: 100 }, performance.now() + 60_000, ending.signal)
      )
    )
    await store(3)
    await poll()
    cursors = (await again).map(({ next }) => next!)
    await until(() => streams.every(({ seen }) => seen.length === round * 3))
  }
  // The query builder makes each of these polls of two selects, one within the other; storing goes another way.
  t.equal(sent.length - before, 4 * 2)
  for (const { seen } of streams) t.strictSame(seen, range(1, 12))
  ending.abort()
})

t.test('who is further behind than memory reaches reads the database and then goes on from memory', async (t) => {
  for (const limits of [{ eventsMax: 20 }, { bytesMax: 5000 }]) {
    const { feed, poll, store, sent, tail } = await setUp(t, limits)
    const ending = new AbortController()
    const open = { heartbeatMs: 60_000, signal: ending.signal }
    const leave = tail.follow()
    await poll()
    const slow = await feed.follow(selection, 'now', open)
    t.strictSame((await slow.next()).value?.events, [])
    await store(300)
    while ((await poll()) === 'more') await turn()
    t.notOk(tail.covers(markOf([0], [0n])), 'the first events are not in memory any more')
    const state = consume(slow)
    await until(() => state.seen.length === 300)
    const before = sent.length
    await store(2)
    await poll()
    await until(() => state.seen.length === 302)
    t.equal(sent.length - before, 2, 'one poll and no more')
    t.strictSame(state.seen, range(1, 302))
    ending.abort()
    leave()
  }
})

t.test('memory holds as many events as it may, and never more', async (t) => {
  const { poll, store, tail } = await setUp(t, { eventsMax: 20, batch: 50 })
  tail.follow()
  await poll()
  for (const [more, oldest] of [
    [19, 0],
    [1, 0],
    [1, 1],
    [30, 31]
  ]) {
    await store(more!)
    await poll()
    const head = tail.head()
    t.ok(tail.locate([oldest!]), `${oldest} of ${head}`)
    t.equal([...tail.after(tail.locate([oldest!])!)].length, head - oldest!)
    if (oldest! > 0) t.equal(tail.locate([oldest! - 1]), null)
    t.equal(tail.locate([head + 1]), null)
  }
})

t.test('a poll that fails changes nothing, and the next one finds what came', async (t) => {
  const { feed, poll, store, database } = await setUp(t)
  const ending = new AbortController()
  const state = consume(await feed.follow(selection, 'now', { heartbeatMs: 60_000, signal: ending.signal }))
  await turn()
  await poll()
  await store(1)
  await poll()
  await until(() => state.seen.length === 1)
  await store(1)
  await database.run('ALTER TABLE user_events RENAME TO elsewhere')
  await t.rejects(poll())
  await database.run('ALTER TABLE elsewhere RENAME TO user_events')
  await poll()
  await until(() => state.seen.length === 2)
  t.strictSame(state, { seen: [1, 2], failure: null })
  ending.abort()
})

t.test('when the events at the end are others than before, followers are told, and memory begins anew', async (t) => {
  const { feed, poll, store, database, tail, seed } = await setUp(t)
  const ending = new AbortController()
  const state = consume(await feed.follow(selection, 'now', { heartbeatMs: 60_000, signal: ending.signal }))
  await turn()
  await poll()
  await store(5)
  await poll()
  await until(() => state.seen.length === 5)
  await loseEventsAfter(database, 2)
  await seed(newKey(), logins(10))
  t.equal(await poll(), 'more')
  await poll()
  await until(() => state.failure)
  t.hasStrict(state.failure, { code: 'CURSOR_INVALID' })
  t.strictSame(state.seen, [1, 2, 3, 4, 5])
  t.equal(tail.head(), 12)
  ending.abort()
})

t.test('nobody polls before there is a follower, nor some time after the last has left', async (t) => {
  const { tail, polling } = await setUp(t, { lingerMs: 50 })
  t.notOk(polling())
  const [first, second] = [tail.follow(), tail.follow()]
  t.ok(polling())
  first()
  second()
  t.ok(polling(), 'it lingers for those who ask again')
  const third = tail.follow()
  const later = performance.now() + 100
  await until(() => performance.now() > later)
  t.ok(polling(), 'who came back in time keeps it going')
  third()
  await until(() => !polling())
})

t.test('a stream with nothing to show says so, and its cursor has moved past what was not selected', async (t) => {
  const { feed, poll, store, tail } = await setUp(t)
  const ending = new AbortController()
  const rare = await feed.follow({ ...selection, eventTypes: ['UserDeleted'] }, 'now', {
    heartbeatMs: 30,
    signal: ending.signal
  })
  const first = (await rare.next()).value as StreamBatch
  await poll()
  await store(7)
  await poll()
  let beat = (await rare.next()).value as StreamBatch
  while (beat.cursor === first.cursor) beat = (await rare.next()).value as StreamBatch
  t.match(beat, { events: [], head: 7 })
  const { events, position } = await feed.readPage({ selection, direction: 'forward', after: beat.cursor, limit: 10 })
  t.strictSame([events, position], [[], 7])
  t.equal(tail.head(), 7)
  ending.abort()
  t.ok((await rare.next()).done)
})

t.test('what comes between a look at the end of the log and the wait for news is not waited for', async (t) => {
  let poll: () => Promise<unknown> = async () => {}
  let store: () => Promise<unknown> = async () => {}
  const parts = await testFeed(
    t,
    (once) => {
      poll = once
      return { wake: () => {}, stop: async () => {} }
    },
    {},
    (tail) => ({
      ...tail,
      async changed(...args: Parameters<typeof tail.changed>) {
        await store()
        store = async () => {}
        await poll()
        return tail.changed(...args)
      }
    })
  )
  const key = newKey()
  await parts.seed(key, logins(1, 1))
  const first = await parts.feed.readPage({ selection, direction: 'forward', limit: 10 })
  store = () => parts.seed(key, logins(1, 2))
  const startedAt = performance.now()
  const { signal } = new AbortController()
  const page = await parts.feed.awaitPage({ selection, after: first.next!, limit: 10 }, startedAt + 10_000, signal)
  t.equal(page.events.length, 1)
  t.ok(performance.now() - startedAt < 9000, 'long before its time was over')
})
