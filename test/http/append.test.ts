import t from 'tap'
import { newUserId, updates, userCreated, userUpdated } from '../support/events.js'
import { refused } from '../support/problem.js'
import { testService } from '../support/service.js'

const service = await testService(t)
const { append, get, ask } = service

t.test(
  'an append answers with the places of its events, an entity tag and where to read the last of them',
  async (t) => {
    const userId = newUserId()
    const before = Date.now()
    const answer = await append(userId, [userCreated(), userUpdated()], { expectedVersion: 'none' })
    t.equal(answer.statusCode, 201)
    t.hasStrict(answer.data, { userId, version: 2, duplicate: false })
    const [first, second] = answer.data.events
    t.strictSame(Object.keys(first), ['id', 'version', 'position', 'schemaVersion', 'createdAt'])
    t.hasStrict(first, { version: 1, schemaVersion: 1 })
    t.hasStrict(second, { version: 2, schemaVersion: 1, position: first.position + 1 })
    t.match(first.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    t.ok(Date.parse(first.createdAt) >= before - 1000 && Date.parse(first.createdAt) <= Date.now() + 1000)
    t.match(answer.headers.etag, /^"2-[0-9a-f]+"$/)
    t.equal(answer.headers.location, `/users/${userId}/events/2`)
    const last = await get(String(answer.headers.location))
    t.hasStrict(last.data, { id: second.id, version: 2, position: second.position, createdAt: second.createdAt })
  }
)

t.test('what was appended is read back whole, with nulls for what was left out', async (t) => {
  const userId = newUserId()
  const metadata = { correlationId: 'checkout-7', nested: { list: [1, 'two', null, { three: true }] } }
  const rich = { ...userCreated('grace', { attributes: { ünï: '✓ 🙂', '': 0, 'a/b~c': [] } }), metadata }
  await append(userId, [{ ...rich, occurredAt: '2026-11-22T08:00:00.000Z' }, userUpdated()])
  const { data } = await get(`/users/${userId}/events`)
  const [first, second] = data.events
  t.strictSame(Object.keys(first).sort(), [
    'aggregateId',
    'createdAt',
    'eventData',
    'eventType',
    'id',
    'metadata',
    'occurredAt',
    'position',
    'schemaVersion',
    'tenantId',
    'version'
  ])
  t.strictSame(first.eventData, { ...rich.eventData, phoneVerified: false }, 'lifted to the newest schema version')
  const stored = await get(`/users/${userId}/events/1?upcast=false`)
  t.strictSame(stored.data, { ...first, schemaVersion: 1, eventData: rich.eventData }, 'and as it was stored')
  t.strictSame(first.metadata, metadata)
  t.hasStrict(first, {
    aggregateId: userId,
    tenantId: '00000000-0000-0000-0000-000000000000',
    occurredAt: '2026-11-22T08:00:00.000Z'
  })
  t.hasStrict(second, { metadata: null, occurredAt: null })
})

t.test('one bad event among good ones and nothing is stored', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  const answer = await append(userId, [userUpdated(), userUpdated({ status: 'asleep' }), userUpdated()])
  refused(t, answer, '422 INVALID_EVENT_DATA', { pointer: '/events/1/eventData/status' })
  t.equal((await get(`/users/${userId}/events`)).data.version, 1)
})

t.test('1,000 events are one append, 1,001 are refused, and none is as well', async (t) => {
  const userId = newUserId()
  const answer = await append(userId, [userCreated(), ...updates(999)])
  t.equal(answer.statusCode, 201)
  t.strictSame(
    answer.data.events.map(({ version }: { version: number }) => version),
    Array.from({ length: 1000 }, (_, i) => i + 1)
  )
  const facts = { in: 'body', pointer: '/events' }
  refused(t, await append(userId, updates(1001)), '400 VALIDATION_FAILED', facts)
  refused(t, await append(userId, []), '400 VALIDATION_FAILED', facts)
  t.equal((await get(`/users/${userId}/state`)).data.version, 1000)
})

