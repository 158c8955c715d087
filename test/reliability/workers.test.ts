import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { type Db, openDb } from '../../src/db/client.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { createWorker, LEASE_MS } from '../../src/services/worker.js'
import { rollUpStatistics, selectEventStatistics } from '../../src/store/statistics.js'
import { claimLease, releaseLease, updatePosition } from '../../src/store/workers.js'
import { type TestDatabase, testDatabase, testDb } from '../support/db.js'
import { LOADED, loggedIn, newUserId, updates, userCreated } from '../support/events.js'
import { request } from '../support/http.js'
import { startProcess } from '../support/process.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'
import { watchDb } from '../support/watched-db.js'

const NAME = 'statistics'
const signal = new AbortController().signal

/** As if the holder had been silent for longer than its lease. */
const expireLeases = ({ run }: TestDatabase) =>
  run(`UPDATE workers SET "leaseUntil" = clock_timestamp() - interval '1 second'`)

/** A worker of an instance that only counts its steps. */
function stepCounter(db: Db, holder = randomUUID()) {
  let steps = 0
  const worker = createWorker({
    db,
    metrics: { handled: () => {} },
    name: NAME,
    bucket: 0,
    holder,
    step: async (lease) => {
      steps++
      return { position: lease.position, worked: true, more: false }
    }
  })
  return { ...worker, id: holder, steps: () => steps }
}

/** Numbers counted from the log itself. */
async function truth({ run }: TestDatabase) {
  const rows = await run<{ type: string; events: number; users: number }>(
    `SELECT "eventType" AS type, count(*)::integer AS events, count(*) FILTER (WHERE version = 1)::integer AS users FROM user_events GROUP BY 1`
  )
  return {
    totalEvents: rows.reduce((sum, { events }) => sum + events, 0),
    totalUsers: rows.reduce((sum, { users }) => sum + users, 0),
    eventsByType: Object.fromEntries(rows.map(({ type, events }) => [type, events]))
  }
}

const countedIn = async ({ run }: TestDatabase): Promise<number> => {
  const [row] = await run<{ events: number }>(
    'SELECT coalesce(sum(events), 0)::integer AS events FROM event_statistics'
  )
  return row!.events
}

t.test('of two instances one works; the other takes over when the lease is given up', async (t) => {
  const { db } = await testDb(t)
  const [one, two] = [stepCounter(db), stepCounter(db)]
  for (let n = 0; n < 3; n++) {
    await one.once(signal)
    t.equal(await two.once(signal), 'idle')
  }
  t.strictSame([one.steps(), two.steps()], [3, 0])
  await one.release()
  // An instance that was refused asks again after a second; a fresh one at once.
  const three = stepCounter(db)
  await three.once(signal)
  await one.once(signal)
  t.strictSame([one.steps(), three.steps()], [3, 1])
})

t.test('an instance that is woken all the time does not ask for its lease all the time', async (t) => {
  const { db } = await testDb(t)
  const startedAt = performance.now()
  const holder = stepCounter(db)
  await holder.once(signal)
  for (const own of [true, false]) {
    const watched = watchDb(db)
    const woken = own ? stepCounter(watched.db, holder.id) : stepCounter(watched.db)
    for (let n = 0; n < 200; n++) await woken.once(signal)
    t.equal(woken.steps(), own ? 200 : 0)
    const seconds = (performance.now() - startedAt) / 1000
    t.ok(watched.sent.length <= 1 + seconds, `${watched.sent.length} statements in ${seconds} s`)
  }
})

t.test('a lease that ran out is taken over by exactly one of many, under a higher epoch', async (t) => {
  const { db, database } = await testDb(t)
  const old = await claimLease(db, 0, NAME, randomUUID(), LEASE_MS)
  await expireLeases(database)
  const claims = await Promise.all(Array.from({ length: 20 }, () => claimLease(db, 0, NAME, randomUUID(), LEASE_MS)))
  const won = claims.filter((lease) => lease !== null)
  t.equal(won.length, 1)
  t.equal(won[0]!.epoch, old!.epoch + 1)
})

