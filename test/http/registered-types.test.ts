/** Event types that clients register: what is refused, what is kept, and what the events of a type do. */
import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { OPERATIONS_MAX } from '../../src/domain/patch.js'
import { TYPES_MAX, VERSIONS_MAX } from '../../src/services/event-types.js'
import { newUserId, userCreated } from '../support/events.js'
import { verdict } from '../support/problem.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const city = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false
}
const place = {
  type: 'object',
  properties: { place: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
  required: ['place'],
  additionalProperties: false
}
/** Makes data of `city` data of `place`. */
const intoPlace = [
  { op: 'add', path: '/place', value: {} },
  { op: 'move', from: '/city', path: '/place/city' }
]
const merge = { kind: 'merge', namespace: 'address' }

const put = ({ ask }: Pick<TestService, 'ask'>, path: string, payload: object, headers: Record<string, string> = {}) =>
  ask({ method: 'PUT', url: `/event-types/${path}`, payload, headers })

/** One service for all tests that need no second one; each test asks as a tenant of its own, `mine`. */
const shared = await testService(t)

function asTenant() {
  const mine = { 'x-tenant-id': randomUUID() }
  const { ask } = shared
  return {
    mine,
    ask: (options: Parameters<typeof ask>[0]) => ask({ ...options, headers: { ...mine, ...options.headers } }),
    get: (url: string, headers: Record<string, string> = {}) => shared.get(url, { ...mine, ...headers }),
    append: (userId: string, events: object[], { headers = {} } = {}) =>
      shared.append(userId, events, { headers: { ...mine, ...headers } }),
    /** versions that this tenant registered */
    async rows(): Promise<number> {
      const [row] = await shared.database.run<{ n: number }>(
        `SELECT count(*)::integer AS n FROM event_types WHERE "tenantId" = '${mine['x-tenant-id']}'`
      )
      return row!.n
    }
  }
}

const moved = (eventData: object, schemaVersion?: number) => ({
  eventType: 'Moved',
  eventData,
  ...(schemaVersion ? { schemaVersion } : {})
})

t.test('a type is registered, shown, and its events merge into the attributes', async (t) => {
  const service = asTenant()
  const { append, get } = service
  t.match(await append(newUserId(), [userCreated(), moved({ city: 'Paris' })]), { statusCode: 422 })
  const first = await put(service, 'Moved/versions/1', { summary: 'moved', schema: city, effect: merge })
  t.equal(first.statusCode, 201)
  t.strictSame(first.data, { eventType: 'Moved', version: 1, registered: true, breaks: [] })
  const userId = newUserId()
  t.equal((await append(userId, [userCreated(), moved({ city: 'Paris' })])).statusCode, 201)
  const { data } = await get(`/users/${userId}/state`)
  t.strictSame(data.state.attributes.address, { city: 'Paris' })
  t.equal(data.state.updatedAt, data.asOf)
  t.match(await append(userId, [moved({ city: 7 })]), {
    statusCode: 422,
    data: { pointer: '/events/0/eventData/city' }
  })
  const listed = (await get('/event-types')).data.eventTypes
  t.match(
    listed.find(({ eventType }: { eventType: string }) => eventType === 'Moved'),
    { scope: 'tenant', summary: 'moved', versions: 1 }
  )
  t.match((await get('/event-types/UserCreated')).data, { scope: 'built-in' })
  const details = (await get('/event-types/Moved')).data
  t.match(details, { scope: 'tenant', history: [{ version: 1, schema: city, upcast: null, effect: merge }] })
  t.strictSame(Object.keys(details.example), ['city'])
  t.equal(verdict(await get('/event-types/Nothing')), '404 EVENT_TYPE_NOT_FOUND')
})

t.test('old events stay as they were stored and are read as the newest version', async (t) => {
  const service = asTenant()
  const { append, get } = service
  await put(service, 'Moved/versions/1', { schema: city, effect: merge })
  const userId = newUserId()
  await append(userId, [userCreated(), moved({ city: 'Paris' })])
  const before = await get(`/users/${userId}/state`)
  const second = { schema: place, upcast: intoPlace, effect: merge }
  const dry = await put(service, 'Moved/versions/2?dryRun=true', second)
  t.match(dry, { statusCode: 200, data: { registered: false } })
  t.match(dry.data.breaks, [{ direction: 'old data, new schema' }, { direction: 'new data, old schema' }])
  t.equal(await service.rows(), 1, 'a dry run stores nothing')
  t.equal((await put(service, 'Moved/versions/2', second)).statusCode, 201)
  const after = await get(`/users/${userId}/state`)
  t.strictSame(after.data.state.attributes.address, { place: { city: 'Paris' } })
  t.not(after.headers.etag, before.headers.etag, 'other rules, another entity tag')
  t.equal((await append(userId, [moved({ city: 'Rome' }, 1)])).data.events[0].schemaVersion, 1)
  t.equal((await append(userId, [moved({ city: 'Rome' })])).data.events[0].schemaVersion, 1, 'the newest that fits')
  t.equal((await append(userId, [moved({ place: { city: 'Oslo' } })])).data.events[0].schemaVersion, 2)
  t.equal(verdict(await append(userId, [moved({ city: 'Oslo' }, 3)])), '422 UNKNOWN_SCHEMA_VERSION')
  const shown = (await get(`/users/${userId}/events?eventType=Moved`)).data.events
  t.strictSame(
    shown.map(({ schemaVersion, eventData }: any) => [schemaVersion, eventData]),
    ['Paris', 'Rome', 'Rome', 'Oslo'].map((name) => [2, { place: { city: name } }])
  )
  const stored = (await get(`/users/${userId}/events?eventType=Moved&upcast=false&limit=1`)).data.events
  t.match(stored, [{ schemaVersion: 1, eventData: { city: 'Paris' } }])
  t.match((await get(`/users/${userId}/state`)).data.state.attributes.address, { place: { city: 'Oslo' } })
})

t.test('a patch changes the state with fields of the event, as a whole or not at all', async (t) => {
  const service = asTenant()
  const operations = [
    { op: 'test', path: '/status', value: 'active' },
    { op: 'replace', path: '/fullName', value: { $event: '/eventData/city' } },
    { op: 'add', path: '/attributes/seen', value: [{ $event: '/createdAt' }] },
    { op: 'add', path: '/attributes/zip', value: { $event: '/eventData/zip' } }
  ]
  const schema = { ...city, properties: { ...city.properties, zip: { type: ['string', 'number'] } } }
  await put(service, 'Moved/versions/1', { schema, effect: { kind: 'patch', operations } })
  const userId = newUserId()
  await service.append(userId, [userCreated(), moved({ city: 'Paris' })])
  const { state, asOf } = (await service.get(`/users/${userId}/state`)).data
  t.match(state, { fullName: 'Paris', updatedAt: asOf })
  t.strictSame(state.attributes, { seen: [asOf] }, 'a field that the event lacks is left out')
  await service.append(userId, [
    { eventType: 'UserUpdated', eventData: { status: 'suspended' } },
    moved({ city: 'Rome', zip: '00100' })
  ])
  t.match((await service.get(`/users/${userId}/state`)).data.state, { fullName: 'Paris' }, 'the test failed')
})

t.test('what could fail later is refused, and nothing is stored', async (t) => {
  const service = asTenant()
  await put(service, 'Moved/versions/1', { schema: { ...city, required: [] }, effect: merge })
  const refused: [name: string, path: string, body: object, verdict: string][] = [
    ['a schema that is none', 'A/versions/1', { schema: { type: 'thing' }, effect: merge }, '422 INVALID_EVENT_SCHEMA'],
    ['no object', 'A/versions/1', { schema: { type: 'string' }, effect: merge }, '422 INVALID_EVENT_SCHEMA'],
    [
      'a remote $ref',
      'A/versions/1',
      { schema: { type: 'object', properties: { a: { $ref: 'https://example.com/s.json' } } }, effect: merge },
      '422 INVALID_EVENT_SCHEMA'
    ],
    [
      'a schema of 1 MiB',
      'A/versions/1',
      { schema: { type: 'object', description: 'x'.repeat(1024 * 1024 - 200) }, effect: merge },
      '422 INVALID_EVENT_SCHEMA'
    ],
    [
      'a look-ahead',
      'A/versions/1',
      { schema: { type: 'object', properties: { a: { type: 'string', pattern: '^(?=a)b' } } }, effect: merge },
      '422 INVALID_EVENT_SCHEMA'
    ],
    [
      'nothing fits',
      'A/versions/1',
      { schema: { type: 'object', required: ['a'], properties: { a: false } }, effect: merge },
      '422 INVALID_EVENT_SCHEMA'
    ],
    ['an upcast from nothing', 'A/versions/1', { schema: city, effect: merge, upcast: [] }, '422 INVALID_UPCAST'],
    ['no upcast', 'Moved/versions/2', { schema: place, effect: merge }, '422 INVALID_UPCAST'],
    [
      'a patch that is none',
      'Moved/versions/2',
      { schema: place, effect: merge, upcast: [{ op: 'fly', path: '/city' }] },
      '422 INVALID_UPCAST'
    ],
    [
      'a patch that fails where an optional field is missing',
      'Moved/versions/2',
      { schema: place, effect: merge, upcast: intoPlace },
      '422 INVALID_UPCAST'
    ],
    [
      'a patch that makes what does not fit',
      'Moved/versions/2',
      { schema: place, effect: merge, upcast: [{ op: 'add', path: '/place', value: 'Paris' }] },
      '422 INVALID_UPCAST'
    ],
    [
      'a patch of the prototype',
      'Moved/versions/2',
      { schema: place, effect: merge, upcast: [{ op: 'add', path: '/__proto__/x', value: 1 }] },
      '422 INVALID_UPCAST'
    ],
    [
      'an effect on the id',
      'A/versions/1',
      { schema: city, effect: { kind: 'patch', operations: [{ op: 'replace', path: '/id', value: 'x' }] } },
      '422 INVALID_EFFECT'
    ],
    [
      'an effect that looks elsewhere',
      'A/versions/1',
      {
        schema: city,
        effect: { kind: 'patch', operations: [{ op: 'add', path: '/phone', value: { $event: '/metadata/x' } }] }
      },
      '422 INVALID_EFFECT'
    ],
    ['a built-in name', 'UserCreated/versions/3', { schema: city, effect: merge }, '409 EVENT_TYPE_RESERVED'],
    ['a gap', 'A/versions/2', { schema: city, effect: merge, upcast: [] }, '409 EVENT_TYPE_VERSION_GAP'],
    ['a version that is there', 'Moved/versions/1', { schema: city, effect: merge }, '409 EVENT_TYPE_EXISTS'],
    ['a name with a comma', 'A,B/versions/1', { schema: city, effect: merge }, '400 VALIDATION_FAILED'],
    ['NUL in a text', 'A/versions/1', { schema: { ...city, title: 'a\u0000' }, effect: merge }, '422 UNSAFE_JSON']
  ]
  for (const [name, path, body, expected] of refused) {
    const answer = await put(service, path, body)
    t.equal(verdict(answer), expected, name)
    t.ok(answer.data.detail, name)
    t.equal(verdict(await put(service, `${path}?dryRun=true`, body)), expected, `${name}, only asked`)
  }
  t.equal(await service.rows(), 1)
})

t.test('a regular expression that would take for ever elsewhere takes no time', async (t) => {
  const service = asTenant()
  const schema = { type: 'object', properties: { a: { type: 'string', pattern: '^(a+)+$' } }, examples: [{ a: 'aa' }] }
  t.equal((await put(service, 'A/versions/1', { schema, effect: { kind: 'none' } })).statusCode, 201)
  const userId = newUserId()
  await service.append(userId, [userCreated()])
  const startedAt = performance.now()
  const answer = await service.append(userId, [{ eventType: 'A', eventData: { a: `${'a'.repeat(50_000)}!` } }])
  t.equal(verdict(answer), '422 INVALID_EVENT_DATA')
  t.ok(performance.now() - startedAt < 2000)
})

t.test('the same request again is safe', async (t) => {
  const service = asTenant()
  const body = { schema: city, effect: merge }
  t.equal((await put(service, 'Moved/versions/1', body)).statusCode, 201)
  t.equal((await put(service, 'Moved/versions/1', body)).statusCode, 200)
  const answers = await Promise.all(Array.from({ length: 10 }, () => put(service, 'B/versions/1', body)))
  t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 1)
  t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 9)
  t.equal(await service.rows(), 2)
})

