/** Tables that a rebuild filled take over while they are read and projected into: nobody waits long, and no answer goes back. */
import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { type Db, openDb } from '../../src/db/client.js'
import { runLong } from '../../src/db/long-statement.js'
import { usersProjection } from '../../src/domain/projections/users.js'
import { createEventTypeService } from '../../src/services/event-types.js'
import { createProjector } from '../../src/services/projector.js'
import { createRebuild } from '../../src/services/rebuild.js'
import { projectionWorker, selectVersions, startRebuild } from '../../src/store/projections.js'
import { claimLease } from '../../src/store/workers.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { becomesExact } from '../support/projected.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const SWAPS = 25
const { signal } = new AbortController()

/** Rebuilds of the test's own on the database of a service, whose own rebuild never gets the lease. Each swap is timed. */
async function rebuilder(t: Test, { database }: TestService) {
  const db = openDb(database.url, { poolMax: 3 })
  t.teardown(() => db.close())
  const swaps: { ms: number; done: boolean }[] = []
  const timed: Db = {
    ...db,
    async query(text, params, options) {
      if (!text.includes('swap_projection')) return await db.query(text, params, options)
      const startedAt = performance.now()
      let done = false
      try {
        const rows = await db.query<{ swapped: boolean }>(text, params, options)
        done = rows[0]!.swapped
        return rows as never
      } finally {
        swaps.push({ ms: performance.now() - startedAt, done })
      }
    }
  }
  const eventTypes = createEventTypeService({ db, onPatchFailed: () => {} })
  const common = { projection: usersProjection, bucket: 0 }
  const projector = createProjector({ db, eventTypes, ...common, rebuilds: true, onParked: () => {} })
  const step = createRebuild({
    db: timed,
    runLong: (statement, signal) => runLong(database.url, statement, signal),
    projector,
    buckets: 1,
    ...common
  })
  const holder = randomUUID()
  const claim = () => claimLease(db, 0, projectionWorker('users', true), holder, 3_600_000)
  await claim()
  return {
    swaps,
    begin: () => startRebuild(db, usersProjection, 0),
    /** One step; tells whether the rebuild is over. */
    async step(): Promise<boolean> {
      await step({ ...(await claim())!, until: Number.POSITIVE_INFINITY }, signal)
      return (await selectVersions(db, 'users'))!.rebuild === null
    }
  }
}

t.test(`${SWAPS} times tables take over under readers and a writer`, async (t) => {
  const service = await testService(t, { background: true })
  const { append, get, database } = service
  const users = Array.from({ length: 20 }, newUserId)
  for (const user of users) await append(user, [userCreated(), ...updates(20)])
  await until(async () => (await get(`/users/${users.at(-1)}`)).statusCode === 200)
  const { begin, step, swaps } = await rebuilder(t, service)

  let going = true
  const reads: { ms: number; status: number }[] = []
  const back: string[] = []
  async function read(): Promise<void> {
    for (let last = 0; going; ) {
      const startedAt = performance.now()
      const { statusCode, data } = await get('/users?limit=5')
      reads.push({ ms: performance.now() - startedAt, status: statusCode })
      if (data.position < last) back.push(`${data.position} after ${last}`)
      last = data.position
    }
  }
  async function write(): Promise<void> {
    for (let n = 0; going; n++) await append(users[n % users.length]!, updates(1))
  }
  const busy = [read(), read(), write()]
  while (swaps.filter(({ done }) => done).length < SWAPS) {
    t.equal(await begin(), 'started')
    while (!(await step()));
  }
  going = false
  await Promise.all(busy)

  const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!
  const shown = (numbers: number[]): string =>
    `median ${median(numbers).toFixed(1)} ms, longest ${Math.max(...numbers).toFixed(1)} ms of ${numbers.length}`
  // From before the first lock to the answer: a bound on how long anybody can have waited, and more by what the processor was busy with.
  const took = swaps.map(({ ms }) => ms)
  t.comment(`swaps: ${shown(took)}; reads: ${shown(reads.map(({ ms }) => ms))}`)
  t.ok(median(took) < 50, 'half of the swaps took less than 50 ms')
  t.strictSame(new Set(reads.map(({ status }) => status)), new Set([200]), 'every read was answered')
  t.strictSame(back.slice(0, 3), [], 'no answer was of an earlier position than the one before')
  await becomesExact(t, database, 'exact')
})

t.test('a query that goes on for long delays the swap, not other queries', async (t) => {
  const service = await testService(t, { background: true })
  const { append, get, database } = service
  const userId = newUserId()
  const { position } = (await append(userId, [userCreated()])).data.events[0]
  await get(`/users?atLeast=${position}`)
  const { begin, step, swaps } = await rebuilder(t, service)
  const sql = postgres(database.url, { max: 1, fetch_types: false })
  t.teardown(() => sql.end({ timeout: 5 }))
  await sql.unsafe('BEGIN')
  await sql.unsafe('SELECT count(*) FROM user_activity_days')
  t.equal(await begin(), 'started')
  while (swaps.length < 2) t.equal(await step(), false)
  t.ok(swaps.every(({ done }) => !done))
  const [user] = (await append(userId, updates(1))).data.events
  t.hasStrict((await get(`/users/${userId}?atLeast=${user.position}`)).data, { lastUpdatedVersion: 2 })
  await sql.unsafe('COMMIT')
  while (!(await step()));
  t.equal(swaps.at(-1)!.done, true)
  await becomesExact(t, database, 'exact')
})
