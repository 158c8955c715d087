import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { compose } from '../../src/compose.js'
import { loadConfig } from '../../src/config.js'
import type { Db } from '../../src/db/client.js'
import { bucketOf } from '../../src/domain/bucket.js'
import { DEFAULT_TENANT, type NewEvent, type StreamKey } from '../../src/domain/event.js'
import { StartError } from '../../src/start-error.js'
import { rollUpStatistics, selectEventStatistics, selectStoreGauges } from '../../src/store/statistics.js'
import { claimLease } from '../../src/store/workers.js'
import { type TestDatabase, testDatabase, testDb } from '../support/db.js'
import { updates, userCreated, userDeleted } from '../support/events.js'
import { randomOf, seedOf } from '../support/random.js'
import { logins, newKey, testParts } from './parts.js'

type Plain = { eventType: string; events: string; users: string; oldest: string; newest: string }

/** What the statistics of a tenant must be, by looking at every row. */
async function countPlainly(db: Db, tenantId: string) {
  const rows = await db.query<Plain>(
    `SELECT "eventType", count(*) AS events, count(*) FILTER (WHERE version = 1) AS users,
            min(extract(epoch FROM "createdAt") * 1000)::bigint AS oldest, max(extract(epoch FROM "createdAt") * 1000)::bigint AS newest
     FROM user_events WHERE "tenantId" = $1::uuid GROUP BY "eventType"`,
    [tenantId]
  )
  const instant = (ms: number) => (rows.length === 0 ? null : new Date(ms).toISOString())
  return {
    totalEvents: rows.reduce((sum, { events }) => sum + Number(events), 0),
    totalUsers: rows.reduce((sum, { users }) => sum + Number(users), 0),
    eventsByType: Object.fromEntries(rows.map(({ eventType, events }) => [eventType, Number(events)])),
    oldestEvent: instant(Math.min(...rows.map(({ oldest }) => Number(oldest)))),
    newestEvent: instant(Math.max(...rows.map(({ newest }) => Number(newest))))
  }
}

/** Takes the lease of the roll-up and returns its steps. */
async function rollUps(db: Db, bucket = 0): Promise<(limit: number) => Promise<number | null>> {
  const { epoch } = (await claimLease(db, bucket, 'statistics', randomUUID(), 600_000))!
  return (limit) => rollUpStatistics(db, bucket, epoch, limit)
}

t.test('numbers are exact after every append and every roll-up, for each tenant', async (t) => {
  const { db, statistics, seed } = await testParts(t)
  const random = randomOf(seedOf(t))
  const rollUp = await rollUps(db)
  const tenants = [DEFAULT_TENANT, randomUUID()]
  const users = Array.from({ length: 10 }, () => ({ key: newKey(random.pick(tenants)), version: 0 }))
  async function check(step: string) {
    for (const tenantId of [...tenants, randomUUID()]) {
      const { storageBytes, ...found } = await statistics.events(tenantId)
      t.strictSame(found, await countPlainly(db, tenantId), step)
      t.ok(storageBytes > 0)
    }
  }
  await check('an empty store')
  for (let step = 0; step < 60; step++) {
    if (random.below(3) === 0) await check(`roll-up of ${await rollUp(1 + random.below(7))}`)
    else {
      const user = random.pick(users)
      const count = 1 + random.below(4)
      await seed(user.key, logins(count, user.version + 1))
      user.version += count
      await check(`append of ${count}`)
    }
  }
  while (await rollUp(50));
  await check('all rolled up')
})

t.test('numbers stay exact for readers while a roll-up is running', async (t) => {
  const { db, statistics, seed } = await testParts(t)
  for (let i = 0; i < 5; i++) await seed(newKey(), logins(200))
  const rollUp = await rollUps(db)
  let rolling = true
  const work = (async () => {
    while (await rollUp(3));
    rolling = false
  })()
  const seen = new Set<string>()
  while (rolling) {
    const { totalEvents, totalUsers } = await statistics.events(DEFAULT_TENANT)
    const gauges = await selectStoreGauges(db, 1, 10)
    seen.add(`${totalEvents} ${totalUsers} ${gauges.totalEvents}`)
  }
  await work
  t.strictSame([...seen], ['1000 5 1000'])
})

