import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { verdict } from '../support/problem.js'
import { type TestService, testService } from '../support/service.js'
import { firstArrivals, type Taken, type Taker, testTaker } from '../support/taker.js'
import { until } from '../support/wait.js'

const PATH = '/admin/subscriptions'
/** Tries follow each other at once. */
const QUICK = { baseDelayMs: 10, factor: 1, jitter: 0, maxDelayMs: 10, maxAttempts: 3 }

const delivering = (t: Test, env: Record<string, string> = {}): Promise<TestService> =>
  testService(t, { background: true, env: { WEBHOOK_PRIVATE_ADDRESSES: 'true', ...env } })

const subscribe = (service: TestService, taker: Taker, more: object = {}, headers: Record<string, string> = {}) =>
  service.post(
    PATH,
    { name: 'crm', sink: { kind: 'webhook', url: taker.url }, start: 'beginning', retry: QUICK, ...more },
    headers
  )

async function newUser({ append }: TestService, events: number, headers: Record<string, string> = {}) {
  const userId = newUserId()
  await append(userId, [userCreated(), ...updates(events - 1)], { headers })
  return userId
}

const versionsOf = (taker: Taker, userId: string): number[] => firstArrivals(taker.taken).get(userId) ?? []
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const stateOf = async ({ get }: TestService, name = 'crm') => (await get(`${PATH}/${name}`)).data.state as string

/** The subscription once it owes nothing: what was taken is noted a moment after it was taken. */
const settled = ({ get }: TestService) =>
  until(async () => {
    const { data } = await get(`${PATH}/crm`)
    return data.state === 'active' && data.pending === 0 ? data : null
  })

const owedOf = async ({ get }: TestService, status: string) =>
  (await get(`${PATH}/crm/outbox?status=${status}`)).data.owed as {
    userId: string
    version: number
    attempts: number
  }[]

t.test('a subscription is made, shown without its secret, and deleted with all it had', async (t) => {
  const service = await testService(t, { env: { WEBHOOK_PRIVATE_ADDRESSES: 'true' } })
  const { get, post, ask, database } = service
  const sink = { kind: 'webhook', url: 'http://127.0.0.1:1/hook' }
  const made = await post(PATH, { name: 'crm', sink })
  t.equal(made.statusCode, 201)
  t.match(made.data, { name: 'crm', scope: 'tenant', state: 'new', lastError: null, lagEvents: 0, dead: 0 })
  t.match(made.data.secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
  t.match(made.data.definition, { sink, eventTypes: null, batchSize: 500, deadLetters: 'wait' })
  t.match(made.data.definition.retry, { baseDelayMs: 1000, factor: 2, maxAttempts: 10 })
  const shown = await get(`${PATH}/crm`)
  t.equal(shown.statusCode, 200)
  t.notMatch(shown.body, /whsec_/)
  const list = await get(PATH)
  t.strictSame(list.data.subscriptions, [shown.data])
  t.equal(verdict(await post(PATH, { name: 'crm', sink })), '409 SUBSCRIPTION_EXISTS')

  const own = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
  const second = await post(PATH, { name: 'own-key', sink: { ...sink, secret: own } })
  t.equal(second.data.secret, own)

  t.equal((await ask({ method: 'DELETE', url: `${PATH}/crm` })).statusCode, 204)
  for (const [method, url, payload] of [
    ['GET', `${PATH}/crm`, undefined],
    ['DELETE', `${PATH}/crm`, undefined],
    ['POST', `${PATH}/crm/pause`, undefined],
    ['POST', `${PATH}/crm/resume`, undefined],
    ['POST', `${PATH}/crm/reset`, { start: 'now' }],
    ['GET', `${PATH}/crm/outbox`, undefined],
    ['GET', `${PATH}/crm/outbox/${randomUUID()}/1`, undefined],
    ['POST', `${PATH}/crm/outbox/retry`, {}],
    ['POST', `${PATH}/crm/outbox/discard`, { reason: 'gone' }]
  ] as const) {
    t.equal(
      verdict(await ask({ method, url, ...(payload && { payload }) })),
      '404 SUBSCRIPTION_NOT_FOUND',
      `${method} ${url}`
    )
  }
  await ask({ method: 'DELETE', url: `${PATH}/own-key` })
  for (const table of ['subscriptions', 'subscription_checkpoints', 'event_outbox'])
    t.strictSame(await database.run(`SELECT 1 FROM ${table}`), [], table)
})

t.test('a subscription is new until something of it was delivered, whatever other tenants append', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  const [own, other] = [{ 'x-tenant-id': randomUUID() }, { 'x-tenant-id': randomUUID() }]
  await subscribe(service, taker, { start: 'now' }, own)
  const shown = async () => (await service.get(`${PATH}/crm`, own)).data
  await newUser(service, 1, other)
  await until(async () => (await shown()).lagEvents === 0, { what: 'the relay to pass the event' })
  // A second one is passed after the relay has told of the first.
  await newUser(service, 1, other)
  await until(async () => (await shown()).lagEvents === 0, { what: 'the relay to pass the next one' })
  t.match(await shown(), { state: 'new', lastError: null })
  await newUser(service, 1, own)
  await until(async () => (await shown()).state === 'active')
  t.equal(taker.taken.length, 1)
})

