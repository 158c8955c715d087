import { randomUUID } from 'node:crypto'
import { type Machine, residentBytes } from '../machine.js'
import { seedUser } from '../seed.js'
import { drain } from './requests.js'
import type { Measure, Scenario } from './scenario.js'

/** How much a service grows while it streams and folds what could never be held at once. */
export async function memory(machine: Machine, note: (text: string) => void): Promise<Scenario[]> {
  note('filling the database with long streams')
  const database = await machine.createDatabase('long')
  const [streamed, folded] = [randomUUID(), randomUUID()]
  await seedUser(database.sql, streamed, 1_000_000)
  await seedUser(database.sql, folded, 200_000)
  const service = await machine.startService(database, { REQUEST_TIMEOUT_MS: '600000', SNAPSHOT_THRESHOLD: '1000000' })
  await drain(await fetch(`${service.url}/users/${folded}/events?limit=1000`))
  const grows =
    (path: string, headers = {}): Measure =>
    async () => {
      const before = residentBytes(service.pid)
      let most = before
      const watch = setInterval(() => {
        most = Math.max(most, residentBytes(service.pid))
      }, 20)
      await drain(await fetch(service.url + path, { headers }))
      clearInterval(watch)
      return (most - before) / 1024 / 1024
    }
  return [
    {
      name: 'memory: 1,000,000 events as NDJSON',
      unit: 'MB',
      once: true,
      atMost: 100,
      limits: [],
      measure: grows(`/users/${streamed}/events`, { accept: 'application/x-ndjson' })
    },
    {
      name: 'memory: full replay of 200,000 events',
      unit: 'MB',
      once: true,
      atMost: 100,
      limits: [],
      measure: grows(`/users/${folded}/state?useSnapshot=false`)
    }
  ]
}
