/**
 * An id of another tenant is worth what one is that nobody has: on every route, for every kind of id, the answers are equal
 * to the byte. What is asked for is asked with the own id too, which finds something, or the case would prove nothing.
 */
import { randomUUID } from 'node:crypto'
import type { InjectOptions } from 'fastify'
import t from 'tap'
import { GUARDED, keyOf, type Operation, operationsOf } from '../support/access.js'
import { userCreated, userUpdated } from '../support/events.js'
import { importedEvent, textOf } from '../support/import.js'
import { type Answer, testService } from '../support/service.js'
import { openStream } from '../support/sse.js'
import { until } from '../support/wait.js'

const service = await testService(t, {
  env: { ...GUARDED, WEBHOOK_PRIVATE_ADDRESSES: 'true' },
  background: true
})
const { app, append, ask, get, database } = service

/** What a tenant has one of. */
type Ids = {
  tenantId: string
  headers: { authorization: string }
  userId: string
  username: string
  email: string
  word: string
  role: string
  eventId: string
  idempotencyKey: string
  subscription: string
  eventType: string
  apiKey: string
  principal: string
}
type Kind = Exclude<keyof Ids, 'tenantId' | 'headers'>

type Case = {
  operation: string
  /** name of the parameter, or of the member of the body */
  at: string
  kind: Kind
  /** asks for `id`, with everything else of the asking tenant */
  request: (id: string, mine: Ids) => InjectOptions & { url: string }
  /** whether the answer shows that the id was found; by default that it is one of 2xx */
  finds?: (answer: Answer) => boolean
}

const SCOPES = ['events:write', 'events:read', 'state:read', 'snapshots:admin', 'events:admin'] as const
const word = () => `w${randomUUID().replaceAll('-', '')}`

/** Ids that nobody has yet. */
const fresh = (): Omit<Ids, 'tenantId' | 'headers'> => ({
  userId: randomUUID(),
  username: word(),
  email: `${word()}@example.com`,
  word: word(),
  role: word(),
  eventId: randomUUID(),
  idempotencyKey: randomUUID(),
  subscription: word().slice(0, 20),
  eventType: `T${word().slice(0, 20)}`,
  apiKey: randomUUID().replaceAll('-', '').slice(0, 12),
  principal: `key:${randomUUID().replaceAll('-', '').slice(0, 12)}`
})

const sink = { kind: 'webhook', url: 'http://127.0.0.1:1/' }
/** Of what nobody here appends: nothing is sent. */
const eventTypes = ['PasswordChanged']
const definition = { schema: { type: 'object' }, effect: { kind: 'none' } }

/** A new tenant that has one of everything. */
async function stock(): Promise<Ids> {
  const tenantId = randomUUID()
  const ids = fresh()
  const headers = await keyOf(service, SCOPES, { tenantId })
  const made = async (work: Promise<Answer>) => {
    const { statusCode, data } = await work
    if (statusCode !== 201) throw new Error(JSON.stringify(data))
    return data
  }
  const created = { ...userCreated(ids.username, { fullName: ids.word }), id: ids.eventId }
  created.eventData.email = ids.email
  await made(append(ids.userId, [created], { headers }))
  const roles = { eventType: 'RolesAssigned', eventData: { roleIds: [ids.role], assignedBy: 'root' } }
  const keyed = { ...headers, 'idempotency-key': ids.idempotencyKey }
  await made(append(ids.userId, [roles, userUpdated({ phone: null })], { headers: keyed }))
  await made(ask({ method: 'POST', url: `/admin/users/${ids.userId}/snapshots`, headers, payload: {} }))
  await made(
    ask({ method: 'POST', url: '/admin/subscriptions', headers, payload: { name: ids.subscription, sink, eventTypes } })
  )
  await database.run(`
    INSERT INTO event_outbox (bucket, "subscriptionId", position, "aggregateId", version, status, attempts)
    SELECT 0, s.id, e.position, e."aggregateId", 1, 'dead', 3 FROM subscriptions s, user_events e
    WHERE s.name = '${ids.subscription}' AND e."aggregateId" = '${ids.userId}' AND e.version = 1`)
  await made(ask({ method: 'PUT', url: `/event-types/${ids.eventType}/versions/1`, headers, payload: definition }))
  const key = await made(
    ask({ method: 'POST', url: '/admin/api-keys', headers, payload: { name: 'x', scopes: ['events:read'] } })
  )
  const audit = (await get('/admin/audit?limit=1', headers)).data.entries
  return { ...ids, tenantId, headers, apiKey: key.id, principal: audit[0].principal }
}

