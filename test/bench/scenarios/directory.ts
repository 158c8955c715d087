/** Queries of GET /users on a million users: the slowest of all that the contract names counts. */
import { createHash } from 'node:crypto'
import { documentedQueries, manyUsers } from '../../support/directory.js'
import type { Machine } from '../machine.js'
import { succeeded } from './requests.js'
import type { Plan, Scenario } from './scenario.js'

const USERS = 1_000_000
const CHUNK = 100_000
/** md5('many0'), as manyUsers names the first. */
const FIRST = createHash('md5')
  .update('many0')
  .digest('hex')
  .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
const TENANT = '0191d5a0-7c1e-7000-8000-000000000001'

export async function directory(
  machine: Machine,
  { durationMs }: Plan,
  note: (text: string) => void
): Promise<Scenario[]> {
  const database = await machine.createDatabase('directory')
  for (let from = 0; from < USERS; from += CHUNK) {
    await database.sql.unsafe(manyUsers(TENANT, from, CHUNK))
    note(`filling the directory: ${from + CHUNK} of ${USERS} users`)
  }
  await database.sql.unsafe('VACUUM ANALYZE user_read_model')
  const service = await machine.startService(database)
  const p95 = async (path: string): Promise<number> =>
    succeeded(
      await machine.load({
        url: service.url,
        connections: 1,
        durationMs: Math.max(200, durationMs / 8),
        method: 'GET',
        paths: [path],
        headers: { 'x-tenant-id': TENANT }
      })
    ).p95Ms

  return [
    {
      name: 'find users among 1,000,000: slowest p95 of the documented queries',
      unit: 'ms',
      atMost: 30,
      async measure() {
        let slowest = { ms: 0, query: '' }
        for (const query of documentedQueries) {
          const ms = await p95(`/users?${query}`)
          if (ms > slowest.ms) slowest = { ms, query }
        }
        note(`slowest: ${slowest.query} ${slowest.ms.toFixed(1)} ms`)
        return slowest.ms
      },
      limits: [{ name: 'p95 of one user by its id', measure: () => p95(`/users/${FIRST}`) }]
    }
  ]
}
