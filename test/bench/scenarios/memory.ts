/**
 * How much a service grows while it streams and folds what could never be held at once. Each time in a process of its own,
 * so that nothing hides in a heap that has grown before.
 */
import { randomUUID } from 'node:crypto'
import { lazily } from '../lazily.js'
import { residentBytes } from '../machine.js'
import { seedUsers } from '../seed.js'
import { drain, eventsPath, NDJSON, statePath } from './requests.js'
import type { Bench, Measure, Scenario } from './scenario.js'
import { settle } from './settle.js'

const STREAMED = 1_000_000
const FOLDED = 200_000
/** Of a tenth of the events: a ratio near 1 says that memory does not depend on their number, one near 10 that it does. */
const TENTH = 10
const FIRST_PAGE = 1000
const SETTINGS = { REQUEST_TIMEOUT_MS: '600000', SNAPSHOT_THRESHOLD: '1000000' }

export function memory({ bring, note }: Bench): Scenario[] {
  const prepare = lazily(async () => {
    const machine = await bring()
    note('filling the database with long streams')
    const database = await machine.createDatabase('long')
    const sizes = [FIRST_PAGE, STREAMED, STREAMED / TENTH, FOLDED, FOLDED / TENTH]
    const users = new Map(sizes.map((events) => [events, randomUUID()]))
    for (const [events, userId] of users) await seedUsers(database.sql, [userId], events)
    const worker = await machine.startService(database, SETTINGS)
    await settle(database, worker, note)
    await worker.stop()
    return { machine, database, users }
  })
  const grows =
    (events: number, pathOf: (userId: string) => string, headers = {}): Measure =>
    async () => {
      const { machine, database, users } = await prepare()
      const service = await machine.startService(database, SETTINGS)
      // The code that is loaded at the first request is no growth.
      await drain(await fetch(`${service.url}${eventsPath(users.get(FIRST_PAGE)!)}?limit=${FIRST_PAGE}`))
      const before = residentBytes(service.pid)
      let most = before
      const watch = setInterval(() => {
        most = Math.max(most, residentBytes(service.pid))
      }, 20)
      await drain(await fetch(service.url + pathOf(users.get(events)!), { headers }))
      clearInterval(watch)
      await service.stop()
      return (most - before) / 1024 / 1024
    }
  const replayPath = (userId: string): string => `${statePath(userId)}?useSnapshot=false`
  const common = { unit: 'MB', prepare, slow: true, rounds: 1, atMost: 100 } as const
  return [
    {
      ...common,
      name: 'memory: 1,000,000 events as NDJSON',
      measure: grows(STREAMED, eventsPath, NDJSON),
      limits: [{ name: 'the same of a tenth', measure: grows(STREAMED / TENTH, eventsPath, NDJSON) }]
    },
    {
      ...common,
      name: 'memory: full replay of 200,000 events',
      measure: grows(FOLDED, replayPath),
      limits: [{ name: 'the same of a tenth', measure: grows(FOLDED / TENTH, replayPath) }]
    }
  ]
}