t.test('what cannot be delivered to is refused when the subscription is made', async (t) => {
  const { post } = await testService(t)
  const refused = async (payload: object) => verdict(await post(PATH, { name: 'crm', ...payload }))
  t.equal(await refused({ sink: { kind: 'webhook', url: 'http://127.0.0.1:1/' } }), '422 SUBSCRIPTION_INVALID')
  t.equal(await refused({ sink: { kind: 'webhook', url: 'http://[::ffff:10.0.0.1]/' } }), '422 SUBSCRIPTION_INVALID')
  for (const sink of [
    { kind: 'nats', subject: 'users' },
    { kind: 'rabbitmq', exchange: 'users' },
    { kind: 'redis', stream: 'users' },
    { kind: 'kafka', topic: 'users' }
  ]) {
    const answer = await post(PATH, { name: 'crm', sink })
    t.equal(verdict(answer), '422 SUBSCRIPTION_INVALID', sink.kind)
    t.match(answer.data.detail, /[A-Z_]+(_URL|_BROKERS)/, 'names the setting that is missing')
  }
  const sink = { kind: 'webhook', url: 'https://crm.example.com/' }
  for (const wrong of [
    { sink: { kind: 'smtp' } },
    { sink: { ...sink, url: 'ftp://crm.example.com/' } },
    { sink: { ...sink, secret: 'whsec_short' } },
    { sink, name: '' },
    { sink, name: 'a'.repeat(101) },
    { sink, name: '../x' },
    { sink, batchSize: 0 },
    { sink, batchSize: 1001 },
    { sink, start: -1 },
    { sink, start: 'tomorrow' },
    { sink, eventTypes: [] },
    { sink, eventTypes: ['a\0b'] },
    { sink: { ...sink, timeoutMs: 99 } },
    { sink: { ...sink, timeoutMs: 4001 } },
    { sink, retry: { maxAttempts: 0 } },
    { sink, retry: { maxAttempts: 101 } },
    { sink, colour: 'red' }
  ])
    t.equal(await refused(wrong), '400 VALIDATION_FAILED', JSON.stringify(wrong))
  const unknown = await post(PATH, { name: 'crm', sink: { kind: 'smtp' } })
  t.equal(
    unknown.data.detail,
    'The body is not valid at /sink/kind: found "smtp", expected a kind that the contract names.'
  )
  for (const right of [
    { name: 'c', sink: { ...sink, timeoutMs: 100 } },
    { name: 'd', sink: { ...sink, timeoutMs: 4000 } },
    { name: 'a'.repeat(100), batchSize: 1 },
    { name: 'b', batchSize: 1000, retry: { maxAttempts: 100 } }
  ])
    t.equal((await post(PATH, { sink, ...right })).statusCode, 201)
})

t.test('there can be 100 subscriptions, and not one more', async (t) => {
  const { post, database } = await testService(t)
  await database.run(
    `INSERT INTO subscriptions (id, name, definition) SELECT gen_random_uuid(), 's' || n, '{}' FROM generate_series(1, 99) n`
  )
  const sink = { kind: 'webhook', url: 'https://crm.example.com/' }
  t.equal((await post(PATH, { name: 'last', sink })).statusCode, 201)
  t.equal(verdict(await post(PATH, { name: 'more', sink })), '409 SUBSCRIPTIONS_FULL')
})

