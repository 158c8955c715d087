/** Queries of GET /users on a million users: the slowest of all that the contract names counts. */
import { createHash } from 'node:crypto'
import { documentedQueries, manyUsers } from '../../support/directory.js'
import { until } from '../../support/wait.js'
import { lazily } from '../lazily.js'
import { succeeded } from './requests.js'
import type { Bench, Scenario } from './scenario.js'

const USERS = 1_000_000
const CHUNK = 100_000
/** Requests of one query that count, after WARM_UP others: ten of them are slower than its p95. */
const SAMPLES = 200
/** The service has ten connections, each of which plans a statement anew at first. */
const WARM_UP = 20
/** md5('many0'), as manyUsers names the first. */
const FIRST = createHash('md5')
  .update('many0')
  .digest('hex')
  .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
const TENANT = '0191d5a0-7c1e-7000-8000-000000000001'
const HEADERS = { 'x-tenant-id': TENANT }

export function directory({ bring, note }: Bench): Scenario[] {
  const prepare = lazily(async () => {
    const machine = await bring()
    const database = await machine.createDatabase('directory')
    for (let from = 0; from < USERS; from += CHUNK) {
      await database.sql.unsafe(manyUsers(TENANT, from, CHUNK))
      note(`filling the directory: ${from + CHUNK} of ${USERS} users`)
    }
    await database.sql.unsafe('VACUUM ANALYZE user_read_model, user_read_state')
    const service = await machine.startService(database)
    // It serves users once its projection has taken its place.
    const serves = async () => (await fetch(`${service.url}/users`, { headers: HEADERS })).ok
    await until(serves, { what: 'the directory to serve' })
    return { machine, service }
  })
  async function p95(path: string): Promise<number> {
    const { machine, service } = await prepare()
    const result = await machine.load({
      url: service.url,
      connections: 1,
      amount: { requests: WARM_UP + SAMPLES },
      warmUp: WARM_UP,
      method: 'GET',
      paths: [path],
      headers: HEADERS
    })
    return succeeded(result).p95Ms
  }
  async function slowest(): Promise<number> {
    let found = { ms: 0, query: '' }
    for (const query of documentedQueries) {
      const ms = await p95(`/users?${query}`)
      if (ms > found.ms) found = { ms, query }
    }
    note(`slowest: ${found.query} ${found.ms.toFixed(1)} ms`)
    return found.ms
  }
  return [
    {
      name: 'find users among 1,000,000: slowest p95 of the documented queries',
      unit: 'ms',
      prepare,
      slow: true,
      rounds: 2,
      atMost: 30,
      measure: slowest,
      limits: [{ name: 'p95 of one user by its id', measure: () => p95(`/users/${FIRST}`) }]
    }
  ]
}
