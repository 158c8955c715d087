import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { inspect, promisify } from 'node:util'
import { eq } from 'drizzle-orm'
import t, { type Test } from 'tap'
import { type Db, type DbOptions, openDb } from '../../src/db/client.js'
import { DbError, findDbError } from '../../src/db/pg-error.js'
import { createSlots } from '../../src/db/slots.js'
import { userEvents } from '../../src/db/tables.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { asAdmin, type TestDatabase, testDatabase, testDb } from '../support/db.js'
import { newUserId } from '../support/events.js'
import { startProxy } from '../support/proxy.js'
import { randomOf, seedOf } from '../support/random.js'
import { until } from '../support/wait.js'

/** A pool whose way to the database goes through a proxy. */
async function dbBehindProxy(t: Test, options: DbOptions = {}) {
  const database = await testDatabase(t)
  const proxy = await startProxy(t, database.url)
  const db = openDb(proxy.url, { poolMax: 2, ...options })
  t.teardown(() => db.close(1000))
  return { database, proxy, db }
}

const failureOf = (promise: Promise<unknown>): Promise<DbError> =>
  promise.then(
    () => {
      throw new Error('It was expected to fail.')
    },
    (err: unknown) => findDbError(err) ?? Promise.reject(err)
  )

async function timed<T>(promise: Promise<T>): Promise<{ result: T; tookMs: number }> {
  const startedAt = performance.now()
  return { result: await promise, tookMs: performance.now() - startedAt }
}

const one = async (db: Db): Promise<unknown> => (await db.query<{ n: number }>('SELECT 1 AS n'))[0]?.n

