/** Rebuild of the read model from a long log, and what readers of it notice meanwhile. */
import { until } from '../../support/wait.js'
import type { Machine, Server } from '../machine.js'
import { bulkUsers, seedEvents } from '../seed.js'
import { drain, succeeded } from './requests.js'
import type { Plan, Scenario } from './scenario.js'

const EVENTS = 1_000_000
const READERS = 4
const ROUTE = '/admin/projections/users'

type Status = { filledAt: string; servedVersion: number; rebuild: object | null }

/** `growTo` is how many events there are; a million when it is not given. */
export async function rebuilds(
  machine: Machine,
  { durationMs, growTo }: Plan,
  note: (text: string) => void
): Promise<Scenario[]> {
  const events = growTo || EVENTS
  const database = await machine.createDatabase('rebuilt')
  await seedEvents(database.sql, events, (done) => note(`filling the log to rebuild from: ${done} of ${events} events`))
  const service = await machine.startService(database)
  await until(async () => (await statusOf(service)).servedVersion > 0, {
    timeoutMs: 600_000,
    everyMs: 200,
    what: 'the first filling'
  })
  const paths = (await bulkUsers(database.sql, 1000)).flatMap((id) => [`/users/${id}`, '/users?username=user&limit=10'])
  const readP99 = async (): Promise<number> =>
    succeeded(await machine.load({ url: service.url, connections: READERS, durationMs, method: 'GET', paths })).p99Ms

  /** p99 of readers in spans of a whole rebuild, the median of them; all are noted. */
  async function readP99Meanwhile(): Promise<number> {
    const { filledAt } = await begin(service)
    const spans: number[] = []
    while ((await statusOf(service)).filledAt === filledAt) spans.push(await readP99())
    note(`p99 by spans: ${spans.map((ms) => ms.toFixed(1)).join(', ')} ms`)
    return spans.toSorted((a, b) => a - b)[Math.floor(spans.length / 2)]!
  }

  return [
    {
      name: `rebuild of ${events} events`,
      unit: 'rate',
      atLeast: 40_000,
      once: true,
      limits: [],
      async measure() {
        const startedAt = performance.now()
        await rebuild(service)
        return events / ((performance.now() - startedAt) / 1000)
      }
    },
    {
      name: `p99 of ${READERS} readers during a rebuild of ${events} events`,
      unit: 'ms',
      once: true,
      measure: readP99Meanwhile,
      limits: [{ name: 'without a rebuild', measure: readP99, bar: 3 }]
    }
  ]
}

const statusOf = async ({ url }: Server): Promise<Status> => (await (await fetch(url + ROUTE)).json()) as Status

/** Begins a rebuild and tells since when the tables serve that it will replace. */
async function begin(service: Server): Promise<Status> {
  const status = await statusOf(service)
  await drain(await fetch(`${service.url}${ROUTE}/rebuild`, { method: 'POST' }))
  return status
}

async function rebuild(service: Server): Promise<void> {
  const { filledAt } = await begin(service)
  await until(async () => (await statusOf(service)).filledAt !== filledAt, {
    timeoutMs: 600_000,
    everyMs: 50,
    what: 'the rebuild'
  })
}