const some = (list: string) => (answer: Answer) => answer.data[list]?.length > 0
const GET = (url: string): InjectOptions & { url: string } => ({ method: 'GET', url })
const POST = (url: string, payload?: object): InjectOptions & { url: string } => ({
  method: 'POST',
  url,
  ...(payload ? { payload } : {})
})
const byUser = (operation: string, request: (userId: string) => InjectOptions & { url: string }): Case => ({
  operation,
  at: 'userId',
  kind: 'userId',
  request
})
const bySubscription = (operation: string, method: 'GET' | 'POST' | 'DELETE', rest = '', payload?: object): Case => ({
  operation,
  at: 'name',
  kind: 'subscription',
  request: (name) => ({ method, url: `/admin/subscriptions/${name}${rest}`, ...(payload ? { payload } : {}) })
})
const inDirectory = (at: string, kind: Kind): Case[] => [
  { operation: 'listUsers', at, kind, request: (id) => GET(`/users?${at}=${id}`), finds: some('users') },
  {
    operation: 'countUsers',
    at,
    kind,
    request: (id) => GET(`/users/count?${at}=${id}`),
    finds: ({ data }) => data.count === 1
  }
]
const line = (userId: string, version: number) =>
  textOf([
    importedEvent(userId, version, userUpdated({ phone: '+1' }), { id: LINE_ID, createdAt: new Date().toISOString() })
  ])
const LINE_ID = randomUUID()
const importing = (payload: string): InjectOptions & { url: string } => ({
  method: 'POST',
  url: '/events/import',
  headers: { 'content-type': 'application/x-ndjson' },
  payload
})

const cases: Case[] = [
  byUser('appendEvents', (id) => POST(`/users/${id}/events`, { events: [userUpdated({ phone: '+1' })] })),
  byUser('readEvents', (id) => GET(`/users/${id}/events`)),
  byUser('readEvent', (id) => GET(`/users/${id}/events/1`)),
  byUser('readUser', (id) => GET(`/users/${id}`)),
  byUser('readState', (id) => GET(`/users/${id}/state`)),
  byUser('readEffects', (id) => GET(`/users/${id}/effects`)),
  byUser('diffStates', (id) => GET(`/users/${id}/diff?fromVersion=1&toVersion=2`)),
  byUser('listSnapshots', (id) => GET(`/users/${id}/snapshots`)),
  byUser('readLatestSnapshot', (id) => GET(`/users/${id}/snapshots/latest`)),
  byUser('takeSnapshot', (id) => POST(`/admin/users/${id}/snapshots`, {})),
  byUser('cleanUpSnapshots', (id) => POST(`/admin/users/${id}/snapshots/cleanup`, { retain: 0 })),
  byUser('deleteSnapshots', (id) => ({ method: 'DELETE', url: `/admin/users/${id}/snapshots` })),
  byUser('verifyUser', (id) => POST(`/admin/users/${id}/verify`)),
  { ...byUser('readFeed', (id) => GET(`/events?userId=${id}`)), finds: some('events') },
  { ...byUser('exportEvents', (id) => GET(`/events/export?userId=${id}`)), finds: ({ body }) => body !== '' },
  {
    operation: 'importEvents',
    at: 'aggregateId',
    kind: 'userId',
    request: (id) => importing(line(id, 4))
  },
  {
    operation: 'listOwedEvents',
    at: 'userId',
    kind: 'userId',
    request: (id, mine) => GET(`/admin/subscriptions/${mine.subscription}/outbox?userId=${id}`),
    finds: some('owed')
  },
  {
    operation: 'readOwedEvent',
    at: 'userId',
    kind: 'userId',
    request: (id, mine) => GET(`/admin/subscriptions/${mine.subscription}/outbox/${id}/1`)
  },
  {
    operation: 'retryOwedEvents',
    at: 'body.userId',
    kind: 'userId',
    request: (userId, mine) => POST(`/admin/subscriptions/${mine.subscription}/outbox/retry`, { userId }),
    finds: ({ data }) => data.retried === 1
  },
  {
    operation: 'discardOwedEvents',
    at: 'body.userId',
    kind: 'userId',
    request: (userId, mine) =>
      POST(`/admin/subscriptions/${mine.subscription}/outbox/discard`, { userId, reason: 'test' }),
    finds: ({ data }) => data.discarded === 1
  },
  ...inDirectory('username', 'username'),
  ...inDirectory('email', 'email'),
  ...inDirectory('q', 'word'),
  ...inDirectory('role', 'role'),
  bySubscription('readSubscription', 'GET'),
  bySubscription('deleteSubscription', 'DELETE'),
  bySubscription('pauseSubscription', 'POST', '/pause'),
  bySubscription('resumeSubscription', 'POST', '/resume'),
  bySubscription('resetSubscription', 'POST', '/reset', { start: 'now' }),
  { ...bySubscription('listOwedEvents', 'GET', '/outbox'), finds: some('owed') },
  {
    operation: 'readOwedEvent',
    at: 'name',
    kind: 'subscription',
    request: (name, mine) => GET(`/admin/subscriptions/${name}/outbox/${mine.userId}/1`)
  },
  bySubscription('retryOwedEvents', 'POST', '/outbox/retry', {}),
  bySubscription('discardOwedEvents', 'POST', '/outbox/discard', { reason: 'test' }),
  { operation: 'readEventType', at: 'type', kind: 'eventType', request: (type) => GET(`/event-types/${type}`) },
  {
    operation: 'appendEvents',
    at: 'body.eventType',
    kind: 'eventType',
    request: (eventType, mine) => POST(`/users/${mine.userId}/events`, { events: [{ eventType, eventData: {} }] })
  },
  {
    operation: 'readEvents',
    at: 'eventType',
    kind: 'eventType',
    request: (type, mine) => GET(`/users/${mine.userId}/events?eventType=${type}`)
  },
  { operation: 'readFeed', at: 'eventType', kind: 'eventType', request: (type) => GET(`/events?eventType=${type}`) },
  {
    operation: 'exportEvents',
    at: 'eventType',
    kind: 'eventType',
    request: (type) => GET(`/events/export?eventType=${type}`)
  },
  {
    operation: 'revokeApiKey',
    at: 'id',
    kind: 'apiKey',
    request: (id) => ({ method: 'DELETE', url: `/admin/api-keys/${id}` })
  },
  {
    operation: 'readAudit',
    at: 'principal',
    kind: 'principal',
    request: (id) => GET(`/admin/audit?principal=${encodeURIComponent(id)}`),
    finds: some('entries')
  }
]