/** A lock of the test's own, held by a second pool: statements that ask for it wait. */
async function holdLock(t: Test, database: TestDatabase) {
  const holder = openDb(database.url, { poolMax: 1 })
  t.teardown(() => holder.close())
  await holder.query('SELECT pg_advisory_lock(7)')
  const waiters = () =>
    asAdmin<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE datname = '${database.name}' AND wait_event = 'advisory'`
    )
  return {
    release: () => holder.query('SELECT pg_advisory_unlock(7)'),
    untilWaiting: (count: number) =>
      until(async () => {
        const found = await waiters()
        return found.length === count ? found.map(({ pid }) => pid) : null
      })
  }
}

const WAIT = 'SELECT 1 AS n FROM pg_advisory_xact_lock(7)'

/** Has `count` connections of a pool opened, by as many statements at once, and tells the processes that serve them. */
async function openConnections(t: Test, db: Db, database: TestDatabase, count: number): Promise<Set<number>> {
  const lock = await holdLock(t, database)
  const running = Array.from({ length: count }, () =>
    db.query<{ pid: number }>('SELECT pg_backend_pid() AS pid FROM pg_advisory_xact_lock(7)')
  )
  await lock.untilWaiting(count)
  await lock.release()
  return new Set((await Promise.all(running)).map(([row]) => row!.pid))
}

t.test('a silent network: the query fails as unknown at its deadline, and the pool heals', async (t) => {
  const { proxy, db } = await dbBehindProxy(t, { statementTimeoutMs: 500 })
  t.equal(await one(db), 1)
  proxy.silence()
  const { result, tookMs } = await timed(failureOf(one(db)))
  t.match(result, { outcome: 'unknown' })
  t.ok(tookMs >= 1000 && tookMs < 3000, `after ${Math.round(tookMs)} ms`)
  proxy.pass()
  const healed = await timed(one(db))
  t.equal(healed.result, 1)
  t.ok(healed.tookMs < 1000, `healed in ${Math.round(healed.tookMs)} ms`)
})

t.test('a silent network: connections that are idle are not found out one by one', async (t) => {
  const { proxy, db, database } = await dbBehindProxy(t, { poolMax: 4, statementTimeoutMs: 1000 })
  await openConnections(t, db, database, 4)
  const before = proxy.accepted()
  proxy.abandon()
  t.match(await failureOf(one(db)), { outcome: 'unknown' })
  for (let turn = 0; turn < 4; turn++) {
    const healed = await timed(one(db))
    t.equal(healed.result, 1)
    t.ok(healed.tookMs < 1900, `in ${Math.round(healed.tookMs)} ms`)
  }
  t.ok(proxy.accepted() > before)
})

t.test('a reply that came while this process was busy counts, however late it is read', async (t) => {
  const { db } = await testDb(t, { statementTimeoutMs: 500 })
  t.equal(await one(db), 1)
  const sent = one(db)
  // The driver sends in the next turn of the event loop.
  for (let turns = 0; turns < 2; turns++) await setImmediate()
  const busyUntil = performance.now() + 1700
  while (performance.now() < busyUntil);
  t.equal(await sent, 1)
})

t.test('close ends when the database has closed the connections, and soon if it says nothing', async (t) => {
  const { proxy, db, database } = await dbBehindProxy(t, { poolMax: 4 })
  await openConnections(t, db, database, 4)
  t.equal(proxy.open(), 4)
  await db.close()
  t.equal(proxy.open(), 0)

  const silent = openDb(proxy.url, { poolMax: 2 })
  t.equal(await one(silent), 1)
  proxy.silence()
  const { tookMs } = await timed(silent.close())
  t.ok(tookMs < 2000, `in ${Math.round(tookMs)} ms`)
})

t.test('a silent network from the start: what failed is not carried out later', async (t) => {
  const { proxy, db, database } = await dbBehindProxy(t, { statementTimeoutMs: 500 })
  await database.run('CREATE TABLE notes (n integer)')
  proxy.silence()
  t.match(await failureOf(db.query('INSERT INTO notes VALUES (1)')), { outcome: 'unknown' })
  proxy.pass()
  const before = proxy.accepted()
  for (let n = 0; n < 5; n++) await Promise.all([one(db), one(db)])
  t.ok(proxy.accepted() > before, 'connections were made again')
  t.match(await database.run('SELECT count(*)::integer AS notes FROM notes'), [{ notes: 0 }])
})

t.test('a database that is away: unavailable at once, and used again as soon as it is back', async (t) => {
  const { proxy, db } = await dbBehindProxy(t)
  t.equal(await one(db), 1)
  await proxy.refuse()
  await db.query('SELECT 1').catch(() => {})
  for (let tries = 0; tries < 25; tries++) {
    const { result, tookMs } = await timed(failureOf(one(db)))
    if (tries === 24) {
      t.match(result, { outcome: 'unavailable', sqlState: 'ECONNREFUSED' })
      t.ok(tookMs < 3000, `also after many failures: ${Math.round(tookMs)} ms`)
    }
  }
  await proxy.listen()
  const { result, tookMs } = await timed(until(() => one(db).catch(() => null)))
  t.equal(result, 1)
  t.ok(tookMs < 3000, `back in ${Math.round(tookMs)} ms`)
})

t.test('a balancer that hangs up: unavailable, because nothing can have been sent', async (t) => {
  const { proxy, db } = await dbBehindProxy(t)
  proxy.hangUp()
  const { result, tookMs } = await timed(failureOf(one(db)))
  t.match(result, { outcome: 'unavailable' })
  t.ok(tookMs < 3000, `in ${Math.round(tookMs)} ms`)
  const tried = proxy.accepted()
  await failureOf(db.query('SELECT 1', [], { repeatable: true }))
  t.ok(proxy.accepted() - tried < 10, 'it is not called again and again')
  proxy.pass()
  t.equal(await one(db), 1)
})

t.test('a result that breaks off in its middle: the next one has no holes, or is no result', async (t) => {
  const { proxy, db } = await dbBehindProxy(t, { poolMax: 1 })
  const many = `SELECT n, repeat('x', 100) AS filler FROM generate_series(1, 20000) n`
  for (let round = 0; round < 3; round++) {
    t.equal(await one(db), 1)
    const cut = proxy.cutReplyAfter(300_000)
    t.match(await failureOf(db.query(many)), { outcome: 'unknown' })
    await cut
    const next = await db.query<{ n: number }>('SELECT 7 AS n').catch((err: DbError) => err)
    t.comment(next instanceof DbError ? 'the driver was caught' : 'the driver was right')
    if (next instanceof DbError) t.match(next, { outcome: 'unknown', sqlState: 'CORRUPT_RESULT' })
    else t.strictSame([...next], [{ n: 7 }])
    t.strictSame([...(await db.query('SELECT 8 AS n', [], { repeatable: true }))], [{ n: 8 }])
  }
})

t.test(
  'connections reset at random moments: every query gets its own answer or an error, and none hangs',
  async (t) => {
    const random = randomOf(seedOf(t))
    const { proxy, db } = await dbBehindProxy(t, { poolMax: 4, statementTimeoutMs: 2000 })
    let asking = true
    const outcomes = { right: 0, wrong: 0, slow: 0, unknown: 0, unavailable: 0 }
    async function ask(): Promise<void> {
      while (asking) {
        const n = random.below(1e9)
        const startedAt = performance.now()
        try {
          const rows = await db.query<{ n: number }>('SELECT $1::integer AS n, $2::text AS filler', [
            n,
            'x'.repeat(n % 5000)
          ])
          if (rows.length === 1 && rows[0]!.n === n) outcomes.right++
          else outcomes.wrong++
        } catch (err) {
          outcomes[(err as DbError).outcome as 'unknown' | 'unavailable']++
        }
        if (performance.now() - startedAt > 2500) outcomes.slow++
      }
    }
    const askers = Array.from({ length: 12 }, ask)
    for (let resets = 0; resets < 60; resets++) {
      const goal = outcomes.right + 1 + random.below(30)
      await until(() => outcomes.right >= goal, { what: 'answers between two resets' })
      if (random.below(3) > 0) proxy.reset()
      else
        await asAdmin(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${new URL(proxy.url).pathname.slice(1)}'`
        )
    }
    asking = false
    await Promise.all(askers)
    t.comment(JSON.stringify(outcomes))
    t.match(outcomes, { wrong: 0, slow: 0 })
    t.ok(outcomes.unknown > 0, 'some queries were hit')
    t.equal(await one(db), 1)
  }
)