t.test('types of a tenant are its own, those of all tenants are shared', async (t) => {
  const service = asTenant()
  const [a, b] = [{ 'x-tenant-id': randomUUID() }, { 'x-tenant-id': randomUUID() }]
  await put(service, 'Moved/versions/1', { schema: city, effect: merge }, a)
  await put(service, 'Moved/versions/1', { schema: place, effect: merge }, b)
  t.equal((await put(service, 'Seen/versions/1?scope=global', { schema: city, effect: merge })).statusCode, 201)
  const accepted = async (headers: Record<string, string>, eventType: string, eventData: object) =>
    (await service.append(newUserId(), [userCreated(), { eventType, eventData }], { headers })).statusCode
  t.equal(await accepted(a, 'Moved', { city: 'Paris' }), 201)
  t.equal(await accepted(a, 'Moved', { place: { city: 'Paris' } }), 422)
  t.equal(await accepted(b, 'Moved', { place: { city: 'Paris' } }), 201)
  t.equal(await accepted({}, 'Moved', { city: 'Paris' }), 422)
  for (const headers of [a, b, {}]) t.equal(await accepted(headers, 'Seen', { city: 'Paris' }), 201)
  t.equal(verdict(await service.get('/event-types/Moved')), '404 EVENT_TYPE_NOT_FOUND')
  const taken = await put(service, 'Moved/versions/1?scope=global', { schema: city, effect: merge })
  t.equal(verdict(taken), '409 EVENT_TYPE_RESERVED')
  const hidden = await put(service, 'Seen/versions/1', { schema: city, effect: merge }, a)
  t.equal(verdict(hidden), '409 EVENT_TYPE_RESERVED')
  const asked = await put(service, 'Seen/versions/1?dryRun=true', { schema: city, effect: merge }, a)
  t.equal(verdict(asked), '409 EVENT_TYPE_RESERVED', 'a dry run tells the same')
})