t.test("events of a tenant go to its subscriptions and to those of all tenants, and to nobody else's", async (t) => {
  const service = await delivering(t)
  const [own, all] = [await testTaker(t), await testTaker(t)]
  const ada = { 'x-tenant-id': randomUUID() }
  const bob = { 'x-tenant-id': randomUUID() }
  await subscribe(service, own, {}, ada)
  t.equal(
    (
      await service.post(`${PATH}?scope=global`, {
        name: 'crm',
        sink: { kind: 'webhook', url: all.url },
        start: 'beginning'
      })
    ).statusCode,
    201
  )
  const users = [await newUser(service, 3, ada), await newUser(service, 2, bob)]
  await until(() => all.taken.length === 5 && own.taken.length === 3)
  t.strictSame(versionsOf(own, users[0]!), [1, 2, 3])
  t.strictSame(versionsOf(all, users[1]!), [1, 2])
  t.strictSame(
    [...new Set(all.taken.map(({ tenantid }) => tenantid))].sort(),
    [ada['x-tenant-id'], bob['x-tenant-id']].sort()
  )
  const names = async (headers: Record<string, string>) =>
    ((await service.get(PATH, headers)).data.subscriptions as { scope: string }[]).map(({ scope }) => scope).sort()
  t.strictSame(await names(ada), ['global', 'tenant'])
  t.strictSame(await names(bob), ['global'])
  t.equal(verdict(await service.get(`${PATH}/crm`, bob)), '404 SUBSCRIPTION_NOT_FOUND')
})

t.test('it starts where it was told to, and takes only the types it was told to', async (t) => {
  const service = await delivering(t)
  const before = await newUser(service, 3)
  const takers = {
    all: await testTaker(t),
    from: await testTaker(t),
    news: await testTaker(t),
    types: await testTaker(t)
  }
  await subscribe(service, takers.all, { name: 'all' })
  await subscribe(service, takers.from, { name: 'from', start: 2 })
  await subscribe(service, takers.news, { name: 'news', start: 'now' })
  await subscribe(service, takers.types, { name: 'types', eventTypes: ['UserCreated'] })
  const after = await newUser(service, 2)
  await until(() => takers.all.taken.length === 5 && takers.from.taken.length === 3 && takers.news.taken.length === 2)
  await until(() => takers.types.taken.length === 2)
  t.strictSame(versionsOf(takers.all, before), [1, 2, 3])
  t.strictSame(versionsOf(takers.from, before), [3])
  t.strictSame(versionsOf(takers.news, before), [])
  t.strictSame(versionsOf(takers.news, after), [1, 2])
  t.strictSame([...new Set(takers.types.taken.map(({ type }) => type))], ['UserCreated'])
  await until(async () => (await service.get(`${PATH}/types`)).data.lagEvents === 0)
})

t.test('a position means nothing in a log of several orders, and all of them are delivered', async (t) => {
  const service = await delivering(t, { EVENT_BUCKETS: '3' })
  const taker = await testTaker(t)
  t.equal(verdict(await subscribe(service, taker, { start: 1 })), '422 SUBSCRIPTION_INVALID')
  await subscribe(service, taker)
  t.equal(verdict(await service.post(`${PATH}/crm/reset`, { start: 1 })), '422 SUBSCRIPTION_INVALID')
  const users = await Promise.all(Array.from({ length: 12 }, () => newUser(service, 4)))
  await until(() => taker.taken.length >= 48)
  for (const userId of users) t.strictSame(versionsOf(taker, userId), [1, 2, 3, 4])
})

t.test('paused it delivers nothing, resumed it goes on, reset it starts again', async (t) => {
  const service = await delivering(t)
  const { post } = service
  const taker = await testTaker(t)
  await subscribe(service, taker)
  const userId = await newUser(service, 2)
  await until(() => taker.taken.length === 2)
  t.equal((await post(`${PATH}/crm/pause`)).data.state, 'paused')
  // Its workers have given their leases up: nobody holds one.
  await until(async () => {
    const held = await service.database.run(
      `SELECT 1 FROM workers WHERE name LIKE 'subscription/%' AND "leaseUntil" > now()`
    )
    return held.length === 0
  })
  await service.append(userId, updates(2))
  t.match((await service.get(`${PATH}/crm`)).data, { state: 'paused', lagEvents: 2 })
  t.equal(taker.taken.length, 2)
  t.equal((await post(`${PATH}/crm/resume`)).data.state, 'active')
  await until(() => taker.taken.length === 4)
  await until(async () => (await service.get(`${PATH}/crm`)).data.lagEvents === 0)
  taker.taken.length = 0
  await post(`${PATH}/crm/reset`, { start: 'beginning' })
  await until(() => taker.taken.length === 4)
  t.strictSame(
    taker.taken.map(({ userversion }) => userversion),
    [1, 2, 3, 4]
  )
})

