/** A service that does all that a dashboard can show, again and again: appends, conflicts, replays, deliveries that work and that do not. */
import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import type { TestDatabase } from './db.js'
import { loggedIn, newUserId, updates, userCreated } from './events.js'
import { appendTo, type HttpAnswer, request } from './http.js'
import { type ServiceProcess, startProcess } from './process.js'
import { freePort } from './server.js'
import { testTaker } from './taker.js'
import { until } from './wait.js'

export type BusyService = ServiceProcess & {
  /** host:port of /metrics */
  metrics: string
  /** the subscription that has deliveries of every kind, as metrics call it */
  subscription: string
  /** Does the work once more. */
  round(): Promise<void>
}

const USERS = 8

/** Starts it, has it archive, rebuild and subscribe, and does one round of work. Ends with the test. */
export async function startBusyService(t: Test, database: TestDatabase): Promise<BusyService> {
  const service = await startProcess(t, {
    DATABASE_URL: database.url,
    METRICS_PORT: '0',
    WEBHOOK_PRIVATE_ADDRESSES: 'true',
    SNAPSHOT_THRESHOLD: '10',
    CACHE_MAX_USERS: '6',
    STREAMS_MAX: '1'
  })
  const { url } = service
  const users = Array.from({ length: USERS }, newUserId)
  const refused = users[0]!
  for (const userId of users) await stored(appendTo(url, userId, [userCreated(`u${userId}`), ...updates(12)]))

  await until(async () => (await read(`${url}/admin/archive`)).heldBackBy.length === 0, {
    what: 'followers of the log'
  })
  await done(request(`${url}/admin/archive/runs`, { method: 'POST', body: { olderThanDays: 0 } }))
  await until(async () => (await read(`${url}/admin/archive`)).runs[0].status === 'done', {
    what: 'a run of the archive'
  })
  await done(request(`${url}/admin/projections/users/rebuild`, { method: 'POST' }))

  const taker = await testTaker(t)
  taker.answer = ({ subject }) => (subject === refused ? 500 : 204)
  const retry = { baseDelayMs: 10, factor: 1, maxAttempts: 2 }
  await subscribe('crm', taker.url, { retry })
  // Events of the refused user are owed one by one and end as dead letters while others go on to come.
  await subscribe('passing', taker.url, { retry, deadLetters: 'pass' })
  await subscribe('away', `http://127.0.0.1:${await freePort()}/`, {})

  const stream = new AbortController()
  t.teardown(() => stream.abort())
  const streaming = await fetch(`${url}/events/stream?start=beginning`, { signal: stream.signal })
  void streaming.body!.pipeTo(new WritableStream()).catch(() => {})

  async function subscribe(name: string, to: string, more: object): Promise<void> {
    const body = { name, start: 'beginning', sink: { kind: 'webhook', url: to }, ...more }
    await done(request(`${url}/admin/subscriptions`, { method: 'POST', body }))
  }

  async function round(): Promise<void> {
    await Promise.all(
      users.map(async (userId, i) => {
        await stored(appendTo(url, userId, [...updates(2), loggedIn()]))
        await expect(409, appendTo(url, userId, updates(1), { expectedVersion: 1 }))
        const state = `${url}/users/${userId}/state`
        for (const query of ['', '', `?at=${new Date().toISOString()}`, '?useSnapshot=false']) await read(state + query)
        if (i === 1) await done(request(`${url}/admin/users/${userId}/snapshots`, { method: 'POST' }))
      })
    )
    await expect(404, request(`${url}/users/${randomUUID()}/state`))
    // There is room for one stream, which is taken.
    await expect(503, request(`${url}/events?waitMs=1000`))
  }

  await round()
  const { metrics } = JSON.parse(service.output.find((line) => line.includes('"ready"'))!) as { metrics: string }
  return { ...service, metrics: new URL(metrics).host, subscription: 'default/crm', round }
}

async function expect(status: number, answer: Promise<HttpAnswer>): Promise<HttpAnswer['data']> {
  const got = await answer
  if (got.status !== status) throw new Error(`${status} was expected: ${got.status} ${JSON.stringify(got.data)}`)
  return got.data
}

const read = (url: string): Promise<HttpAnswer['data']> => expect(200, request(url))
const stored = (answer: Promise<HttpAnswer>): Promise<HttpAnswer['data']> => expect(201, answer)

async function done(answer: Promise<HttpAnswer>): Promise<void> {
  const { status, data } = await answer
  if (status >= 300) throw new Error(`${status} ${JSON.stringify(data)}`)
}
