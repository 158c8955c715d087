import type { Database, Machine, Server } from '../machine.js'
import { appendTo, snapshot, succeeded } from './requests.js'
import type { Measure, Plan, Scenario } from './scenario.js'

export function histories(
  { load, raw }: Machine,
  service: Server,
  database: Database,
  replayed: Map<number, string>,
  { durationMs }: Plan
): Scenario[] {
  const userId = replayed.get(5000)!
  const get = async (path: string, headers = {}) =>
    succeeded(await load({ url: service.url, connections: 1, durationMs, method: 'GET', paths: [path], headers }))
  const rows = (
    limit: number
  ) => `SELECT id, "aggregateId", "tenantId", position, version, "eventType", "schemaVersion", "eventData", metadata, "occurredAt", "createdAt"
    FROM user_events WHERE bucket = 0 AND "aggregateId" = '${userId}' ORDER BY version LIMIT ${limit}`
  const select =
    (limit: number): Measure =>
    async () =>
      (await raw({ databaseUrl: database.url, connections: 1, durationMs, kind: 'select', statement: rows(limit) }))
        .p50Ms
  return [
    {
      name: 'history, page of 100 events',
      unit: 'ms',
      measure: async () => (await get(`/users/${userId}/events?limit=100`)).p50Ms,
      limits: [{ name: 'SELECT of the rows', measure: select(100) }]
    },
    {
      name: 'history, 5,000 events as NDJSON',
      unit: 'ms',
      measure: async () => (await get(`/users/${userId}/events`, { accept: 'application/x-ndjson' })).p50Ms,
      limits: [{ name: 'SELECT of the rows', measure: select(5000) }]
    },
    {
      name: 'snapshot of a long user after 1 event',
      unit: 'ms',
      measure: () => incrementalSnapshot(service, [...replayed.values()].at(-1)!),
      atMost: 5,
      limits: []
    },
    { name: 'statistics of events', unit: 'ms', measure: async () => (await get('/stats/events')).p50Ms, limits: [] }
  ]
}

/** Median time of a snapshot that has one event to fold, on top of the time to read the state. */
async function incrementalSnapshot(service: Server, userId: string): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < 21; i++) {
    await appendTo(service, [userId], 1)
    times.push(await snapshot(service, userId, 'bench'))
  }
  return times.sort((a, b) => a - b)[10]!
}
