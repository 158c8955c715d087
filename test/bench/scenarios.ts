/** What is measured, and against what limit of the same run. */
import { randomUUID } from 'node:crypto'
import { type Database, load, type Machine, raw, residentBytes, type Server } from './machine.js'
import { bulkUsers, seedEvents, seedUser } from './seed.js'

/** One number: `rate` is better when larger (per second), `ms` when smaller. */
export type Measure = () => Promise<number>

export type Limit = {
  name: string
  measure: Measure /** ours over the limit; at least this for a rate, at most this for a time */
  bar?: number
}

export type Scenario = {
  name: string
  unit: 'rate' | 'ms' | 'MB'
  measure: Measure
  limits: Limit[]
  /** absolute bar: at most this */
  atMost?: number
  /** measured once, not in every round */
  once?: boolean
}

export type Plan = {
  durationMs: number
  quick: boolean /** events of the large database; 0: leave growth out */
  growTo: number
}

const JSON_BODY = { 'content-type': 'application/json' }
const EVENT_DATA = { fullName: 'Ada Lovelace', attributes: { theme: 'dark', language: 'en' } }
const EVENT = { eventType: 'UserUpdated', eventData: EVENT_DATA }
const bodyOf = (events: number): string => JSON.stringify({ events: Array.from({ length: events }, () => EVENT) })
const SMALL_EVENTS = 10_000

/** Fills databases, starts what is needed and lists the scenarios. */
export async function prepare(machine: Machine, plan: Plan, note: (text: string) => void): Promise<Scenario[]> {
  note('filling the small database')
  const small = await machine.createDatabase('small')
  await seedEvents(small.sql, SMALL_EVENTS)
  const lengths = plan.quick ? [100, 5000] : [100, 1000, 5000, 50_000]
  const replayed = new Map<number, string>()
  for (const events of lengths) {
    const userId = randomUUID()
    await seedUser(small.sql, userId, events)
    replayed.set(events, userId)
  }
  const snapshotted = await seedSnapshotted(small)
  const service = await machine.startService(small)
  const cold = await machine.startService(small, { CACHE_MAX_USERS: '1' })
  const nothing = await machine.startNothing()
  const users = await bulkUsers(small.sql, SMALL_EVENTS / 20)
  for (const userId of [...snapshotted, ...replayed.values()]) await snapshot(service, userId, 'bench')
  await appendTo(service, snapshotted, 50)

  return [
    ...appends(service, nothing, small, users, plan),
    ...states(service, cold, nothing, small, users, snapshotted, plan),
    ...replays(service, small, replayed, plan),
    ...histories(service, small, replayed, plan),
    ...(plan.growTo > 0 ? await growth(machine, service, users, plan, note) : []),
    ...(plan.quick ? [] : await memory(machine, note))
  ]
}

function appends(
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

function states(
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

function replays(service: Server, database: Database, replayed: Map<number, string>, { durationMs }: Plan): Scenario[] {
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

function histories(
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

/** The same at a large database, measured against the small one. */
async function growth(
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
      limits: [{ name: `at ${SMALL_EVENTS}`, measure: post(service), bar: 0.85 }]
    },
    {
      name: `state at ${name}`,
      unit: 'rate',
      measure: get(grown),
      limits: [{ name: `at ${SMALL_EVENTS}`, measure: get(service), bar: 0.85 }]
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

/** How much a service grows while it streams and folds what could never be held at once. */
async function memory(machine: Machine, note: (text: string) => void): Promise<Scenario[]> {
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

async function seedSnapshotted({ sql }: Database): Promise<string[]> {
  const ids = Array.from({ length: 100 }, () => randomUUID())
  for (const id of ids) await seedUser(sql, id, 200)
  return ids
}

async function snapshot(service: Server, userId: string, reason: string): Promise<number> {
  const startedAt = performance.now()
  const response = await fetch(`${service.url}/admin/users/${userId}/snapshots`, {
    method: 'POST',
    headers: JSON_BODY,
    body: JSON.stringify({ reason })
  })
  await drain(response)
  return performance.now() - startedAt
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

async function appendTo(service: Server, userIds: string[], events: number): Promise<void> {
  for (const id of userIds)
    await drain(
      await fetch(`${service.url}/users/${id}/events`, { method: 'POST', headers: JSON_BODY, body: bodyOf(events) })
    )
}

async function counted({ sql }: Database): Promise<void> {
  for (;;) {
    const [row] = await sql.unsafe<{ behind: string }[]>(
      `SELECT (SELECT max(position) FROM user_events WHERE bucket = 0) - coalesce((SELECT min(position) FROM workers WHERE position > 0 OR name <> 'snapshot-expiry'), 0) AS behind`
    )
    if (Number(row!.behind) <= 0) return
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

async function drain(response: Response): Promise<void> {
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`)
  for await (const _chunk of response.body!) {
    // only the last byte matters
  }
}

function succeeded<R extends { failed: number }>(result: R): R {
  if (result.failed > 0) throw new Error(`${result.failed} requests failed`)
  return result
}
