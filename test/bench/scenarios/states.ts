import type { Database, Machine, Server } from '../machine.js'
import { succeeded } from './requests.js'
import type { Plan, Scenario } from './scenario.js'

export function states(
  { load, raw }: Machine,
  service: Server,
  cold: Server,
  nothing: Server,
  database: Database,
  users: string[],
  snapshotted: string[],
  { durationMs }: Plan
): Scenario[] {
  const paths = users.map((id) => `/users/${id}/state`)
  const get = (server: Server, connections: number, onPaths: string[]) =>
    load({ url: server.url, connections, durationMs, method: 'GET', paths: onPaths }).then(succeeded)
  const head = `SELECT version FROM user_events WHERE bucket = 0 AND "aggregateId" = '${users[1]}' ORDER BY version DESC LIMIT 1`
  return [
    {
      name: 'state, cached, 64 clients',
      unit: 'rate',
      measure: async () => (await get(service, 64, paths)).perSecond,
      limits: [
        { name: 'GET that does nothing', measure: async () => (await get(nothing, 64, paths)).perSecond, bar: 0.85 },
        {
          name: 'SELECT of the head, 10 connections',
          measure: async () =>
            (await raw({ databaseUrl: database.url, connections: 10, durationMs, kind: 'select', statement: head }))
              .perSecond
        }
      ]
    },
    {
      name: 'state, snapshot + 50 events, not cached',
      unit: 'ms',
      measure: async () =>
        (
          await get(
            cold,
            1,
            snapshotted.map((id) => `/users/${id}/state`)
          )
        ).p50Ms,
      atMost: 2.5,
      limits: []
    },
    {
      name: 'time travel to version 5, not cached',
      unit: 'ms',
      measure: async () =>
        (
          await get(
            cold,
            1,
            users.map((id) => `/users/${id}/state?version=5`)
          )
        ).p50Ms,
      limits: []
    },
    {
      name: 'time travel to a moment',
      unit: 'ms',
      measure: async () =>
        (
          await get(
            service,
            1,
            users.map((id) => `/users/${id}/state?at=2099-01-01T00:00:00Z`)
          )
        ).p50Ms,
      limits: []
    }
  ]
}
