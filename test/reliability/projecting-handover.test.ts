/** One process that projects takes over from another: one that sleeps, and one of older code. */
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { usersProjection } from '../../src/domain/projections/users.js'
import { testDatabase } from '../support/db.js'
import { becomesExact } from '../support/projected.js'
import { beginRebuild, CHUNK, expireLeases, LIVE, moreEvents, positionOf, statusOf } from '../support/projected-log.js'
import { startProjecting } from '../support/projecting-process.js'
import { randomOf, seedOf } from '../support/random.js'
import { until } from '../support/wait.js'

t.test('a process that sleeps while another takes over changes nothing when it wakes', async (t) => {
  const seed = seedOf(t)
  const random = randomOf(seed)
  const database = await testDatabase(t)
  const env = { DATABASE_URL: database.url }
  const leader = await startProjecting(t, env)
  await until(async () => (await statusOf(database)).version > 0)
  const positions: number[] = []
  const watch = async () => positions.push(await positionOf(database, LIVE))
  for (let round = 0; round < 6; round++) {
    await database.run(moreEvents(round))
    if (round === 3) t.equal(await beginRebuild(database), 'started')
    await pause(random.below(60))
    leader.child.kill('SIGSTOP')
    await watch()
    await expireLeases(database)
    const heir = await startProjecting(t, env)
    const head = (round + 1) * CHUNK
    await until(async () => (await watch()) && positions.at(-1) === head, { timeoutMs: 60_000, what: 'the heir' })
    leader.child.kill('SIGCONT')
    await becomesExact(t, database, `round ${round}: exact with both awake`)
    // Gone at once, so that the leader leads again.
    await heir.end('SIGTERM')
    await watch()
  }
  await until(async () => (await statusOf(database)).stage === null, { timeoutMs: 60_000, what: 'the rebuild' })
  await becomesExact(t, database, 'exact after the rebuild')
  t.ok(
    positions.every((position, i) => i === 0 || position >= positions[i - 1]!),
    'the position only went up'
  )
})

t.test('newer code rebuilds by itself beside older, which leaves the tables alone from then on', async (t) => {
  const database = await testDatabase(t)
  const { version } = usersProjection
  const of = (code: number) => startProjecting(t, { DATABASE_URL: database.url, PROJECTION_VERSION: String(code) })
  const older = await of(version)
  await database.run(moreEvents(0))
  await until(async () => (await positionOf(database, LIVE)) === CHUNK, { what: 'the older to project' })

  const newer = await of(version + 1)
  await until(async () => (await statusOf(database)).version === version + 1, {
    timeoutMs: 60_000,
    what: 'the newer to rebuild while the older lives'
  })
  await database.run(moreEvents(1))
  await until(async () => (await positionOf(database, LIVE)) === 2 * CHUNK, {
    what: 'the newer to project while the older lives'
  })
  await newer.end('SIGTERM')
  await database.run(moreEvents(2))
  const asked = () =>
    database.run<{ n: number }>(`SELECT count(*)::integer AS n FROM workers WHERE "leaseUntil" > now()`)
  // The older one is awake: it has seen the version since.
  const another = await of(version)
  await until(async () => (await asked())[0]!.n === 0)
  t.equal(await positionOf(database, LIVE), 2 * CHUNK, 'the older ones write nothing')
  await of(version + 1)
  await until(async () => (await positionOf(database, LIVE)) === 3 * CHUNK, { what: 'a newer one' })
  await becomesExact(t, database, 'exact')
  await Promise.all([older.end('SIGTERM'), another.end('SIGTERM')])
})