t.test('a repeatable query survives the end of its connection; another is run at most once', async (t) => {
  const { db, database } = await testDb(t)
  const lock = await holdLock(t, database)
  const repeated = db.query<{ n: number }>(WAIT, [], { repeatable: true })
  const [first] = await lock.untilWaiting(1)
  await asAdmin(`SELECT pg_terminate_backend(${first})`)
  const [second] = await lock.untilWaiting(1)
  t.not(second, first)

  const once = failureOf(db.query(WAIT))
  const pids = await lock.untilWaiting(2)
  await asAdmin(`SELECT pg_terminate_backend(${pids.find((pid) => pid !== second)})`)
  t.match(await once, { outcome: 'unknown' })
  await lock.untilWaiting(1)
  await lock.release()
  t.equal((await repeated)[0]!.n, 1)
})

t.test('the line before the pool is bounded: one more than its limit is refused at once', async (t) => {
  const { db, database } = await testDb(t, { poolMax: 2, waitingMax: 3 })
  const lock = await holdLock(t, database)
  const running = [db.query(WAIT), db.query(WAIT)]
  await lock.untilWaiting(2)
  const waiting = [one(db), one(db), one(db)]
  const { result, tookMs } = await timed(failureOf(one(db)))
  t.match(result, { outcome: 'unavailable', sqlState: 'POOL_BUSY' })
  t.ok(tookMs < 2000, `${Math.round(tookMs)} ms`)
  await lock.release()
  await Promise.all(running)
  t.strictSame(await Promise.all(waiting), [1, 1, 1], 'those in line had their turn')
})

t.test('the line before the pool is bounded in time, and a place given up is free for the next', async (t) => {
  const slots = createSlots({ slots: ['only'], waitingMax: 1, waitMs: 100 })
  let finish = () => {}
  const working = slots.run(() => new Promise<void>((resolve) => (finish = resolve)))
  for (let turns = 0; turns < 3; turns++) {
    const { result, tookMs } = await timed(failureOf(slots.run(async () => 'late')))
    t.match(result, { outcome: 'unavailable', sqlState: 'POOL_BUSY' })
    t.ok(tookMs >= 95 && tookMs < 2000, `after ${Math.round(tookMs)} ms`)
  }
  const next = slots.run(async () => 'in time')
  finish()
  await working
  t.equal(await next, 'in time')
  await t.rejects(
    slots.run(() => Promise.reject(new Error('of the work'))),
    { message: 'of the work' }
  )
  t.equal(await slots.run(async () => 'free again'), 'free again')
})

t.test('the connection that was used last is used next, and one whose query failed after all others', async (t) => {
  const { db, database } = await testDb(t, { poolMax: 3 })
  const used = async () => (await db.query<{ pid: number }>('SELECT pg_backend_pid() AS pid'))[0]!.pid
  const pids = await openConnections(t, db, database, 3)
  t.equal(pids.size, 3)
  const last = await used()
  for (let turn = 0; turn < 5; turn++) t.equal(await used(), last)
  t.match(await failureOf(db.query('SELECT 1 / 0')), { outcome: 'definite' })
  const other = await used()
  t.ok(pids.has(other))
  t.not(other, last)
  t.equal(await used(), other)
})

