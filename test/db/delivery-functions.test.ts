/** What the functions of 0004_delivery.sql keep true, whoever calls them and when. */
import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import type { Db } from '../../src/db/client.js'
import {
  discardOwed,
  recordRelay,
  retryOwed,
  type Settled,
  selectBlockedUsers,
  selectDue,
  selectOwed,
  settleOwed,
  sweepOwed
} from '../../src/store/outbox.js'
import {
  deleteSubscription,
  insertSubscription,
  OWED_COUNTED_MAX,
  relayWorker,
  resetSubscription,
  retryWorker,
  selectProgress,
  selectSubscription,
  selectSubscriptionNumbers
} from '../../src/store/subscriptions.js'
import { claimLease } from '../../src/store/workers.js'
import { testDb } from '../support/db.js'

const POLICY = { wait: true, maxAttempts: 3 }
const USERS = { users: 100, perUser: 20 }
const NAME = 'crm'

/** A subscription, and the epochs under which its workers may write. */
async function subscribed(db: Db) {
  const id = randomUUID()
  const definition = { sink: { kind: 'nats', subject: 'x' } } as never
  const made = await insertSubscription(
    db,
    { id, tenantId: null, name: NAME, definition },
    { start: 0, buckets: 1, max: 100 }
  )
  if (made !== 'created') throw new Error(made)
  const holder = randomUUID()
  const relay = (await claimLease(db, 0, relayWorker(id), holder, 60_000))!.epoch
  const retry = (await claimLease(db, 0, retryWorker(id), holder, 60_000))!.epoch
  return { id, relay, retry }
}

const owedOf = async (db: Db, id: string, status: 'pending' | 'dead') =>
  await selectOwed(db, id, { status }, { after: { position: 0, bucket: 0 }, limit: 100 })
const due = async (db: Db, id: string): Promise<number[]> =>
  (await selectDue(db, 0, id, USERS)).map(({ position }) => position)
const checkpoint = async (db: Db, id: string): Promise<number> => (await selectProgress(db, id))[0]!.position

const failed = (position: number, user: string, counts: 0 | 1 = 1) => ({
  position,
  user,
  version: position,
  error: 'refused',
  delayMs: 0,
  counts
})
const held = (position: number, user: string) => ({ ...failed(position, user, 0), error: null })
const delivered = (position: number, user: string): Settled => ({ position, user, error: null, delayMs: 0, counts: 1 })
const refusedAgain = (position: number, user: string, counts: 0 | 1 = 1): Settled => ({
  position,
  user,
  error: 'refused again',
  delayMs: 0,
  counts
})

async function setUp(t: Test) {
  const { db, database } = await testDb(t)
  const subscription = await subscribed(db)
  const at = (position: number, epoch = subscription.relay) => ({
    bucket: 0,
    subscriptionId: subscription.id,
    epoch,
    position
  })
  const settle = (results: Settled[], policy = POLICY, epoch = subscription.retry) =>
    settleOwed(db, { bucket: 0, subscriptionId: subscription.id, epoch }, results, policy)
  return { db, database, ...subscription, at, settle }
}

t.test(
  'a checkpoint moves forward only, under the epoch of the lease only, and together with what is owed',
  async (t) => {
    const { db, id, relay, at } = await setUp(t)
    const user = randomUUID()
    t.equal(await recordRelay(db, at(5), [failed(3, user)], POLICY), true)
    t.equal(await checkpoint(db, id), 5)
    for (const [title, position, epoch] of [
      ['of a lease that passed on', 9, relay - 1],
      ['of a lease that nobody has', 9, relay + 1],
      ['that goes back', 4, relay]
    ] as const) {
      t.equal(await recordRelay(db, at(position, epoch), [failed(9, user)], POLICY), false, title)
      t.equal(await checkpoint(db, id), 5, title)
      t.strictSame(
        (await owedOf(db, id, 'pending')).map(({ position }) => position),
        [3],
        title
      )
    }
    t.equal(await recordRelay(db, at(5), [failed(3, user)], POLICY), true, 'repeated after an outcome unknown')
    t.equal((await owedOf(db, id, 'pending')).length, 1)
  }
)

t.test('of a user only the first owed event is due, and the next when that is delivered', async (t) => {
  const { db, id, at, settle } = await setUp(t)
  const [ada, bob] = [randomUUID(), randomUUID()]
  await recordRelay(db, at(9), [failed(1, ada), held(2, ada), failed(3, bob), held(4, ada)], POLICY)
  const waiting = (await owedOf(db, id, 'pending')).filter(({ nextAttemptAt }) => nextAttemptAt === null)
  t.strictSame(
    waiting.map(({ position }) => position),
    [2, 4]
  )
  t.strictSame(await due(db, id), [1, 2, 3, 4], 'those behind are sent with it, in order')
  t.equal(await settle([delivered(1, ada)]), true)
  const [head] = await owedOf(db, id, 'pending')
  t.match(head, { position: 2, attempts: 0 })
  t.type(head!.nextAttemptAt, 'string')
})

