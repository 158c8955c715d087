/** A process that rebuilds may die at any moment: what takes over is exact, or what was there before goes on. */
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { testDatabase } from '../support/db.js'
import { becomesExact } from '../support/projected.js'
import { beginRebuild, expireLeases, hashOf, moreEvents, NEXT, positionOf, statusOf } from '../support/projected-log.js'
import { startProjecting } from '../support/projecting-process.js'
import { randomOf, seedOf } from '../support/random.js'
import { until } from '../support/wait.js'

const KILLS = 50
const CHUNKS = 8

t.test(`kill -9 at random moments, ${KILLS} times while rebuilding`, async (t) => {
  const seed = seedOf(t)
  const random = randomOf(seed)
  const database = await testDatabase(t)
  const env = { DATABASE_URL: database.url }
  const first = await startProjecting(t, env)
  await until(async () => (await statusOf(database)).version > 0)
  for (let chunk = 0; chunk < CHUNKS; chunk++) await database.run(moreEvents(chunk))
  await becomesExact(t, database, 'projected')
  await first.end('SIGTERM')
  const exact = await hashOf(database)

  const died: Record<string, number> = {}
  const back: string[] = []
  const wrong: number[] = []
  let before = { filledAt: '', position: 0 }
  for (let kill = 0; kill < KILLS; kill++) {
    if ((await statusOf(database)).stage === null) {
      await beginRebuild(database)
      before = { filledAt: (await statusOf(database)).filledAt, position: 0 }
    }
    const { end } = await startProjecting(t, env)
    await pause(random.below(kill % 2 ? 400 : 1500))
    await end('SIGKILL')
    await expireLeases(database)
    const { stage, filledAt } = await statusOf(database)
    const position = await positionOf(database, NEXT)
    if (filledAt === before.filledAt && position < before.position) back.push(`${before.position} to ${position}`)
    if (filledAt !== before.filledAt && (await hashOf(database)) !== exact) wrong.push(kill)
    before = { filledAt, position }
    died[stage ?? 'swapped'] = (died[stage ?? 'swapped'] ?? 0) + 1
  }
  t.comment(`died ${JSON.stringify(died)}`)
  t.ok(died.filling! > 0 && died.swapped! > 0, 'some died while filling, some rebuilds came to their end')
  t.strictSame(back, [], 'the position only went up')
  t.strictSame(wrong, [], 'whatever took over was exact')
  const end = await startProjecting(t, env)
  await until(async () => (await statusOf(database)).stage === null, { timeoutMs: 120_000, what: 'the last rebuild' })
  t.equal(await hashOf(database), exact)
  await end.end('SIGTERM')
})