t.test(`there is room for ${TYPES_MAX} types`, async (t) => {
  const service = await testService(t)
  await service.database.run(`
    INSERT INTO event_types (revision, "tenantId", "eventType", version, definition)
    SELECT n, NULL, 'T' || n, 1, '{"summary":"","schema":{"type":"object"},"effect":{"kind":"none"},"personalData":[]}' FROM generate_series(1, ${TYPES_MAX - 1}) n`)
  const body = { schema: city, effect: merge }
  t.equal((await put(service, 'Last/versions/1?scope=global&dryRun=true', body)).statusCode, 200)
  t.equal((await put(service, 'Last/versions/1?scope=global', body)).statusCode, 201)
  t.equal((await put(service, 'Last/versions/1?scope=global&dryRun=true', body)).statusCode, 200, 'it is there')
  for (const query of ['scope=global', 'scope=global&dryRun=true'])
    t.equal(verdict(await put(service, `More/versions/1?${query}`, body)), '409 EVENT_TYPES_FULL', query)
  t.equal((await put(service, 'Other/versions/1', body)).statusCode, 201, 'another scope')
})

t.test(`a type has room for ${VERSIONS_MAX} versions`, async (t) => {
  const service = asTenant()
  const tenant = service.mine['x-tenant-id']
  const effect = { kind: 'none' }
  const definition = JSON.stringify({ summary: '', schema: city, upcast: [], effect, personalData: [] })
  await shared.database.run(`
    INSERT INTO event_types (revision, "tenantId", "eventType", version, definition)
    SELECT last.revision + n, '${tenant}', 'Moved', n, '${definition}'
    FROM generate_series(1, ${VERSIONS_MAX - 1}) n, (SELECT coalesce(max(revision), 0) AS revision FROM event_types) last`)
  const next = { schema: city, upcast: [], effect: merge }
  for (const [query, code] of [
    ['?dryRun=true', 200],
    ['', 201]
  ] as const)
    t.equal((await put(service, `Moved/versions/${VERSIONS_MAX}${query}`, next)).statusCode, code)
  for (const query of ['?dryRun=true', ''])
    t.equal(verdict(await put(service, `Moved/versions/${VERSIONS_MAX + 1}${query}`, next)), '409 EVENT_TYPES_FULL')
  t.equal(await service.rows(), VERSIONS_MAX)
})

