import { until } from '../../support/wait.js'
import type { Database, Machine, Server } from '../machine.js'
import { seedEvents } from '../seed.js'
import { bodyOf, JSON_BODY, succeeded } from './requests.js'
import type { Measure, Plan, Scenario } from './scenario.js'

/** The same at a large database, measured against the small one. */
export async function growth(
  machine: Machine,
  service: Server,
  users: string[],
  plan: Plan,
  note: (text: string) => void
): Promise<Scenario[]> {
  const large = await machine.createDatabase('large')
  await seedEvents(large.sql, plan.growTo, (done) =>
    note(`filling the large database: ${done} of ${plan.growTo} events`)
  )
  const { load } = machine
  const grown = await machine.startService(large)
  note('counting the large database')
  await counted(large)
  const { durationMs } = plan
  const name = `${plan.growTo} stored events`
  const post =
    (server: Server): Measure =>
    async () =>
      succeeded(
        await load({
          url: server.url,
          connections: 64,
          durationMs,
          method: 'POST',
          paths: users.map((id) => `/users/${id}/events`),
          headers: JSON_BODY,
          body: bodyOf(1)
        })
      ).perSecond
  const get =
    (server: Server): Measure =>
    async () =>
      succeeded(
        await load({
          url: server.url,
          connections: 64,
          durationMs,
          method: 'GET',
          paths: users.map((id) => `/users/${id}/state`)
        })
      ).perSecond
  return [
    {
      name: `append at ${name}`,
      unit: 'rate',
      measure: post(grown),
      limits: [{ name: 'at 10,000', measure: post(service), bar: 0.85 }]
    },
    {
      name: `state at ${name}`,
      unit: 'rate',
      measure: get(grown),
      limits: [{ name: 'at 10,000', measure: get(service), bar: 0.85 }]
    },
    {
      name: `statistics at ${name}`,
      unit: 'ms',
      measure: async () =>
        succeeded(await load({ url: grown.url, connections: 1, durationMs, method: 'GET', paths: ['/stats/events'] }))
          .p50Ms,
      atMost: 50,
      limits: []
    }
  ]
}

async function counted({ sql }: Database): Promise<void> {
  const isCounted = async (): Promise<boolean> => {
    const [row] = await sql.unsafe<{ behind: string }[]>(
      `SELECT (SELECT max(position) FROM user_events WHERE bucket = 0) - coalesce((SELECT min(position) FROM workers WHERE name IN ('statistics', 'snapshots')), 0) AS behind`
    )
    return Number(row!.behind) <= 0
  }
  await until(isCounted, { timeoutMs: 900_000, everyMs: 500, what: 'the events to be counted' })
}