t.test('positions follow the order of appends over all users, versions that of each', async (t) => {
  const [one, two] = [newUserId(), newUserId()]
  const placed: { version: number; position: number }[] = []
  for (const [userId, event] of [
    [one, userCreated()],
    [two, userCreated()],
    [one, userUpdated()],
    [two, userUpdated()]
  ] as const) {
    placed.push((await append(userId, [event])).data.events[0])
  }
  const start = placed[0]!.position
  t.strictSame(
    placed.map(({ position }) => position),
    [start, start + 1, start + 2, start + 3]
  )
  t.strictSame(
    placed.map(({ version }) => version),
    [1, 1, 2, 2]
  )
})

t.test('two appends at one version at the same time: one is stored, the other is told the new version', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  const answers = await Promise.all([1, 2].map(() => append(userId, [userUpdated()], { expectedVersion: 1 })))
  const [won, lost] = answers.sort((a, b) => a.statusCode - b.statusCode)
  t.equal(won!.statusCode, 201)
  refused(t, lost!, '409 VERSION_CONFLICT', { currentVersion: 2, expectedVersion: 1 })
})

t.test('types in the body are not coerced, and what the contract does not know is refused', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  const event = userUpdated()
  const bodies: [body: unknown, pointer: string][] = [
    [{ expectedVersion: '1', events: [event] }, '/expectedVersion'],
    [{ expectedVersion: 1.5, events: [event] }, '/expectedVersion'],
    [{ expectedVersion: -1, events: [event] }, '/expectedVersion'],
    [{ expectedVersion: 2 ** 31, events: [event] }, '/expectedVersion'],
    [{ expectedVersion: null, events: [event] }, '/expectedVersion'],
    [{ expectedVersion: 'some', events: [event] }, '/expectedVersion'],
    [{ events: event }, '/events'],
    [{ events: [event], dryRun: true }, '/dryRun'],
    [{}, '/events'],
    [{ events: [{ ...event, version: 2 }] }, '/events/0/version'],
    [{ events: [{ ...event, schemaVersion: '1' }] }, '/events/0/schemaVersion'],
    [{ events: [{ ...event, schemaVersion: 0 }] }, '/events/0/schemaVersion'],
    [{ events: [{ ...event, id: 'first' }] }, '/events/0/id'],
    [{ events: [{ ...event, id: 7 }] }, '/events/0/id'],
    [{ events: [{ ...event, metadata: 'none' }] }, '/events/0/metadata'],
    [{ events: [{ ...event, metadata: [] }] }, '/events/0/metadata'],
    [{ events: [{ ...event, occurredAt: 0 }] }, '/events/0/occurredAt'],
    [{ events: [{ ...event, occurredAt: 'yesterday' }] }, '/events/0/occurredAt'],
    [{ events: [{ eventType: 'UserUpdated' }] }, '/events/0/eventData'],
    [{ events: [{ ...event, eventData: [] }] }, '/events/0/eventData'],
    [{ events: [{ ...event, eventData: null }] }, '/events/0/eventData'],
    [{ events: [{ eventData: {} }] }, '/events/0/eventType'],
    [{ events: [{ ...event, eventType: '' }] }, '/events/0/eventType'],
    [{ events: [{ ...event, eventType: 'x'.repeat(101) }] }, '/events/0/eventType']
  ]
  for (const [payload, pointer] of bodies) {
    const answer = await ask({ method: 'POST', url: `/users/${userId}/events`, payload: payload as object })
    t.hasStrict(
      { status: answer.statusCode, ...answer.data },
      { status: 400, code: 'VALIDATION_FAILED', in: 'body', pointer },
      pointer
    )
  }
  t.equal((await get(`/users/${userId}/state`)).data.version, 1)
})

t.test('a user id that is not a UUID is refused, and its case does not matter', async (t) => {
  for (const id of ['7', 'ada', `urn:uuid:${newUserId()}`, `${newUserId()}0`, newUserId().replaceAll('-', '')]) {
    refused(t, await append(id, [userCreated()]), '400 VALIDATION_FAILED', { in: 'params', pointer: '/userId' })
  }
  const userId = newUserId()
  const created = await append(userId.toUpperCase(), [userCreated()])
  t.equal(created.data.userId, userId)
  t.equal(created.headers.location, `/users/${userId}/events/1`)
  t.equal((await get(`/users/${userId.toUpperCase()}/state`)).data.state.id, userId)
})
