import type { Database, Machine, Server } from '../machine.js'
import { succeeded } from './requests.js'
import type { Plan, Scenario } from './scenario.js'

export function replays(
  { load, raw }: Machine,
  service: Server,
  database: Database,
  replayed: Map<number, string>,
  { durationMs }: Plan
): Scenario[] {
  return [...replayed].map(([events, userId]) => ({
    name: `full replay of ${events} events`,
    unit: 'ms',
    measure: async () =>
      succeeded(
        await load({
          url: service.url,
          connections: 1,
          durationMs,
          method: 'GET',
          paths: [`/users/${userId}/state?useSnapshot=false`]
        })
      ).p50Ms,
    limits: [
      {
        name: 'one text of their data by SELECT',
        ...(events === 5000 ? { bar: 2.5 } : {}),
        measure: async () =>
          (
            await raw({
              databaseUrl: database.url,
              connections: 1,
              durationMs,
              kind: 'select',
              statement: `SELECT string_agg("eventData"::text, ',') FROM (SELECT "eventData" FROM user_events WHERE bucket = 0 AND "aggregateId" = '${userId}' ORDER BY version) e`
            })
          ).p50Ms
      }
    ],
    ...(events === 5000 ? { atMost: 12 } : {})
  }))
}
