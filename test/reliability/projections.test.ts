/** After any history, what is projected live is what a rebuild makes, and both are what a fold of every user's events gives. */
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { histories } from '../domain/histories.js'
import { sendLines } from '../support/import.js'
import { becomesExact, projectedIn } from '../support/projected.js'
import { type Random, randomOf, seedOf } from '../support/random.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

type Life = { userId: string; headers: Record<string, string>; events: Content[]; old: boolean }
type Content = { eventType: string; schemaVersion: number; eventData: object; createdAt: string }

const ROUTE = '/admin/projections/users'
const EFFECT = { schema: { type: 'object' }, effect: { kind: 'merge', namespace: 'address' } }
/** A second version gives other states for the events of the first. */
const LIFTED = { ...EFFECT, upcast: [{ op: 'add', path: '/country', value: 'UK' }] }

/** Random lives of users of several tenants; some are history of another store. Now and then a registered type comes among them. */
function randomLives(seed: number, random: Random, tenants: readonly Life['headers'][], count: number): Life[] {
  return fc.sample(histories(25), { numRuns: count, seed }).map((events) => ({
    userId: randomUUID(),
    headers: random.pick(tenants),
    old: random.below(3) === 0,
    events: events.flatMap((event) => {
      const moved = { ...event, eventType: 'Moved', schemaVersion: 1, eventData: { city: `c${random.below(5)}` } }
      return event.version > 1 && random.below(6) === 0 ? [moved, event] : [event]
    })
  }))
}

async function live(service: TestService, { userId, headers, events, old }: Life, random: Random): Promise<string[]> {
  if (old) {
    const lines = events.map((event, i) => ({
      id: randomUUID(),
      aggregateId: userId,
      ...event,
      version: i + 1,
      createdAt: new Date(Date.parse(event.createdAt) - 3000 * 86_400_000).toISOString()
    }))
    const answer = await sendLines(service, lines, headers)
    return answer.statusCode === 200 ? [] : [answer.body]
  }
  for (let next = 0; next < events.length; ) {
    const part = events.slice(next, next + 1 + random.below(4))
    next += part.length
    const answer = await service.append(
      userId,
      part.map(({ eventType, schemaVersion, eventData }) => ({ eventType, schemaVersion, eventData })),
      { headers }
    )
    if (answer.statusCode !== 201) return [answer.body]
  }
  return []
}

/** Few imports may run at once. */
async function inTurn(service: TestService, lives: Life[], random: Random): Promise<string[]> {
  const refused: string[] = []
  for (const life of lives) refused.push(...(await live(service, life, random)))
  return refused
}

for (const buckets of [1, 3]) {
  t.test(`projected live, rebuilt and folded are the same, with EVENT_BUCKETS=${buckets}`, async (t) => {
    const seed = seedOf(t)
    const random = randomOf(seed)
    const service = await testService(t, { background: true, env: { EVENT_BUCKETS: String(buckets) } })
    const { ask, database, get, post } = service
    const tenants = Array.from({ length: 3 }, () => ({ 'x-tenant-id': randomUUID() }))
    const register = async (version: number, payload: object): Promise<void> => {
      for (const headers of tenants)
        await ask({ method: 'PUT', url: `/event-types/Moved/versions/${version}`, payload, headers })
    }
    await register(1, EFFECT)
    for (let round = 0; round < 4; round++) {
      const lives = randomLives(seed + round, random, tenants, 30)
      const [old, appended] = [lives.filter((life) => life.old), lives.filter((life) => !life.old)]
      const writing = [...appended.map((life) => live(service, life, random)), inTurn(service, old, random)]
      if (round > 0 && random.below(2)) await post(`${ROUTE}/rebuild`)
      const refused = (await Promise.all(writing)).flat()
      t.strictSame(refused.slice(0, 2), [], 'every event is stored')
      if (round === 2) await register(2, LIFTED)
      await becomesExact(t, database, `live, round ${round}`)
      const before = await projectedIn(database)
      t.equal(Object.keys(before.users).length, (round + 1) * 30)
      t.equal((await get(ROUTE)).data.parkedUsers, 0)
      const { filledAt } = (await get(ROUTE)).data
      await post(`${ROUTE}/rebuild`)
      await until(async () => (await get(ROUTE)).data.filledAt !== filledAt, { what: 'the rebuild' })
      t.strictSame(await projectedIn(database), before, `rebuilt, round ${round}`)
    }
  })
}