/** Cases whose id is free when it is another tenant's: they make something, whose own ids, numbers and times differ. */
const making: Case[] = [
  {
    operation: 'createSubscription',
    at: 'body.name',
    kind: 'subscription',
    request: (name) => POST('/admin/subscriptions', { name, sink, eventTypes }),
    finds: ({ statusCode }) => statusCode === 409
  },
  {
    operation: 'registerEventType',
    at: 'type',
    kind: 'eventType',
    request: (type) => ({
      method: 'PUT',
      url: `/event-types/${type}/versions/1`,
      payload: { ...definition, summary: 'another' }
    }),
    finds: ({ statusCode }) => statusCode === 409
  },
  {
    operation: 'appendEvents',
    at: 'idempotency-key',
    kind: 'idempotencyKey',
    request: (key, mine) => ({
      ...POST(`/users/${mine.userId}/events`, { events: [userUpdated()] }),
      headers: { 'idempotency-key': key }
    }),
    finds: ({ statusCode }) => statusCode === 409
  },
  {
    operation: 'appendEvents',
    at: 'body.id',
    kind: 'eventId',
    request: (id, mine) => POST(`/users/${mine.userId}/events`, { events: [{ ...userUpdated(), id }] }),
    finds: ({ statusCode }) => statusCode === 409
  }
]

/** Two tenants for each case and for the stream, made before, so that the read model is waited for once. */
const stocks: Ids[] = []
for (let left = 2 * (cases.length + making.length + 1); left > 0; left -= 10)
  stocks.push(...(await Promise.all(Array.from({ length: Math.min(10, left) }, stock))))
const { head } = (await get('/events', stocks[0]!.headers)).data
await until(async () => (await get(`/users/count?atLeast=${head}`, stocks[0]!.headers)).statusCode === 200)

/** Where else ids are taken. */
const ELSEWHERE: Record<string, string> = {
  'streamFeed userId': 'below',
  'streamFeed eventType': 'as readFeed',
  'readAudit action': 'an operation of the contract'
}
for (const operation of ['readEvents', 'readFeed', 'listUsers', 'listOwedEvents', 'readAudit', 'streamFeed'])
  for (const name of ['cursor', 'after', 'last-event-id']) ELSEWHERE[`${operation} ${name}`] = 'cursors.test.ts'

