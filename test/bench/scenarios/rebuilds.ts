/** Rebuild of the read model from a long log, and what readers of it notice meanwhile. */
import { until } from '../../support/wait.js'
import { lazily } from '../lazily.js'
import type { Server } from '../machine.js'
import { bulkUser, seedEvents } from '../seed.js'
import { drain, succeeded } from './requests.js'
import type { Bench, Scenario } from './scenario.js'

const EVENTS = 1_000_000
const READERS = 4
const ROUTE = '/admin/projections/users'

type Status = { filledAt: string; servedVersion: number; rebuild: object | null }

export function rebuilds({ bring, plan, note }: Bench): Scenario[] {
  const prepare = lazily(async () => {
    const machine = await bring()
    const database = await machine.createDatabase('rebuilt')
    await seedEvents(database.sql, EVENTS, (done) =>
      note(`filling the log to rebuild from: ${done} of ${EVENTS} events`)
    )
    const service = await machine.startService(database)
    await until(async () => (await statusOf(service)).servedVersion > 0, {
      timeoutMs: 600_000,
      everyMs: 200,
      what: 'the first filling'
    })
    return { machine, service, database }
  })
  const paths = Array.from({ length: 1000 }, (_, i) => bulkUser(i)).flatMap((id) => [
    `/users/${id}`,
    '/users?username=user&limit=10'
  ])

  async function readP99(): Promise<number> {
    const { machine, service } = await prepare()
    const amount = { durationMs: plan.durationMs }
    return succeeded(await machine.load({ url: service.url, connections: READERS, amount, method: 'GET', paths })).p99Ms
  }

  /** p99 of readers in spans of a whole rebuild, the median of them; all are noted. */
  async function readP99Meanwhile(): Promise<number> {
    const { service } = await prepare()
    const { filledAt } = await begin(service)
    const spans: number[] = []
    while ((await statusOf(service)).filledAt === filledAt) spans.push(await readP99())
    note(`p99 by spans: ${spans.map((ms) => ms.toFixed(1)).join(', ')} ms`)
    return spans.toSorted((a, b) => a - b)[Math.floor(spans.length / 2)]!
  }

  /** The log read once, row by row, by the database alone. */
  async function rawRead(): Promise<number> {
    const { database } = await prepare()
    const startedAt = performance.now()
    await database.sql.unsafe('SELECT sum(length("eventData"::text)) FROM user_events')
    return EVENTS / ((performance.now() - startedAt) / 1000)
  }

  const common = { prepare, slow: true, rounds: 3 } as const
  return [
    {
      ...common,
      name: `rebuild of ${EVENTS} events`,
      unit: 'rate',
      atLeast: 40_000,
      async measure() {
        const { service } = await prepare()
        const startedAt = performance.now()
        await rebuild(service)
        return EVENTS / ((performance.now() - startedAt) / 1000)
      },
      limits: [{ name: 'reading the log in SQL', measure: rawRead }]
    },
    {
      ...common,
      name: `p99 of ${READERS} readers during a rebuild of ${EVENTS} events`,
      unit: 'ms',
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