t.test('an event that is noted as owed after the one it waited for was delivered does not wait for ever', async (t) => {
  const { db, id, at, settle } = await setUp(t)
  const ada = randomUUID()
  await recordRelay(db, at(1), [failed(1, ada)], POLICY)
  // The relay saw the user blocked; before it writes, the retrier delivers.
  await settle([delivered(1, ada)])
  await recordRelay(db, at(2), [held(2, ada)], POLICY)
  t.strictSame(await due(db, id), [2])
})

t.test('after the last try an event is dead; what follows waits, or passes by policy', async (t) => {
  for (const wait of [true, false]) {
    const { db, id, at, settle } = await setUp(t)
    const policy = { wait, maxAttempts: 3 }
    const ada = randomUUID()
    await recordRelay(db, at(2), [failed(1, ada), held(2, ada)], policy)
    await settle([refusedAgain(1, ada, 0)], policy)
    await settle([refusedAgain(1, ada)], policy)
    t.match(await owedOf(db, id, 'dead'), [], 'two tries that count')
    await settle([refusedAgain(1, ada)], policy)
    t.match(await owedOf(db, id, 'dead'), [
      { position: 1, attempts: 3, nextAttemptAt: null, lastError: 'refused again' }
    ])
    t.strictSame(await due(db, id), wait ? [] : [2])
  }
})

t.test('with one try an event that fails is dead at once', async (t) => {
  const { db, id, at } = await setUp(t)
  const ada = randomUUID()
  await recordRelay(db, at(2), [failed(1, ada), held(2, ada)], { wait: true, maxAttempts: 1 })
  t.match(await owedOf(db, id, 'dead'), [{ position: 1, attempts: 1 }])
  t.strictSame(await due(db, id), [])
})

t.test('a first try that says nothing about the event does not count', async (t) => {
  const { db, id, at } = await setUp(t)
  const ada = randomUUID()
  await recordRelay(db, at(2), [failed(1, ada, 0), held(2, ada)], { wait: true, maxAttempts: 1 })
  t.match(await owedOf(db, id, 'pending'), [
    { position: 1, attempts: 0, nextAttemptAt: String, lastError: 'refused' },
    { position: 2, attempts: 0, nextAttemptAt: null, lastError: null }
  ])
})

t.test('only the holder of the retry lease settles', async (t) => {
  const { db, id, retry, at, settle } = await setUp(t)
  const ada = randomUUID()
  await recordRelay(db, at(1), [failed(1, ada)], POLICY)
  t.equal(await settle([delivered(1, ada)], POLICY, retry - 1), false)
  t.equal((await owedOf(db, id, 'pending')).length, 1)
  t.equal(await settle([delivered(1, ada)]), true)
  t.equal((await owedOf(db, id, 'pending')).length, 0)
})

t.test('a reset takes the work out of the hands of those who had it, and what was owed with it', async (t) => {
  const { db, id, at, settle } = await setUp(t)
  const ada = randomUUID()
  await recordRelay(db, at(7), [failed(1, ada)], POLICY)
  const next = randomUUID()
  for (const _time of ['once', 'and repeated after an outcome unknown']) await resetSubscription(db, id, next, 2)
  t.equal(await checkpoint(db, next), 2)
  t.strictSame(await owedOf(db, next, 'pending'), [])
  t.strictSame(await due(db, id), [], 'what is left is not sent')
  // Whoever has not heard of it may take the leases of the old one.
  const holder = randomUUID()
  const epochs = [
    await claimLease(db, 0, relayWorker(id), holder, -1),
    await claimLease(db, 0, retryWorker(id), holder, -1)
  ]
  for (const epoch of [1, ...epochs.map((lease) => lease!.epoch)])
    t.equal(await recordRelay(db, at(8, epoch), [failed(8, ada)], POLICY), false)
  t.equal(await checkpoint(db, next), 2)
  t.match(await selectSubscription(db, null, NAME), { id: next, state: 'new', lastError: null })
  t.equal(await sweepOwed(db, 100), 1)
  t.strictSame(await owedOf(db, id, 'pending'), [])
  t.equal((await db.query('SELECT FROM workers')).length, 0)
  t.equal(await settle([delivered(1, ada)]), false)
})