t.test('the largest users are exact, also with ties and with more users than are kept', async (t) => {
  const { db, seed } = await testParts(t)
  const random = randomOf(seedOf(t))
  const kept = 3
  const { epoch } = (await claimLease(db, 0, 'statistics', randomUUID(), 600_000))!
  const users = Array.from({ length: 12 }, () => ({ key: newKey(), version: 0 }))
  let position = 0
  for (let step = 0; step < 80; step++) {
    const user = random.pick(users)
    const count = 1 + random.below(3)
    await seed(user.key, logins(count, user.version + 1))
    user.version += count
    if (random.below(2) === 0) continue
    const [rolled] = await db.query<{ position: string }>(
      'SELECT position FROM roll_up_statistics(0::smallint, $1::bigint, $2::integer, $3::integer)',
      [epoch, 1 + random.below(9), kept]
    )
    position = Number(rolled!.position)
    const found = await db.query<{ aggregateId: string; events: number }>(
      'SELECT "aggregateId", events FROM largest_users ORDER BY events DESC'
    )
    const all = await db.query<{ aggregateId: string; events: string }>(
      'SELECT "aggregateId", count(*) AS events FROM user_events WHERE position <= $1::bigint GROUP BY 1 ORDER BY 2 DESC',
      [position]
    )
    const eventsOf = new Map(all.map(({ aggregateId, events }) => [aggregateId, Number(events)]))
    t.strictSame(
      found.map(({ events }) => events),
      [...eventsOf.values()].slice(0, kept),
      `at position ${position}`
    )
    t.strictSame(
      found.filter(({ aggregateId, events }) => eventsOf.get(aggregateId) !== events),
      [],
      'each has its own number'
    )
  }
  t.ok(position > 0)
})

t.test('the gauges show the largest users, and their sum with the rest is all events', async (t) => {
  const { db, seed } = await testParts(t)
  const sizes = [5, 40, 12, 12, 1, 33]
  const keys = sizes.map(() => newKey())
  for (const [i, key] of keys.entries()) await seed(key, logins(sizes[i]!))
  const rollUp = await rollUps(db)
  t.strictSame((await selectStoreGauges(db, 1, 3)).largestUsers, [], 'none before the first roll-up')
  t.equal((await selectStoreGauges(db, 1, 3)).totalEvents, 103, 'but every event')
  t.equal(await rollUp(1000), 103)
  const { totalEvents, largestUsers, snapshots, storageBytes } = await selectStoreGauges(db, 1, 4)
  t.equal(totalEvents, 103)
  t.strictSame(
    largestUsers.map(({ events }) => events),
    [40, 33, 12, 12]
  )
  t.strictSame(
    largestUsers.slice(0, 2).map(({ aggregateId }) => aggregateId),
    [keys[1]!.userId, keys[5]!.userId]
  )
  t.equal(snapshots, 0)
  t.ok(storageBytes > 0)
  t.equal((await selectStoreGauges(db, 1, 0)).largestUsers.length, 0)
  t.equal((await selectStoreGauges(db, 1, 100)).largestUsers.length, 6)
})

t.test('a roll-up counts what it says, and nothing under a lease that was lost', async (t) => {
  const { db, seed } = await testParts(t)
  const old = await rollUps(db)
  t.equal(await old(5), 0, 'an empty log')
  await seed(newKey(), logins(12))
  t.strictSame([await old(5), await old(5), await old(5), await old(5)], [5, 5, 2, 0])
  await seed(newKey(), logins(3))
  await db.query(`UPDATE workers SET "leaseUntil" = '-infinity'`)
  const anew = await rollUps(db)
  t.equal(await old(5), null)
  t.equal(await anew(5), 3)
  t.equal((await countPlainly(db, DEFAULT_TENANT)).totalEvents, 15)
})

t.test('snapshot statistics are exact, by tenant, largest first and limited', async (t) => {
  const { statistics, putSnapshot } = await testParts(t)
  const none = {
    totalSnapshots: 0,
    snapshotsByAggregate: [],
    averageSnapshotSize: 0,
    oldestSnapshot: null,
    newestSnapshot: null
  }
  t.strictSame(await statistics.snapshots(DEFAULT_TENANT, 10), none)
  const keys = [newKey(), newKey(), newKey()]
  for (const [i, count] of [1, 3, 2].entries()) {
    for (let version = 1; version <= count; version++) {
      await putSnapshot(keys[i]!, { version, state: {}, createdAt: `2026-01-0${i + 1}T00:00:00.00${version}Z` })
    }
  }
  const found = await statistics.snapshots(DEFAULT_TENANT, 2)
  t.strictSame(found, {
    totalSnapshots: 6,
    snapshotsByAggregate: [
      { aggregateId: keys[1]!.userId, snapshots: 3 },
      { aggregateId: keys[2]!.userId, snapshots: 2 }
    ],
    averageSnapshotSize: 100,
    oldestSnapshot: '2026-01-01T00:00:00.001Z',
    newestSnapshot: '2026-01-03T00:00:00.002Z'
  })
  t.strictSame(await statistics.snapshots(randomUUID(), 10), none)
})

