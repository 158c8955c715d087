import type { Database, Machine, Server } from '../machine.js'
import { bodyOf, EVENT_DATA, JSON_BODY, succeeded } from './requests.js'
import type { Measure, Plan, Scenario } from './scenario.js'

export function appends(
  { load, raw }: Machine,
  service: Server,
  nothing: Server,
  database: Database,
  users: string[],
  { durationMs, quick }: Plan
): Scenario[] {
  const paths = users.map((id) => `/users/${id}/events`)
  const post =
    (server: Server, connections: number, events: number, onPaths = paths): Measure =>
    async () =>
      succeeded(
        await load({
          url: server.url,
          connections,
          durationMs,
          method: 'POST',
          paths: onPaths,
          headers: JSON_BODY,
          body: bodyOf(events)
        })
      ).perSecond * events
  const inserts =
    (connections: number, rows: number): Measure =>
    async () =>
      (
        await raw({
          databaseUrl: database.url,
          connections,
          durationMs,
          kind: 'insert',
          rows,
          eventData: JSON.stringify(EVENT_DATA)
        })
      ).perSecond * rows

  return [
    {
      name: 'append 1 event, 1 client',
      unit: 'rate',
      measure: post(service, 1, 1),
      limits: [{ name: 'one-row commits, 1 connection', measure: inserts(1, 1), bar: 0.5 }]
    },
    ...(quick
      ? []
      : [
          {
            name: 'append 1 event, 16 clients',
            unit: 'rate' as const,
            measure: post(service, 16, 1),
            limits: [{ name: 'POST that does nothing', measure: post(nothing, 16, 1) }]
          }
        ]),
    {
      name: 'append 1 event, 64 clients',
      unit: 'rate',
      measure: post(service, 64, 1),
      limits: [
        { name: 'POST that does nothing', measure: post(nothing, 64, 1), bar: 0.8 },
        { name: 'one-row commits, 64 connections', measure: inserts(64, 1), bar: 1.6 }
      ]
    },
    {
      name: 'append 1 event, 256 clients',
      unit: 'rate',
      measure: post(service, 256, 1),
      limits: [{ name: 'POST that does nothing', measure: post(nothing, 256, 1), bar: 0.85 }]
    },
    {
      name: 'append 100 events, 16 clients (events)',
      unit: 'rate',
      measure: post(service, 16, 100),
      limits: [{ name: 'inserts of 100 rows, 16 connections', measure: inserts(16, 100), bar: 0.5 }]
    },
    {
      name: 'append to one user, 64 clients',
      unit: 'rate',
      measure: post(service, 64, 1, [`/users/${users[0]}/events`]),
      limits: []
    }
  ]
}