t.test(`a patch has at most ${OPERATIONS_MAX} operations`, async (t) => {
  const service = asTenant()
  const tests = (count: number) => Array.from({ length: count }, () => ({ op: 'test', path: '', value: {} }))
  const withEffect = (count: number) => ({ schema: city, effect: { kind: 'patch', operations: tests(count) } })
  t.equal((await put(service, 'A/versions/1', withEffect(OPERATIONS_MAX))).statusCode, 201)
  t.equal(verdict(await put(service, 'B/versions/1', withEffect(OPERATIONS_MAX + 1))), '400 VALIDATION_FAILED')
  const added = (count: number) => Array.from({ length: count }, () => ({ op: 'add', path: '/city', value: 'Paris' }))
  const withUpcast = (count: number) => ({ schema: city, effect: merge, upcast: added(count) })
  t.equal(verdict(await put(service, 'A/versions/2', withUpcast(OPERATIONS_MAX + 1))), '400 VALIDATION_FAILED')
  t.equal((await put(service, 'A/versions/2', withUpcast(OPERATIONS_MAX))).statusCode, 201)
})

t.test('versions that are registered cannot be changed in the database either', async (t) => {
  const service = asTenant()
  await put(service, 'Moved/versions/1', { schema: city, effect: merge })
  for (const text of ['UPDATE event_types SET version = 2', 'DELETE FROM event_types', 'TRUNCATE event_types'])
    await t.rejects(shared.database.run(text), /never changed/)
})