t.test(
  'a user whose event fails holds up nobody else; after the last try its events wait for an operator',
  async (t) => {
    const service = await delivering(t)
    const { get, post, append } = service
    const taker = await testTaker(t)
    const bad = newUserId()
    taker.answer = ({ subject, userversion }) => (subject === bad && userversion === 2 ? 500 : 204)
    await subscribe(service, taker)
    const good = await newUser(service, 5)
    await append(bad, [userCreated(), ...updates(3)])
    const later = await newUser(service, 5)
    await until(() => taker.taken.length === 11)
    t.strictSame(
      [versionsOf(taker, good), versionsOf(taker, later), versionsOf(taker, bad)],
      [range(1, 5), range(1, 5), [1]]
    )
    const [dead] = await until(async () => {
      const found = await owedOf(service, 'dead')
      return found.length > 0 ? found : null
    })
    t.match(dead, { userId: bad, version: 2, attempts: 3, nextAttemptAt: null })
    await append(bad, updates(1))
    await until(async () => (await owedOf(service, 'pending')).length === 3)
    t.match((await get(`${PATH}/crm`)).data, { state: 'active', dead: 1, pending: 3, blockedUsers: 1, lagEvents: 0 })
    const one = await get(`${PATH}/crm/outbox/${bad}/2`)
    t.match(one.data, { status: 'dead', event: { aggregateId: bad, version: 2, eventType: 'UserUpdated' } })
    t.match(one.data.lastError, /500/)
    t.equal(verdict(await get(`${PATH}/crm/outbox/${good}/1`)), '404 OWED_EVENT_NOT_FOUND')
    const scrape = (await get('/metrics')).body
    t.match(scrape, /event_delivery_retries_total\{subscription="default\/crm"\} 2/)
    t.match(scrape, /event_outbox_dead_letters\{subscription="default\/crm"\} 1/)
    t.match(scrape, /event_handler_duration_seconds_count\{handler_name="default\/crm",event_type="UserCreated"\} 3/)

    taker.answer = () => 204
    t.strictSame((await post(`${PATH}/crm/outbox/retry`, { userId: bad, version: 2 })).data, { retried: 1 })
    await until(() => versionsOf(taker, bad).length === 5)
    t.strictSame(versionsOf(taker, bad), range(1, 5))
    await until(async () => (await get(`${PATH}/crm`)).data.blockedUsers === 0)
    await append(bad, updates(1))
    await until(() => versionsOf(taker, bad).length === 6)
  }
)

t.test('a dead letter that no code here can read is shown as it is stored', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  await subscribe(service, taker, { retry: { ...QUICK, maxAttempts: 1 } })
  const userId = newUserId()
  await service.database.run(`
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
    SELECT 0, 1, '${randomUUID()}', '${userId}', 1, 'FromTheFuture', 7, '{"a":1}', id, now()
    FROM (VALUES ('${DEFAULT_TENANT}'::uuid)) AS tenant(id)`)
  await until(async () => (await owedOf(service, 'dead')).length === 1)
  const shown = await service.get(`${PATH}/crm/outbox/${userId}/1`)
  t.equal(shown.statusCode, 200)
  t.match(shown.data, {
    lastError: /cannot be read/,
    event: { eventType: 'FromTheFuture', schemaVersion: 7, eventData: { a: 1 } }
  })
})

t.test('discarded letters are kept with the reason, and the later events of the user flow on', async (t) => {
  const service = await delivering(t)
  const { get, post, append } = service
  const taker = await testTaker(t)
  taker.answer = ({ userversion }) => (userversion === 1 ? 400 : 204)
  await subscribe(service, taker, { retry: { ...QUICK, maxAttempts: 1 } })
  const users = [newUserId(), newUserId(), newUserId()]
  for (const userId of users) await append(userId, [userCreated(), ...updates(1)])
  await until(async () => (await owedOf(service, 'dead')).length === 3)
  const reason = 'test account'
  for (const [action, body] of Object.entries({ retry: { version: 1 }, discard: { version: 1, reason } })) {
    const answer = await post(`${PATH}/crm/outbox/${action}`, body)
    t.equal(verdict(answer), '400 VALIDATION_FAILED', `${action}: a version alone names no event`)
    t.match(answer.data, { in: 'body', pointer: '/userId' })
  }
  t.equal(verdict(await post(`${PATH}/crm/outbox/discard`, {})), '400 VALIDATION_FAILED')
  t.strictSame((await post(`${PATH}/crm/outbox/discard`, { userId: users[0], reason })).data, { discarded: 1 })
  await until(() => versionsOf(taker, users[0]!).length === 1)
  t.strictSame(versionsOf(taker, users[0]!), [2])
  t.strictSame((await post(`${PATH}/crm/outbox/discard`, { reason })).data, { discarded: 2 })
  await until(() => taker.taken.length === 3)
  t.match((await get(`${PATH}/crm/outbox/${users[1]}/1`)).data, { status: 'discarded', lastError: reason })
  t.equal((await owedOf(service, 'discarded')).length, 3)
  const first = await get(`${PATH}/crm/outbox?status=discarded&limit=2`)
  const rest = await get(`${PATH}/crm/outbox?status=discarded&limit=2&cursor=${first.data.next}`)
  t.strictSame([first.data.owed.length, rest.data.owed.length, rest.data.next], [2, 1, null])
})

