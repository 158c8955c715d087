/** What most scenarios share: a database of 10,000 events and some users of more, services on it, and the server that does nothing. */
import { randomUUID } from 'node:crypto'
import { assertSame, assertSameAppend, takeAnswers } from '../answers.js'
import { lazily } from '../lazily.js'
import type { LoadPlan } from '../load.js'
import type { Database, Server } from '../machine.js'
import type { RawPlan } from '../raw.js'
import { bulkUser, EVENTS_PER_USER, seedEvents, seedUsers } from '../seed.js'
import { appendTo, drain, eventsPath, NDJSON, snapshot, statePath, succeeded } from './requests.js'
import type { Bench } from './scenario.js'

const EVENTS = 10_000
export const PAGE_EVENTS = 100
export const VERSION = 5
export const MOMENT = '?at=2099-01-01T00:00:00Z'

export type Small = {
  /** a service as it runs, one that keeps but one state, and one that does nothing */
  servers: { service: Server; cold: Server; nothing: Server }
  database: Database
  /** of 20 events at the start */
  users: string[]
  /** of 250 events, with a snapshot at 200 */
  snapshotted: string[]
  /** users by their number of events, with a snapshot at the end */
  replayed: Map<number, string>
  load(plan: Omit<LoadPlan, 'url' | 'amount'> & { server: keyof Small['servers'] }): Promise<Sample>
  /** one client; median time, ms */
  get(server: keyof Small['servers'], paths: string[], headers?: Record<string, string>): Promise<number>
  raw(plan: RawWork & { connections: number }): Promise<Sample>
}

type Sample = { perSecond: number; p50Ms: number }
type RawWork =
  | Omit<Extract<RawPlan, { kind: 'insert' }>, 'databaseUrl' | 'durationMs' | 'connections'>
  | Omit<Extract<RawPlan, { kind: 'select' }>, 'databaseUrl' | 'durationMs' | 'connections'>
  | Omit<Extract<RawPlan, { kind: 'copy' }>, 'databaseUrl' | 'durationMs' | 'connections'>

/** Numbers of events that are replayed. */
export const REPLAYED = [100, 1000, 5000, 50_000]

export const createSmall = ({ bring, plan, note }: Bench): (() => Promise<Small>) =>
  lazily(async () => {
    const machine = await bring()
    const { durationMs } = plan
    note('filling the small database')
    const database = await machine.createDatabase('small')
    await seedEvents(database.sql, EVENTS)
    const replayed = new Map(REPLAYED.map((events) => [events, randomUUID()]))
    for (const [events, userId] of replayed) await seedUsers(database.sql, [userId], events)
    const snapshotted = Array.from({ length: 100 }, () => randomUUID())
    await seedUsers(database.sql, snapshotted, 200)
    await database.sql.unsafe('VACUUM ANALYZE user_events')

    const service = await machine.startService(database)
    const cold = await machine.startService(database, { CACHE_MAX_USERS: '1' })
    await Promise.all([...snapshotted, ...replayed.values()].map((userId) => snapshot(service, userId)))
    await appendTo(service, snapshotted, 50)
    const users = Array.from({ length: EVENTS / EVENTS_PER_USER }, (_, number) => bulkUser(number))
    const nothing = await startNothing()
    const servers = { service, cold, nothing }

    /** The answers of the service to what scenarios ask for, given by a server that does nothing, which is compared. */
    async function startNothing(): Promise<Server> {
      const [appended, read] = [users[0]!, users[1]!]
      const [long, withTail] = [replayed.get(5000)!, snapshotted[0]!]
      const [identity] = await database.sql<[{ secret: string }]>`SELECT secret FROM store_identity`
      const answers = await takeAnswers(cold.url, {
        secret: identity.secret,
        states: [
          { userId: read, query: '', target: {} },
          { userId: withTail, query: '', target: {} },
          { userId: read, query: `?version=${VERSION}`, target: { version: VERSION } },
          { userId: read, query: MOMENT, target: { at: MOMENT } }
        ],
        append: { userId: appended, events: [1, 100] },
        history: { userId: long, pageEvents: PAGE_EVENTS },
        snapshot: { userId: appended }
      })
      const server = await machine.startNothing(answers)
      await drain(await fetch(service.url + statePath(read)))
      await assertSame(service.url, server.url, statePath(read)) // From the cache now, as the answers' second one was.
      await assertSame(cold.url, server.url, statePath(withTail))
      for (const query of [`?version=${VERSION}`, MOMENT])
        await assertSame(service.url, server.url, statePath(read) + query)
      await assertSame(service.url, server.url, `${eventsPath(long)}?limit=${PAGE_EVENTS}`)
      await assertSame(service.url, server.url, eventsPath(long), NDJSON)
      for (const events of [1, 100]) await assertSameAppend(service.url, server.url, appended, events)
      return server
    }

    const load: Small['load'] = async ({ server, ...rest }) =>
      succeeded(await machine.load({ ...rest, url: servers[server].url, amount: { durationMs } }))
    return {
      servers,
      database,
      users,
      snapshotted,
      replayed,
      load,
      get: async (server, paths, headers = {}) =>
        (await load({ server, connections: 1, method: 'GET', paths, headers })).p50Ms,
      raw: (work) => machine.raw({ ...work, databaseUrl: database.url, durationMs })
    }
  })