t.test('the holder renews its lease without a new epoch, and gives up only its own', async (t) => {
  const { db } = await testDb(t)
  const [ada, bob] = [randomUUID(), randomUUID()]
  const first = await claimLease(db, 0, NAME, ada, LEASE_MS)
  t.strictSame(await claimLease(db, 0, NAME, ada, LEASE_MS), first)
  await releaseLease(db, 0, NAME, bob)
  t.equal(await claimLease(db, 0, NAME, bob, LEASE_MS), null)
  await releaseLease(db, 0, NAME, ada)
  t.strictSame(await claimLease(db, 0, NAME, bob, LEASE_MS), { epoch: first!.epoch + 1, position: 0 })
  await releaseLease(db, 0, NAME, ada)
  t.equal(await claimLease(db, 0, NAME, ada, LEASE_MS), null, 'a late release of the one before changes nothing')
})

t.test('who lost the lease can neither move the position nor count', async (t) => {
  const { append, database } = await testService(t)
  const { db } = dbOn(t, database)
  await append(newUserId(), [userCreated(), ...updates(9)])
  const old = await claimLease(db, 0, NAME, randomUUID(), LEASE_MS)
  t.equal(await rollUpStatistics(db, 0, old!.epoch, 4), 4)
  await expireLeases(database)
  const next = await claimLease(db, 0, NAME, randomUUID(), LEASE_MS)
  t.equal(next!.position, 4)

  t.equal(await updatePosition(db, 0, NAME, old!.epoch, 9), false)
  t.equal(await rollUpStatistics(db, 0, old!.epoch, 10), null)
  t.equal(await countedIn(database), 4)
  t.equal(await rollUpStatistics(db, 0, next!.epoch, 10), 6)
  t.equal(await updatePosition(db, 0, NAME, next!.epoch, 3), true)
  t.match(await db.query('SELECT position FROM workers'), [{ position: '10' }], 'a position never goes back')
})

t.test('two that both believe to lead count every event once', async (t) => {
  const { append, database } = await testService(t)
  const { db } = dbOn(t, database)
  const users = Array.from({ length: 20 }, newUserId)
  await Promise.all(users.map((user) => append(user, [userCreated(), ...updates(4)])))
  const lease = await claimLease(db, 0, NAME, randomUUID(), LEASE_MS)
  const counts = await Promise.all(Array.from({ length: 40 }, () => rollUpStatistics(db, 0, lease!.epoch, 7)))
  t.equal(
    counts.reduce<number>((sum, count) => sum + count!, 0),
    100
  )
  t.equal(await countedIn(database), 100)
  t.match(await selectEventStatistics(db, DEFAULT_TENANT, 1), await truth(database))
  t.match(await db.query('SELECT count(*)::integer AS users, sum(events)::integer AS events FROM largest_users'), [
    { users: 20, events: 100 }
  ])
})

t.test('while leases change hands under load, statistics are exact at every moment', async (t) => {
  const one = await testService(t, { background: true })
  const two = await testService(t, { background: true, database: one.database })
  const users = Array.from({ length: 10 }, newUserId)
  await Promise.all(users.map((user) => one.append(user, [userCreated()])))
  let stored = 10
  let acknowledged = 10
  const wrong: string[] = []
  let writing = true
  async function watch(): Promise<void> {
    while (writing) {
      const least = acknowledged
      const { data } = await two.get('/stats/events')
      const most = stored
      const types = Object.values(data.eventsByType as Record<string, number>).reduce((sum, count) => sum + count, 0)
      if (data.totalEvents < least || data.totalEvents > most || types !== data.totalEvents || data.totalUsers !== 10)
        wrong.push(`${least} <= ${data.totalEvents} <= ${most}, ${types} by type, ${data.totalUsers} users`)
      await expireLeases(one.database)
    }
  }
  async function write(): Promise<void> {
    for (let n = 0; n < 40; n++) {
      const events = n % 2 ? updates(3) : [loggedIn()]
      stored += events.length
      const answer = await (n % 3 ? one : two).append(users[n % 10]!, events)
      if (answer.statusCode === 201) acknowledged += events.length
    }
  }
  const watching = watch()
  await Promise.all([write(), write(), write()])
  writing = false
  await watching
  t.strictSame(wrong.slice(0, 3), [])
  await until(async () => (await countedIn(one.database)) === acknowledged, { what: 'all events to be counted' })
  t.match((await one.get('/stats/events')).data, await truth(one.database))
})