t.test('a request retries or discards at most 10,000 letters, and a page shows at most 1,000', async (t) => {
  const { get, post, database } = await testService(t, { env: { WEBHOOK_PRIVATE_ADDRESSES: 'true' } })
  await post(PATH, { name: 'crm', sink: { kind: 'webhook', url: 'http://127.0.0.1:1/' } })
  await database.run(`
    INSERT INTO event_outbox (bucket, "subscriptionId", position, "aggregateId", version, status, attempts)
    SELECT 0, s.id, n, gen_random_uuid(), 1, 'dead', 3 FROM subscriptions s, generate_series(1, 20001) n`)
  const outbox = `${PATH}/crm/outbox`
  t.equal((await get(`${outbox}?limit=1000`)).data.owed.length, 1000)
  for (const limit of [0, 1001]) t.equal(verdict(await get(`${outbox}?limit=${limit}`)), '400 VALIDATION_FAILED')
  t.strictSame((await post(`${outbox}/retry`, {})).data, { retried: 10_000 })
  t.strictSame((await post(`${outbox}/discard`, { reason: 'x'.repeat(500) })).data, { discarded: 10_000 })
  t.equal(verdict(await post(`${outbox}/discard`, { reason: 'x'.repeat(501) })), '400 VALIDATION_FAILED')
  t.strictSame((await post(`${outbox}/discard`, { reason: 'the last' })).data, { discarded: 1 })
  // Those to be retried are due already, unless the clock was set back meanwhile: then they are counted once more.
  await until(async () => (await post(`${outbox}/retry`, {})).data.retried === 0)
  const due = `status = 'pending' AND "nextAttemptAt" <= clock_timestamp()`
  t.equal((await database.run(`SELECT FROM event_outbox WHERE ${due}`)).length, 10_000)
})

t.test('a policy lets later events pass a dead letter', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  taker.answer = ({ userversion }) => (userversion === 2 ? 500 : 204)
  await subscribe(service, taker, { deadLetters: 'pass' })
  const userId = await newUser(service, 4)
  await until(() => taker.taken.length === 3)
  t.strictSame(versionsOf(taker, userId), [1, 3, 4])
  await until(async () => (await owedOf(service, 'dead')).length === 1)
})

t.test('a receiver that is away is waited for: no event is blamed, none is lost', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  taker.answer = () => 503
  await subscribe(service, taker, { retry: { ...QUICK, maxAttempts: 2 } })
  const users = [await newUser(service, 3), await newUser(service, 3)]
  await until(async () => (await stateOf(service)) === 'failing')
  t.match((await service.get(`${PATH}/crm`)).data, { lastError: /503/, pending: 0, dead: 0, lagEvents: 6 })
  taker.answer = () => 204
  await until(() => taker.taken.length === 6)
  for (const userId of users) t.strictSame(versionsOf(taker, userId), [1, 2, 3])
  t.match(await settled(service), { lastError: null, dead: 0 })
})

t.test('one user whom the receiver never answers for waits aside, and the others get their turn', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  const bad = newUserId()
  taker.answer = ({ subject }) => (subject === bad ? 0 : 204)
  await service.append(bad, [userCreated(), ...updates(9)])
  const good = await newUser(service, 2)
  const sink = { kind: 'webhook', url: taker.url, timeoutMs: 100 }
  await subscribe(service, taker, { sink, batchSize: 5, retry: { ...QUICK, maxAttempts: 2 } })
  await until(() => taker.taken.length === 2)
  t.strictSame(versionsOf(taker, good), [1, 2])
  t.strictSame(await owedOf(service, 'dead'), [], 'as long as nobody else is answered, the receiver may be away')
  await until(async () => {
    await service.append(good, updates(1))
    return (await owedOf(service, 'dead')).length === 1
  })
  t.match(await owedOf(service, 'dead'), [{ userId: bad, version: 1, attempts: 2 }])
})

