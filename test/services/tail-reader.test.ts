import { setImmediate as nextTurn } from 'node:timers/promises'
import postgres from 'postgres'
import t from 'tap'
import type { FoldEvent, StreamKey } from '../../src/domain/event.js'
import { BATCH_MAX, createTailReader, WAITING_MAX } from '../../src/services/tail-reader.js'
import { TAIL_EVENTS } from '../../src/store/replay.js'
import { until } from '../support/wait.js'
import { watchDb } from '../support/watched-db.js'
import { logins, newKey, testParts } from './parts.js'

const BUCKETS = 3
const parts = await testParts(t, { buckets: BUCKETS })

function testReader() {
  const { db, sent } = watchDb(parts.db)
  const { after } = createTailReader({ db, buckets: BUCKETS })
  /** how many different requests each query carried */
  const sizes = () => sent.map(({ params }) => String(params[0]).split(',').length)
  return { after, sizes }
}

async function seeded(count: number): Promise<StreamKey> {
  const key = newKey()
  await parts.seed(key, logins(count))
  return key
}

const versions = (events: readonly FoldEvent[]): number[] => events.map(({ version }) => version)
const upFrom = (first: number, last: number): number[] => logins(last - first + 1, first).map(({ version }) => version)

/** Nobody reads events until the lock is given up. */
async function lockEvents() {
  const sql = postgres(parts.database.url, { max: 1, fetch_types: false, onnotice: () => {} })
  await sql.unsafe('BEGIN; LOCK TABLE user_events IN ACCESS EXCLUSIVE MODE')
  return { release: () => sql.end() }
}

t.test('all requests of one turn go as one query, and each gets its own events, whole and in order', async (t) => {
  const { after, sizes } = testReader()
  const keys: StreamKey[] = []
  for (let count = 1; count <= 40; count++) keys.push(await seeded(count))
  const tails = await Promise.all([
    ...keys.map((key, i) => after(key, Math.floor(i / 2))),
    ...keys.map((key, i) => after(key, i + 1)),
    after(newKey(), 0)
  ])
  t.strictSame(sizes(), [81])
  for (const [i, tail] of tails.entries()) {
    if (i < 40) t.strictSame(tail, logins(i + 1).slice(Math.floor(i / 2)))
    else t.strictSame(tail, [], 'nothing after the newest, nor of a user that is not there')
  }
})

t.test('requests for the same events share one place in the query and one answer', async (t) => {
  const { after, sizes } = testReader()
  const key = await seeded(5)
  const tails = await Promise.all(Array.from({ length: 100 }, (_, i) => after(key, 3 + (i % 2))))
  t.strictSame(sizes(), [2])
  for (const [i, tail] of tails.entries()) t.strictSame(versions(tail), i % 2 ? [5] : [4, 5])
  await parts.seed(key, logins(1, 6))
  t.strictSame(versions(await after(key, 5)), [6], 'but not one that was asked for earlier')
})

t.test('what is asked for while two queries are out waits, and then goes as one', async (t) => {
  const { after, sizes } = testReader()
  const key = await seeded(9)
  const lock = await lockEvents()
  const tails: Promise<readonly FoldEvent[]>[] = []
  for (let version = 0; version < 9; version++) {
    tails.push(after(key, version))
    await nextTurn()
    await nextTurn()
  }
  t.strictSame(sizes(), [1, 1])
  await lock.release()
  for (const [i, tail] of (await Promise.all(tails)).entries()) t.strictSame(versions(tail), upFrom(i + 1, 9))
  t.strictSame(sizes(), [1, 1, 7])
})

t.test(`${BATCH_MAX} requests are one query; more are several`, async (t) => {
  const key = await seeded(3)
  for (const [count, expected] of [
    [BATCH_MAX, [BATCH_MAX]],
    [BATCH_MAX + 1, [BATCH_MAX, 1]],
    [3 * BATCH_MAX, [BATCH_MAX, BATCH_MAX, BATCH_MAX]]
  ] as const) {
    const { after, sizes } = testReader()
    const tails = await Promise.all(Array.from({ length: count }, (_, i) => after(key, i)))
    t.strictSame(sizes(), expected)
    t.strictSame(tails.slice(0, 4).map(versions), [[1, 2, 3], [2, 3], [3], []])
    t.ok(tails.slice(4).every(({ length }) => length === 0))
  }
})

t.test('a tail has at most TAIL_EVENTS events, the first ones', async (t) => {
  const { after } = testReader()
  const key = await seeded(TAIL_EVENTS + 1)
  const [all, one] = await Promise.all([after(key, 0), after(key, TAIL_EVENTS)])
  t.strictSame(versions(all), upFrom(1, TAIL_EVENTS))
  t.strictSame(versions(one), [TAIL_EVENTS + 1])
  t.equal((await after(key, 1)).length, TAIL_EVENTS)
  t.equal((await after(key, 2)).length, TAIL_EVENTS - 1)
})

t.test('an error reaches everyone who waited for that query, and nobody after', async (t) => {
  const { after, sizes } = testReader()
  const key = await seeded(3)
  await parts.database.run('ALTER TABLE user_events RENAME TO elsewhere')
  const results = await Promise.allSettled(Array.from({ length: BATCH_MAX + 100 }, (_, i) => after(key, i % 600)))
  await parts.database.run('ALTER TABLE elsewhere RENAME TO user_events')
  t.strictSame(sizes(), [BATCH_MAX, 100])
  t.ok(results.every((result) => result.status === 'rejected' && result.reason.sqlState === '42P01'))
  t.strictSame(versions(await after(key, 1)), [2, 3])
})

t.test('connections that are cut cost a wait, not an answer', async (t) => {
  const { after } = testReader()
  const key = await seeded(3)
  const lock = await lockEvents()
  const tails = [0, 1, 2].map((version) => after(key, version))
  const cut = await until(
    async () => {
      const rows = await parts.database.run<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
      )
      return rows.length > 0 ? rows : null
    },
    { what: 'a query that waits for the lock' }
  )
  for (const { pid } of cut) await parts.database.run(`SELECT pg_terminate_backend(${pid})`)
  await lock.release()
  t.strictSame((await Promise.all(tails)).map(versions), [[1, 2, 3], [2, 3], [3]])
})

t.test(`${WAITING_MAX} requests may wait; one more is refused and the others are answered`, async (t) => {
  const { after, sizes } = testReader()
  const key = await seeded(2)
  const tails = Array.from({ length: WAITING_MAX }, (_, i) => after(key, i))
  const same = after(key, 1)
  await t.rejects(after(key, WAITING_MAX), { code: 'OVERLOADED' })
  t.strictSame(versions(await same), [2], 'what is waited for already costs no place')
  t.strictSame((await Promise.all(tails)).slice(0, 3).map(versions), [[1, 2], [2], []])
  t.equal(sizes().length, WAITING_MAX / BATCH_MAX)
  t.strictSame(versions(await after(key, 0)), [1, 2])
})
