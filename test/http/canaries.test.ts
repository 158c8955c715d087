/**
 * Personal data stays with whom it belongs to: a thousand texts that stand nowhere else are sent as data of users, through every
 * operation of the contract, in requests that succeed and in requests that are spoilt. None of them appears in the log of the
 * process at its most talkative, in the metrics, in the traces, or in anything that another tenant is answered.
 */
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED } from '../support/access.js'
import { startCollector } from '../support/collector.js'
import { testDatabase } from '../support/db.js'
import { createInputs, type Input, type OpenApi } from '../support/fuzz-inputs.js'
import { startProcess } from '../support/process.js'
import { randomOf, seedOf, uuidOf } from '../support/random.js'
import { until } from '../support/wait.js'

const CANARIES = 1000
const REQUESTS = 3000
const AT_ONCE = 16
/** A stream that is let in does not end by itself; limits would have refused what comes after them. */
const LEFT_OUT = ['streamFeed', 'setTenantLimits']

const random = randomOf(seedOf(t))
const tenants = { ours: uuidOf(random), others: uuidOf(random) }
const users = Array.from({ length: 20 }, () => uuidOf(random))
const ids = Array.from({ length: CANARIES }, (_, i) => `canary${1000 + i}x`)

/** What is said of a user, by the names of members and parameters. */
const words = {
  username: ids.slice(0, 150),
  email: ids.slice(150, 300).map((id) => `${id}@example.com`),
  fullName: ids.slice(300, 400),
  phone: ids.slice(400, 450),
  avatar: ids.slice(450, 500),
  attributes: ids.slice(500, 600).map((id) => ({ [id]: { note: id } })),
  userAgent: ids.slice(600, 650),
  reason: ids.slice(650, 750),
  correlationId: ids.slice(750, 800),
  causationId: ids.slice(800, 850),
  q: ids.slice(850, 900),
  'idempotency-key': ids.slice(900, 950),
  cursor: ids.slice(950, 975),
  after: ids.slice(975, 1000),
  userId: users,
  aggregateId: users,
  eventType: ['UserCreated', 'UserUpdated', 'AccountLocked', 'LoginInfoUpdated', 'PasswordChanged'],
  'x-tenant-id': [tenants.ours],
  waitMs: [0, 1],
  expectedVersion: ['any']
}

const database = await testDatabase(t)
const collector = await startCollector(t)
const service = await startProcess(t, {
  ...GUARDED,
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  OTEL_BSP_MAX_QUEUE_SIZE: '1000000',
  DATABASE_URL: database.url,
  LOG_LEVEL: 'trace',
  WEBHOOK_PRIVATE_ADDRESSES: 'true',
  REQUEST_TIMEOUT_MS: '3000'
})

const ask = async (input: Pick<Input, 'method' | 'url' | 'headers' | 'payload'>, headers: Record<string, string>) => {
  const { method, url, payload } = input
  const response = await fetch(service.url + url, {
    method,
    headers: { ...input.headers, ...headers },
    ...(payload === undefined ? {} : { body: payload })
  })
  return { status: response.status, body: await response.text() }
}

/** Sends requests out of the contract as somebody, and gives each answer to `look`. */
async function sendAll(
  headers: Record<string, string>,
  count: number,
  look: (input: Input, answer: { status: number; body: string }) => void
): Promise<void> {
  const { body } = await ask({ method: 'GET', url: '/openapi.json', headers: {} }, headers)
  const nextInput = createInputs(JSON.parse(body) as OpenApi, random, words)
  let left = count
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) {
        const input = nextInput()
        if (LEFT_OUT.includes(input.operationId)) continue
        look(input, await ask(input, headers))
      }
    })
  )
}

/** Those of the texts that stand in `text`. */
const canariesIn = (text: string): string[] =>
  [...new Set(text.match(/canary\d{4}x/g))].filter((id) => ids.includes(id))

const makeKey = async (tenantId: string): Promise<Record<string, string>> => {
  const payload = JSON.stringify({
    name: 'test',
    scopes: ['events:write', 'events:read', 'state:read', 'snapshots:admin', 'events:admin']
  })
  const { body } = await ask(
    { method: 'POST', url: '/admin/api-keys', headers: { 'content-type': 'application/json' }, payload },
    { ...bearing(ADMIN_KEY), 'x-tenant-id': tenantId }
  )
  return bearing(JSON.parse(body).key)
}

/** An event that says `id` of its user, the first of a user one that creates it. */
function eventOf(id: string, i: number): object {
  const metadata = { correlationId: id }
  if (i === 0) return { eventType: 'UserCreated', eventData: { username: id, email: `${id}@example.com` }, metadata }
  const updated = (eventData: object) => ({ eventType: 'UserUpdated', eventData })
  const lockedUntil = '2099-01-01T00:00:00Z'
  const kinds = [
    () => updated({ fullName: id }),
    () => updated({ username: id, email: `${id}@example.com` }),
    () => updated({ attributes: { [id]: { note: id } } }),
    () => ({ ...updated({ phone: '1' }), metadata }),
    () => ({ eventType: 'AccountLocked', eventData: { reason: id, loginAttempts: 3, lockedUntil } }),
    () => ({
      eventType: 'LoginInfoUpdated',
      eventData: { ipAddress: '203.0.113.7', loginAt: '2026-01-01T00:00:00Z', userAgent: id }
    })
  ]
  return kinds[i % kinds.length]!()
}