t.test('with several buckets each has its own gap-free order, and numbers are exact', async (t) => {
  const buckets = 4
  const { db, database, events, statistics } = await testParts(t, { buckets })
  const random = randomOf(seedOf(t))
  const append = (key: StreamKey, list: object[]) =>
    events.append(key, {
      events: list as NewEvent[],
      expectation: { version: 'any', byHeader: false },
      author: null,
      traceparent: null
    })
  const keys = Array.from({ length: 24 }, () => newKey())
  await Promise.all(keys.map((key) => append(key, [userCreated(), ...updates(random.below(5))])))
  await Promise.all(keys.slice(0, 6).map((key) => append(key, [userDeleted()])))
  await assertOrders(
    t,
    database.run,
    buckets,
    keys.map(({ userId }) => userId)
  )

  const check = async (claim: string) => {
    const { storageBytes: _, ...found } = await statistics.events(DEFAULT_TENANT)
    t.strictSame(found, await countPlainly(db, DEFAULT_TENANT), claim)
    t.match(found, { totalUsers: 24, eventsByType: { UserCreated: 24, UserDeleted: 6 } })
  }
  await check('before any roll-up')
  for (let bucket = 0; bucket < buckets; bucket++) {
    const rollUp = await rollUps(db, bucket)
    await rollUp(3)
    await check(`bucket ${bucket} is rolled up in part`)
    while (await rollUp(3));
    await check(`bucket ${bucket} is rolled up`)
  }
  t.equal((await selectStoreGauges(db, buckets, 100)).largestUsers.length, 24, 'the largest users are of all buckets')
})

async function assertOrders(t: Test, run: TestDatabase['run'], buckets: number, users: string[]): Promise<void> {
  const rows = await run<{ bucket: number; aggregateId: string; position: string }>(
    'SELECT bucket, "aggregateId", position FROM user_events ORDER BY bucket, position'
  )
  t.strictSame([...new Set(rows.map(({ aggregateId }) => aggregateId))].sort(), [...users].sort())
  t.ok(
    rows.every(({ bucket, aggregateId }) => bucket === bucketOf(aggregateId, buckets)),
    'every user is in its bucket'
  )
  for (let bucket = 0; bucket < buckets; bucket++) {
    const positions = rows.filter((row) => row.bucket === bucket).map(({ position }) => Number(position))
    t.strictSame(
      positions,
      Array.from(positions, (_, i) => i + 1),
      `bucket ${bucket} has no gap`
    )
  }
}

t.test('the number of buckets cannot be changed afterwards', async (t) => {
  const { url } = await testDatabase(t)
  const start = async (buckets: string) => {
    const service = await compose(loadConfig({ EVENT_BUCKETS: buckets }), url, false)
    await service.stop()
  }
  await start('4')
  for (const other of ['1', '3', '5']) {
    const sentence = `EVENT_BUCKETS is ${other}, but this database was set up with 4, which cannot be changed afterwards. Set EVENT_BUCKETS=4.`
    await t.rejects(start(other), new StartError(sentence))
  }
  await t.resolves(start('4'))
})

t.test('what is counted is not read again, and what is not is found without a look at the rest', async (t) => {
  const { db } = await testDb(t, { poolMax: 1 })
  const ask = () => selectEventStatistics(db, DEFAULT_TENANT, 1)
  async function pagesRead(): Promise<number> {
    await db.query('SELECT pg_stat_force_next_flush()')
    const [row] = await db.query<{ pages: string }>(
      `SELECT heap_blks_hit + heap_blks_read AS pages FROM pg_statio_user_tables WHERE relname = 'user_events'`
    )
    return Number(row!.pages)
  }
  // The plan is made before there is anything, as in a service that starts on an empty store.
  for (let i = 0; i < 6; i++) await ask()
  await db.query(`
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
    SELECT 0, n, gen_random_uuid(), gen_random_uuid(), 1, 'UserCreated', 1, '{}', '${DEFAULT_TENANT}', now() FROM generate_series(1, 50000) n`)
  const rollUp = await rollUps(db)
  while (await rollUp(10_000));
  const before = await pagesRead()
  t.equal((await ask()).totalEvents, 50_000)
  const pages = (await pagesRead()) - before
  t.ok(pages < 10, `${pages} pages of the log were read; it has hundreds`)
})