/** Two instances of the service on one database, with their background work. */
async function twoInstances(t: Test): Promise<[TestService, TestService]> {
  const one = await testService(t, { background: true })
  return [one, await testService(t, { background: true, database: one.database })]
}

t.test('what one instance registers the other accepts and reads at once', async (t) => {
  const [one, two] = await twoInstances(t)
  const userId = newUserId()
  await two.append(userId, [userCreated()])
  for (let i = 0; i < 8; i++) {
    const [by, other] = i % 2 ? [two, one] : [one, two]
    await put(by, `T${i}/versions/1`, { schema: city, effect: { kind: 'merge', namespace: `n${i}` } })
    const answer = await other.append(userId, [{ eventType: `T${i}`, eventData: { city: 'Paris' } }])
    t.equal(answer.statusCode, 201, `T${i}`)
  }
  await put(one, 'Moved/versions/1', { schema: city, effect: merge })
  await one.append(userId, [moved({ city: 'Paris' })])
  const { state } = (await two.get(`/users/${userId}/state`)).data
  t.equal(Object.keys(state.attributes).length, 9, 'the other instance folds a type it had not seen')
  await put(one, 'Moved/versions/2', { schema: place, upcast: intoPlace, effect: merge })
  t.equal((await two.append(userId, [moved({ place: { city: 'Rome' } }, 2)])).statusCode, 201)
})

t.test('a new version of a type is known everywhere within 1 s, also to those who never meet it', async (t) => {
  const [one, two] = await twoInstances(t)
  await put(one, 'Moved/versions/1', { schema: city, effect: merge })
  const userId = newUserId()
  await two.append(userId, [userCreated(), moved({ city: 'Paris' })])
  const times: number[] = []
  for (let version = 2; version <= 6; version++) {
    const upcast = [{ op: 'replace', path: '/city', value: `${version}` }]
    await put(one, `Moved/versions/${version}`, { schema: city, upcast, effect: merge })
    const startedAt = performance.now()
    const seen = async () => (await two.get(`/users/${userId}/state`)).data.state?.attributes.address.city
    await until(async () => (await seen()) === `${version}`)
    times.push(performance.now() - startedAt)
  }
  times.sort((a, b) => a - b)
  t.comment(`after ${times.map(Math.round).join(', ')} ms`)
  // It looks every 880 ms at the latest, and then asks the database: that a busy machine may be late with now and then.
  t.ok(times[times.length >> 1]! < 1000, 'half of them')
  t.ok(times.at(-1)! < 3000, 'all of them')
  const stateOn = async ({ get }: TestService) => (await get(`/users/${userId}/state`)).data.state
  t.strictSame(await stateOn(two), await stateOn(one))
})