t.test('what deleted subscriptions owed goes in parts, and what others owe stays', async (t) => {
  const { db, database, id, at } = await setUp(t)
  await recordRelay(db, at(1), [failed(1, randomUUID())], POLICY)
  for (const _gone of [1, 2]) {
    const gone = randomUUID()
    const definition = { sink: { kind: 'nats', subject: 'x' } } as never
    await insertSubscription(
      db,
      { id: gone, tenantId: null, name: gone, definition },
      { start: 0, buckets: 1, max: 100 }
    )
    await database.run(owes(gone, 50, 50))
    t.equal(await deleteSubscription(db, gone), true)
  }
  t.strictSame([await sweepOwed(db, 60), await sweepOwed(db, 40), await sweepOwed(db, 1)], [60, 40, 0])
  t.equal((await owedOf(db, id, 'pending')).length, 1)
})

t.test('owed events are counted up to a limit', async (t) => {
  const { db, database, id } = await setUp(t)
  await database.run(owes(id, OWED_COUNTED_MAX - 1, 5))
  const pending = async () => (await selectSubscriptionNumbers(db, id))[0]!.pending
  t.equal(await pending(), OWED_COUNTED_MAX - 1)
  t.match(await selectSubscriptionNumbers(db), [{ blockedUsers: 5, dead: 0 }])
  for (const _more of ['the limit', 'one more']) {
    const user = randomUUID()
    await database.run(`INSERT INTO event_outbox SELECT 0, '${id}', 1000000, '${user}', 1, 'pending', 0`)
    t.equal(await pending(), OWED_COUNTED_MAX)
  }
})

t.test('a step costs what it touches, however much is owed, also when statistics know nothing of it', async (t) => {
  const { db, database, id, at } = await setUp(t)
  const [USERS, EVENTS] = [10_000, 50_000]
  await database.run('ALTER TABLE event_outbox SET (autovacuum_enabled = false)')
  await database.run(owes(id, EVENTS, USERS))
  // The first of each user waits for its time.
  const later = `clock_timestamp() + interval '1 hour'`
  await database.run(`UPDATE event_outbox SET "nextAttemptAt" = ${later} WHERE position <= ${USERS}`)
  const some = await owedOf(db, id, 'pending')
  const users = some.map(({ aggregateId }) => aggregateId)
  const results = some.slice(0, 10).flatMap((each, i) => {
    const { position, aggregateId } = each
    return [i < 5 ? delivered(position, aggregateId) : refusedAgain(position, aggregateId)]
  })
  const sql = postgres(database.url, { max: 1, fetch_types: false })
  t.teardown(() => sql.end())
  let blocks = 0
  // Runs each statement under EXPLAIN, and gives its callers a row of nothing.
  const explained = {
    ...db,
    async query(text: string, params: never[]) {
      const [row] = await sql.unsafe(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, params)
      const [{ Plan: plan }] = row!['QUERY PLAN']
      blocks = plan['Shared Hit Blocks'] + plan['Shared Read Blocks']
      return [{}]
    }
  } as unknown as Db
  const policy = { limit: 10, wait: true }
  const steps: Record<string, () => Promise<unknown>> = {
    'look for blocked users': () => selectBlockedUsers(explained, 0, id, users, true),
    'look for due events': () => selectDue(explained, 0, id, { users: 100, perUser: 20 }),
    settle: () => settleOwed(explained, { bucket: 0, subscriptionId: id, epoch: 1 }, results, POLICY),
    record: () => recordRelay(explained, at(EVENTS + 1), [failed(EVENTS + 1, users[50]!)], POLICY),
    retry: () => retryOwed(explained, id, {}, policy),
    'retry a user': () => retryOwed(explained, id, { userId: users[50] }, policy),
    discard: () => discardOwed(explained, id, {}, 'why', policy)
  }
  const [{ pages }] = (await db.query(`SELECT pg_relation_size('event_outbox') / 8192 AS pages`)) as unknown as [
    { pages: string }
  ]
  for (const [name, step] of Object.entries(steps)) {
    await step()
    t.ok(blocks > 0 && blocks < Number(pages), `${name}: ${blocks} blocks of ${pages}`)
  }
})

/** Stores that a subscription owes so many events of so many users. */
const owes = (id: string, events: number, users: number): string => `
  INSERT INTO event_outbox (bucket, "subscriptionId", position, "aggregateId", version, status, attempts)
  SELECT 0, '${id}', n, md5((n % ${users})::text)::uuid, 1, 'pending', 0 FROM generate_series(1, ${events}) n`