type Post = (url: string, payload: string, headers?: Record<string, string>) => Promise<number>

/** The status of a request with `id` in it that is refused. */
function refuse(post: Post, userId: string, id: string, i: number): Promise<number> {
  const events = `/users/${userId}/events`
  const one = (eventData: object, more: object = {}) =>
    JSON.stringify({ events: [{ eventType: 'UserUpdated', eventData, ...more }] })
  const kinds = [
    () => post(events, one({ fullName: [id] })),
    () => post(events, one({ [id]: id })),
    () => post(events, one({ fullName: id }, { eventType: id })),
    () => post(events, one({ fullName: id }, { id })),
    () =>
      post(
        events,
        JSON.stringify({ expectedVersion: 9999, events: [{ eventType: 'UserUpdated', eventData: { fullName: id } }] })
      ),
    () => post(events, `{"events": "${id}`),
    () => post(events, id, { 'content-type': 'text/plain' }),
    () => post(`/users/${id}/events`, one({ fullName: id })),
    () => post(`${events}?${id}=${id}`, one({ fullName: id })),
    () => post(`/${id}`, id),
    () => post('/events/import', `{"${id}": "${id}"}\n`, { 'content-type': 'application/x-ndjson' })
  ]
  return kinds[i % kinds.length]!()
}

t.test('what is said of users goes in, and back to those who said it', async (t) => {
  const ours = await makeKey(tenants.ours)
  const json = { ...ours, 'content-type': 'application/json' }
  const post = async (url: string, payload: string, headers: Record<string, string> = json) =>
    (await ask({ method: 'POST', url, headers, payload }, ours)).status

  const each = CANARIES / users.length
  for (const [n, userId] of users.entries()) {
    const own = ids.slice(n * each, (n + 1) * each)
    const events = own.map((id, i) => eventOf(id, i))
    t.equal(
      await post(`/users/${userId}/events`, JSON.stringify({ events }), { ...json, 'idempotency-key': own[0]! }),
      201
    )
    await Promise.all(own.map(async (id, i) => t.ok((await refuse(post, userId, id, i)) >= 400)))
  }
  const returned = new Set<string>()
  const statuses = new Map<number, number>()
  for (const userId of users)
    for (const url of [`/users/${userId}/events?limit=1000`, `/users/${userId}/state`, `/users/${userId}`])
      for (const id of canariesIn((await ask({ method: 'GET', url, headers: {} }, ours)).body)) returned.add(id)
  t.equal(returned.size, CANARIES, 'all of them went in')
  await sendAll(ours, REQUESTS, (_input, { status, body }) => {
    for (const id of canariesIn(body)) returned.add(id)
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  })
  t.comment(`answers: ${JSON.stringify([...statuses].sort())}`)
  for (const status of [200, 201, 400, 404, 409, 422]) t.ok(statuses.has(status), `some were answered ${status}`)
})

/** What the other tenant has sent itself, so that it may read it. */
const isOwn = new Set<string>()

t.test('nothing of it in what another tenant is answered, right or wrong', async (t) => {
  const others = await makeKey(tenants.others)
  const found: string[] = []
  await sendAll(others, REQUESTS, ({ method, url, headers, payload = '' }, { status, body }) => {
    // What one sends oneself may come back in the reason of a refusal.
    const own = new Set(canariesIn(`${url} ${JSON.stringify(headers)} ${payload}`))
    for (const id of canariesIn(body))
      if (!own.has(id) && !isOwn.has(id)) found.push(`${id} in ${status} of ${method} ${url}`)
    if (method !== 'GET') for (const id of own) isOwn.add(id)
  })
  t.strictSame(found.slice(0, 10), [])
  for (const url of ['/events?limit=1000', '/users?limit=100', '/stats/snapshots', '/admin/audit?limit=1000']) {
    const { status, body } = await ask({ method: 'GET', url, headers: {} }, others)
    t.equal(status, 200, url)
    t.strictSame(
      canariesIn(body).filter((id) => !isOwn.has(id)),
      [],
      url
    )
  }
})

t.test('nothing of it in the metrics, the log, or the traces', async (t) => {
  const { status, body } = await ask({ method: 'GET', url: '/metrics', headers: {} }, bearing(ADMIN_KEY))
  t.equal(status, 200)
  t.match(body, /event_store_events_total\{event_type="UserUpdated"/, 'they count what was sent')
  t.strictSame(canariesIn(body), [])
  await service.end('SIGTERM')
  await until(() => service.output.some((line) => line.includes('"stopped"')))
  t.ok(
    service.output.some((line) => line.includes('request refused')),
    'it is no log of nothing'
  )
  t.strictSame(service.output.filter((line) => canariesIn(line).length > 0).slice(0, 10), [])

  const names = new Set(collector.spans.map(({ name }) => name))
  for (const name of ['POST /users/{userId}/events', 'append', 'append batch', 'state', 'snapshot', 'projection batch'])
    t.ok(names.has(name), `there are spans of ${name}`)
  t.ok(collector.spans.length > REQUESTS, `${collector.spans.length} spans`)
  t.strictSame(
    collector.bodies.flatMap((body) => canariesIn(body.toString('latin1'))),
    []
  )
})