t.test('no error holds a parameter, neither of a statement nor of Drizzle', async (t) => {
  const { db } = await testDb(t)
  const canary = `canary-${randomUUID()}`
  const row = {
    bucket: 0,
    position: 1,
    id: randomUUID(),
    aggregateId: newUserId(),
    version: 1,
    eventType: canary,
    schemaVersion: 1,
    eventData: { canary },
    tenantId: DEFAULT_TENANT,
    createdAt: new Date().toISOString()
  }
  await db.orm.insert(userEvents).values(row)
  const failures = {
    'a type': failureOf(db.query('SELECT $1::text::uuid', [canary])),
    'a number': failureOf(db.query('SELECT $1::text::integer', [canary])),
    json: failureOf(db.query('SELECT $1::text::jsonb', [`{"a": ${canary}`])),
    'a length': failureOf(
      db.orm.insert(userEvents).values({ ...row, position: 2, version: 2, eventType: canary.repeat(9) })
    ),
    'a key': failureOf(db.orm.insert(userEvents).values({ ...row, position: 2 })),
    'a check': failureOf(db.orm.insert(userEvents).values({ ...row, position: -1, version: 3, id: randomUUID() })),
    'no table': failureOf(db.query(`SELECT $1::text FROM no_such_table`, [canary]))
  }
  for (const [name, failure] of Object.entries(failures)) {
    const err = await failure
    t.equal(err.outcome, name === 'a key' ? 'conflict' : 'definite', name)
    const texts = [err.message, err.stack, String(err), JSON.stringify(err), inspect(err, { depth: 9 })]
    t.notOk(
      texts.some((text) => text?.includes(canary)),
      `${name}: ${err.message}`
    )
    t.notOk(Object.getOwnPropertyNames(err).includes('parameters'))
  }
  t.match(await failures['a key'], { constraint: 'user_events_pkey' })
})

t.test('a statement that takes too long is ended by the server and did nothing', async (t) => {
  const { db } = await testDb(t, { statementTimeoutMs: 200 })
  t.match(await failureOf(db.query('SELECT pg_sleep(20)')), { outcome: 'conflict', sqlState: '57014' })
  t.equal(await one(db), 1)
})

t.test('a session has the settings that the promises rest on', async (t) => {
  const { db } = await testDb(t)
  const [row] = await db.query<Record<string, string>>(`
    SELECT current_setting('transaction_isolation') AS isolation, current_setting('synchronous_commit') AS "synchronousCommit",
      current_setting('TimeZone') AS "timeZone", current_setting('statement_timeout') AS "statementTimeout",
      current_setting('lock_timeout') AS "lockTimeout", current_setting('idle_in_transaction_session_timeout') AS "idleTimeout",
      current_setting('application_name') AS name`)
  t.match(row, {
    isolation: 'read committed',
    synchronousCommit: 'on',
    timeZone: 'UTC',
    statementTimeout: '5s',
    lockTimeout: '2s',
    idleTimeout: '5s',
    name: 'user-event-store'
  })
})

t.test('they hold also where the database has others', async (t) => {
  const { db, database } = await testDb(t)
  for (const setting of [
    "default_transaction_isolation = 'serializable'",
    'synchronous_commit = off',
    "TimeZone = 'Asia/Tokyo'"
  ])
    await asAdmin(`ALTER DATABASE ${database.name} SET ${setting}`)
  const [row] = await db.query(`
    SELECT current_setting('transaction_isolation') AS isolation, current_setting('synchronous_commit') AS commit,
      current_setting('TimeZone') AS zone`)
  t.match(row, { isolation: 'read committed', commit: 'on', zone: 'UTC' })
})

t.test('prepared statements are used, or not, as asked', async (t) => {
  for (const prepare of [true, false]) {
    const { db } = await testDb(t, { prepare, poolMax: 1 })
    for (let n = 0; n < 3; n++) {
      t.match(await db.query('SELECT $1::integer AS n, $2::text AS text', [n, 'a']), [{ n, text: 'a' }])
    }
    const [count] = await db.query<{ n: number }>(
      'SELECT count(*)::integer AS n FROM pg_prepared_statements WHERE $1::boolean',
      [true]
    )
    t.equal(count!.n > 0, prepare)
  }
})

t.test('a document comes back as it was: strings that look like numbers, null and dates stay strings', async (t) => {
  const { db } = await testDb(t)
  const eventData = {
    number: '10.5',
    nothing: 'null',
    truth: 'true',
    moment: '2026-11-22T08:00:00.000Z',
    list: ['1', 1, null, 'null', [], {}],
    deep: { '10': '10', empty: '' },
    text: '"quoted" \\ back \n line \u2028 ☃ 𝄞',
    float: 0.1,
    large: 9007199254740991
  }
  const aggregateId = newUserId()
  const createdAt = '2026-11-22T08:00:00.123Z'
  await db.orm.insert(userEvents).values({
    bucket: 0,
    position: 1,
    id: randomUUID(),
    aggregateId,
    version: 1,
    eventType: 'UserUpdated',
    schemaVersion: 1,
    eventData,
    metadata: { only: '10.5' },
    tenantId: DEFAULT_TENANT,
    createdAt
  })
  const [row] = await db.orm.select().from(userEvents).where(eq(userEvents.aggregateId, aggregateId)).limit(1)
  t.strictSame(row!.eventData, eventData)
  t.strictSame(row!.metadata, { only: '10.5' })
  t.strictSame([row!.createdAt, row!.occurredAt, row!.position], [createdAt, null, 1])
})