t.test('a snapshot that is due is made from the one before; the newest RETAIN_SNAPSHOTS stay', async (t) => {
  const { append, get, database } = await testService(t, {
    background: true,
    env: { SNAPSHOT_THRESHOLD: '10', RETAIN_SNAPSHOTS: '2' }
  })
  const user = newUserId()
  await append(user, [userCreated(), ...updates(8)])
  const snapshots = async (): Promise<{ version: number; metadata: object }[]> =>
    (await get(`/users/${user}/snapshots`)).data.snapshots
  await append(newUserId(), [userCreated(), ...updates(9)])
  await until(async () => {
    const [row] = await database.run<{ n: number }>('SELECT count(*)::integer AS n FROM user_snapshots')
    return row!.n === 1
  })
  t.strictSame(await snapshots(), [], 'nine events are one too few')

  for (const [version, count] of [
    [12, 3],
    [24, 12],
    [34, 10]
  ] as const) {
    await append(user, updates(count))
    const [newest] = await until(async () => {
      const found = await snapshots()
      return found[0]?.version === version ? found : null
    })
    t.match(newest, {
      usable: true,
      metadata: { reason: 'threshold', createdBy: 'snapshotter', eventCount: version === 12 ? 12 : count }
    })
  }
  await until(async () => (await snapshots()).length === 2, { what: 'the oldest to go' })
  t.strictSame(
    (await snapshots()).map(({ version }) => version),
    [34, 24]
  )
  const { data } = await get(`/users/${user}/state?${LOADED}`)
  t.match(data, { version: 34, replay: { source: /^(snapshot|cache)$/, eventsApplied: 0 } })
})

t.test(
  'when an instance ends, another goes on with its work at once, and after kill -9 when its lease is over',
  async (t) => {
    const database = await testDatabase(t)
    const env = { DATABASE_URL: database.url, SNAPSHOT_THRESHOLD: '2' }
    const first = await startProcess(t, env)
    const holders = async () =>
      (
        await database.run<{ holder: string }>(
          `SELECT DISTINCT holder FROM workers WHERE "leaseUntil" > clock_timestamp()`
        )
      ).map(({ holder }) => holder)
    const [holder] = await until(async () => ((await holders()).length === 1 ? await holders() : null))
    t.equal(await first.end('SIGTERM'), 0)
    t.strictSame(await holders(), [], 'every lease was given up')

    const second = await startProcess(t, env)
    const [heir] = await until(async () => ((await holders()).length === 1 ? await holders() : null))
    t.not(heir, holder)
    await second.end('SIGKILL')
    const third = await startProcess(t, env)
    const user = newUserId()
    t.equal(
      (
        await request(`${third.url}/users/${user}/events`, {
          method: 'POST',
          body: { events: [userCreated(), ...updates(3)] }
        })
      ).status,
      201
    )
    await expireLeases(database)
    await until(async () => (await request(`${third.url}/users/${user}/snapshots`)).data.snapshots?.length === 1, {
      what: 'the third to do the work'
    })
    t.equal(await third.end('SIGTERM'), 0)
  }
)

/** A pool of the test's own beside that of a service. */
function dbOn(t: Test, { url }: TestDatabase): { db: Db } {
  const db = openDb(url)
  t.teardown(() => db.close())
  return { db }
}