/** Parameters that name something, but for numbers, times and choices. */
const IDS =
  /^(userId|name|type|id|principal|action|username|email|q|role|cursor|after|last-event-id|idempotency-key|eventType)$/

type Described = { parameters?: { name: string }[]; operationId: string }

/** Those of operations that act for one tenant; what takes tenants:all has no stranger. */
function idsOf(operations: Operation[]): string[] {
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Described>> }
  const ofOne = new Set(operations.filter(({ scopes }) => !scopes?.includes('tenants:all')).map(({ id }) => id))
  return Object.values(paths)
    .flatMap((methods) => Object.values(methods))
    .filter(({ operationId }) => ofOne.has(operationId))
    .flatMap(({ operationId, parameters = [] }) =>
      parameters.filter(({ name }) => IDS.test(name)).map(({ name }) => `${operationId} ${name}`)
    )
}

t.test('every parameter of the contract that names something is tried', async (t) => {
  const tried = new Set([...cases, ...making].map(({ operation, at }) => `${operation} ${at}`))
  const wanted = idsOf(operationsOf(app))
  t.ok(wanted.length > 40, `${wanted.length} parameters`)
  t.strictSame(
    wanted.filter((name) => !tried.has(name) && !(name in ELSEWHERE)),
    []
  )
})

const send = (one: Case, id: string, { headers, ...mine }: Ids): Promise<Answer> => {
  const request = one.request(id, { headers, ...mine })
  return ask({ ...request, headers: { ...request.headers, ...headers } })
}

/** Headers but for those of the moment and of the request. */
const headersOf = ({ headers: { date: _date, 'x-request-id': _id, ...rest } }: Answer) => rest

const finds = ({ finds }: Case, answer: Answer): boolean =>
  finds ? finds(answer) : answer.statusCode >= 200 && answer.statusCode < 300

for (const one of cases) {
  t.test(`${one.operation}: ${one.at}`, async (t) => {
    const [mine, theirs, missing] = [stocks.pop()!, stocks.pop()!, fresh()]
    const [toTheirs, toMissing] = [await send(one, theirs[one.kind], mine), await send(one, missing[one.kind], mine)]
    const told = (answer: Answer, id: string) =>
      JSON.stringify([answer.statusCode, headersOf(answer), answer.body])
        .replaceAll(id, '<id>')
        .replaceAll(encodeURIComponent(id), '<id>')
    t.equal(told(toTheirs, theirs[one.kind]), told(toMissing, missing[one.kind]))
    t.notOk(one.finds && finds(one, toTheirs), 'nothing is found')
    for (const owner of [mine, theirs])
      t.ok(finds(one, await send(one, owner[one.kind], owner)), 'the owner finds it, also after the stranger asked')
  })
}

for (const one of making) {
  t.test(`${one.operation}: ${one.at} is free`, async (t) => {
    const [mine, theirs, missing] = [stocks.pop()!, stocks.pop()!, fresh()]
    t.ok(finds(one, await send(one, mine[one.kind], mine)), 'the own one is taken')
    const told = ({ statusCode, body }: Answer, id: string) =>
      JSON.stringify([statusCode, body])
        .replaceAll(id, '<id>')
        .replaceAll(/whsec_[\w+/=]+/g, '<secret>')
        .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
        .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<moment>')
        .replaceAll(/(version|position)\\":\d+/g, '$1":<number>')
    const answers = [await send(one, theirs[one.kind], mine), await send(one, missing[one.kind], mine)]
    t.equal(answers[0]!.statusCode, 201)
    t.equal(told(answers[0]!, theirs[one.kind]), told(answers[1]!, missing[one.kind]))
  })
}

t.test('a stream for the user of another tenant shows what one for nobody shows', async (t) => {
  const [mine, theirs] = [stocks.pop()!, stocks.pop()!]
  const base = await app.listen({ host: '127.0.0.1', port: 0 })
  const streamOf = (userId: string) =>
    openStream(t, `${base}/events/stream?start=beginning&userId=${userId}`, { headers: mine.headers })
  const [own, foreign, nobody] = [
    await streamOf(mine.userId),
    await streamOf(theirs.userId),
    await streamOf(randomUUID())
  ]
  await append(theirs.userId, [userUpdated()], { headers: theirs.headers })
  await append(mine.userId, [userUpdated()], { headers: mine.headers })
  await until(() => own.events.length === 4)
  t.strictSame([foreign.events, nobody.events], [[], []])
  t.equal(foreign.status, nobody.status)
  t.strictSame([foreign.comments.length, nobody.comments.length], [1, 1])
})