t.test('a receiver that goes amid a batch, with one try: no event is blamed, and all come in order', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  let [asked, away] = [0, true]
  taker.answer = () => (away && ++asked > 30 ? 503 : 204)
  const users = await Promise.all(Array.from({ length: 60 }, () => newUser(service, 2)))
  await subscribe(service, taker, { retry: { ...QUICK, maxAttempts: 1 } })
  await until(async () => (await stateOf(service)) === 'failing')
  const triesBefore = asked
  await until(() => asked > triesBefore + 200)
  t.match((await service.get(`${PATH}/crm`)).data, { state: 'failing', dead: 0 })
  away = false
  await until(() => firstArrivals(taker.taken).size === 60 && taker.taken.length >= 120)
  for (const userId of users) t.strictSame(versionsOf(taker, userId), [1, 2])
  t.match(await settled(service), { lastError: null, dead: 0 })
})

t.test('what is owed survives a receiver that is away, also when nothing else is to be sent', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  let [tries, status] = [0, 500]
  taker.answer = () => {
    tries++
    // One refusal, which counts, and then there is nobody.
    const answered = status
    if (status === 500) status = 503
    return answered
  }
  await subscribe(service, taker, { retry: { ...QUICK, maxAttempts: 2 } })
  const userId = await newUser(service, 2)
  await until(async () => (await stateOf(service)) === 'failing')
  await until(() => tries > 6)
  t.match(await owedOf(service, 'pending'), [
    { version: 1, attempts: 1 },
    { version: 2, attempts: 0 }
  ])
  t.match((await service.get(`${PATH}/crm`)).data, { state: 'failing', lastError: /503/, dead: 0 })
  status = 204
  await settled(service)
  t.strictSame(versionsOf(taker, userId), [1, 2])
})

t.test('a reset does not wait for what a receiver that was away is given', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  taker.answer = () => 503
  await subscribe(service, taker, { retry: { baseDelayMs: 3_600_000, maxDelayMs: 3_600_000 } })
  await newUser(service, 1)
  await until(async () => (await stateOf(service)) === 'failing')
  taker.answer = () => 204
  await service.post(`${PATH}/crm/reset`, { start: 'beginning' })
  await until(() => taker.taken.length === 1, { timeoutMs: 15_000 })
})

t.test('after an outage a receiver is tried again within 30 seconds, whatever the waits of events are', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  taker.answer = () => 503
  const long = { baseDelayMs: 3_600_000, maxDelayMs: 3_600_000, jitter: 0 }
  const away = { retry: long, eventTypes: ['UserCreated'] }
  await subscribe(service, taker, away)
  await newUser(service, 1)
  await until(async () => (await stateOf(service)) === 'failing')
  const failedAt = performance.now()
  taker.answer = () => 204
  await until(() => taker.taken.length === 1, { timeoutMs: 40_000 })
  const waited = performance.now() - failedAt
  t.ok(waited > 25_000 && waited < 33_000, `${waited} ms`)
})

t.test('a receiver that is gone stops the subscription until it is resumed', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  taker.answer = () => 410
  await subscribe(service, taker)
  await newUser(service, 2)
  await until(async () => (await stateOf(service)) === 'stopped')
  t.match((await service.get(`${PATH}/crm`)).data, { lastError: /410/, lagEvents: 2 })
  taker.answer = () => 204
  t.equal((await service.post(`${PATH}/crm/resume`)).data.state, 'active')
  await until(() => taker.taken.length === 2)
})

t.test('batches of one request are delivered in order', async (t) => {
  const service = await delivering(t)
  const taker = await testTaker(t)
  await subscribe(service, taker, { sink: { kind: 'webhook', url: taker.url, format: 'batched' }, batchSize: 7 })
  const users = await Promise.all(Array.from({ length: 5 }, () => newUser(service, 8)))
  await until(() => taker.taken.length === 40)
  for (const userId of users) t.strictSame(versionsOf(taker, userId), range(1, 8))
  const positions = taker.taken.map(({ sequence }: Taken) => sequence)
  t.strictSame(positions, [...positions].sort())
})
