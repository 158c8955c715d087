/** A process that projects may die at any moment: every event is applied once. */
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { testDatabase } from '../support/db.js'
import { becomesExact } from '../support/projected.js'
import { CHUNK, expireLeases, LIVE, moreEvents, positionOf, statusOf } from '../support/projected-log.js'
import { startProjecting } from '../support/projecting-process.js'
import { randomOf, seedOf } from '../support/random.js'
import { until } from '../support/wait.js'

const KILLS = 50

t.test(`kill -9 at random moments, ${KILLS} times while projecting`, async (t) => {
  const seed = seedOf(t)
  const random = randomOf(seed)
  const database = await testDatabase(t)
  const env = { DATABASE_URL: database.url }
  const first = await startProjecting(t, env)
  await until(async () => (await statusOf(database)).version > 0)
  await first.end('SIGTERM')

  const positions: number[] = []
  let between = 0
  for (let kill = 0; kill < KILLS; kill++) {
    await database.run(moreEvents(kill))
    const { end } = await startProjecting(t, env)
    // Every other one dies soon after its first batch, the rest at any moment.
    const before = positions.at(-1) ?? 0
    if (kill % 2) await until(async () => (await positionOf(database, LIVE)) > before)
    await pause(random.below(kill % 2 ? 30 : 200))
    await end('SIGKILL')
    await expireLeases(database)
    const position = await positionOf(database, LIVE)
    if (position > before && position < (kill + 1) * CHUNK) between++
    positions.push(position)
  }
  t.comment(`${between} of ${KILLS} died between two batches, the last at ${positions.at(-1)}`)
  t.ok(between > 0, 'some died in the middle')
  t.ok(
    positions.every((position, i) => i === 0 || position >= positions[i - 1]!),
    'the position only went up'
  )
  const last = await startProjecting(t, env)
  await becomesExact(t, database, 'projected', 120_000)
  await last.end('SIGTERM')
})