t.test('rows that nobody holds any more are free without a collection of the whole heap', async (t) => {
  const { url } = await testDatabase(t)
  const { stdout } = await promisify(execFile)(process.execPath, [
    // The old space is as large as it will get from the beginning, so that nothing but small collections happen.
    ...['--initial-old-space-size=1000', '--expose-gc', '--input-type=module', '--eval'],
    `
      import { openDb } from ${JSON.stringify(new URL('../../dist/db/client.js', import.meta.url))}
      const db = openDb(${JSON.stringify(url)}, { poolMax: 1 })
      const read = () => db.query("SELECT repeat('x', 1000) || n AS text FROM generate_series(1, 1000) n")
      for (let i = 0; i < 200; i++) await read()
      gc({ type: 'minor' })
      console.log(Math.round(process.memoryUsage().heapUsed / 1e6))
      await db.close()`
  ])
  t.ok(Number(stdout) < 50, `${stdout.trim()} MB in use after 200 MB were read and let go`)
})

t.test('a transaction through Drizzle is refused', async (t) => {
  const { db } = await testDb(t)
  await t.rejects(
    db.orm.transaction(async () => {}),
    { message: /not supported/i }
  )
})

t.test('close waits for what runs, takes nothing new, and leaves no connection', async (t) => {
  const { db, database } = await testDb(t)
  const lock = await holdLock(t, database)
  const running = db.query<{ n: number }>(WAIT)
  await lock.untilWaiting(1)
  const closing = db.close()
  t.match(await failureOf(one(db)), { outcome: 'unavailable' })
  await lock.release()
  t.equal((await running)[0]!.n, 1)
  const { tookMs } = await timed(closing)
  t.ok(tookMs < 3000, `${Math.round(tookMs)} ms`)
  await until(
    async () => {
      const [row] = await asAdmin<{ n: number }>(
        `SELECT count(*)::integer AS n FROM pg_stat_activity WHERE datname = '${database.name}'`
      )
      return row!.n === 1
    },
    { what: 'only the connection of the lock to be left' }
  )
})

t.test('close does not wait longer than it was told, nor after connections were lost', async (t) => {
  const { proxy, db, database } = await dbBehindProxy(t)
  const lock = await holdLock(t, database)
  t.equal(await one(db), 1)
  proxy.reset()
  await db.query('SELECT 1', [], { repeatable: true })
  const running = failureOf(db.query(WAIT))
  await lock.untilWaiting(1)
  const { tookMs } = await timed(db.close(300))
  t.ok(tookMs >= 295 && tookMs < 3000, `${Math.round(tookMs)} ms`)
  t.match(await running, { outcome: 'unknown' })
  await lock.release()
})

t.test('an idle pool whose connections were lost closes at once', async (t) => {
  const { proxy, db } = await dbBehindProxy(t)
  const running = failureOf(db.query('SELECT pg_sleep(5)'))
  await until(() => proxy.open() > 0)
  proxy.reset()
  await running
  const { tookMs } = await timed(db.close(5000))
  t.ok(tookMs < 3000, `${Math.round(tookMs)} ms`)
})

t.test('of several hosts another is taken while one is away, and all away is told at once', async (t) => {
  const { proxy, database } = await dbBehindProxy(t)
  await proxy.refuse()
  const [away, here] = [new URL(proxy.url), new URL(database.url)]
  const open = (...hosts: string[]) => {
    const db = openDb(`postgres://${here.username}:${here.password}@${hosts.join()}${here.pathname}`, { poolMax: 4 })
    t.teardown(() => db.close(1000))
    return db
  }
  const one = open(away.host, here.host)
  for (let n = 0; n < 10; n++) t.match(await until(() => one.query('SELECT 1 AS n').catch(() => null)), [{ n: 1 }])
  const none = open(away.host, away.host)
  for (const failed of await Promise.all([1, 2, 3, 4].map(() => timed(failureOf(none.query('SELECT 1')))))) {
    t.match(failed.result, { outcome: 'unavailable', sqlState: 'ECONNREFUSED' })
    t.ok(failed.tookMs < 3000, `${Math.round(failed.tookMs)} ms`)
  }
})
