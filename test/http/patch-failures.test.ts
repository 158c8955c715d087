/** Stored events that a registered patch does not fit: every read goes on, the event shows as it was stored, and it is counted. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { newUserId, userCreated } from '../support/events.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const service = await testService(t)

/** A service on a busy machine may say that it is too busy; then it did nothing. */
async function patiently<T extends { statusCode: number }>(ask: () => Promise<T>): Promise<T> {
  let answer = await ask()
  await until(async () => {
    if (answer.statusCode === 503) answer = await ask()
    return answer.statusCode !== 503
  })
  return answer
}

/** Asks as a tenant of its own. */
function asTenant() {
  const headers = { 'x-tenant-id': randomUUID() }
  return {
    put: (path: string, payload: object) =>
      service.ask({ method: 'PUT', url: `/event-types/${path}`, payload, headers }),
    append: (userId: string, events: object[]) => patiently(() => service.append(userId, events, { headers })),
    get: (url: string) => patiently(() => service.get(url, headers)),
    verify: (userId: string) => service.ask({ method: 'POST', url: `/admin/users/${userId}/verify`, headers })
  }
}

/** How often a patch of a type failed since the service started. */
async function failures(eventType: string, patch: string): Promise<number> {
  const { body } = await service.get('/metrics')
  const found = body.match(
    new RegExp(`^event_patch_failures_total\\{event_type="${eventType}",patch="${patch}"\\} (\\d+)$`, 'm')
  )
  return Number(found?.[1] ?? 0)
}

const ndjson = (body: string) =>
  body
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

t.test('an event that cannot be lifted is read as it was stored on every path, and changes no state', async (t) => {
  const { put, append, get, verify } = asTenant()
  const text = { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] }
  const effect = { kind: 'merge', namespace: 'note' }
  t.equal((await put('Noted/versions/1', { schema: text, effect })).statusCode, 201)
  const userId = newUserId()
  // Each copy alone is small enough to be written, but not both together.
  const long = 'x'.repeat(40_000)
  const noted = (text: string) => ({ eventType: 'Noted', eventData: { text } })
  t.equal((await append(userId, [userCreated(), noted('first'), noted(long)])).statusCode, 201)
  const upcast = ['b', 'c'].map((name) => ({ op: 'copy', from: '/text', path: `/${name}` }))
  t.equal((await put('Noted/versions/2', { schema: text, upcast, effect })).statusCode, 201)

  const expected = [
    [2, 'first'],
    [1, long]
  ]
  const shown = (events: any[]) =>
    events.filter((event) => event.eventType === 'Noted').map((event) => [event.schemaVersion, event.eventData.text])
  t.strictSame(shown((await get(`/users/${userId}/events`)).data.events), expected, 'history')
  t.match((await get(`/users/${userId}/events/3`)).data, { schemaVersion: 1, eventData: { text: long } }, 'one event')
  t.strictSame(shown((await get('/events')).data.events), expected, 'feed')
  t.strictSame(shown(ndjson((await get('/events/export')).body)), expected, 'export')
  const { state, version } = (await get(`/users/${userId}/state`)).data
  t.strictSame(
    { version, note: state.attributes.note },
    { version: 3, note: { text: 'first', b: 'first', c: 'first' } }
  )
  t.match((await verify(userId)).data, { correct: true, version: 3 })
  t.ok((await failures('Noted', 'upcast')) >= 5)
})

t.test('a patch that doubles the state with every event ends at its bounds, and the service goes on', async (t) => {
  const { put, append, get } = asTenant()
  const operations = [{ op: 'copy', from: '/attributes', path: '/attributes/again' }]
  const schema = { type: 'object' }
  t.equal((await put('Doubled/versions/1', { schema, effect: { kind: 'patch', operations } })).statusCode, 201)
  const userId = newUserId()
  const doubled = Array.from({ length: 200 }, () => ({ eventType: 'Doubled', eventData: {} }))
  await append(userId, [userCreated('ada', { attributes: { text: 'x'.repeat(1000) } }), ...doubled])
  const answer = await get(`/users/${userId}/state`)
  t.equal(answer.statusCode, 200)
  t.equal(answer.data.version, 201)
  t.ok(answer.body.length < 200_000, `${answer.body.length} bytes`)
  t.ok((await failures('Doubled', 'effect')) > 100)
})

t.test('a patch that wraps a value once more with every event ends at its bounds', async (t) => {
  const { put, append, get } = asTenant()
  const operations = [
    { op: 'add', path: '/attributes/wrapped', value: {} },
    { op: 'move', from: '/attributes/x', path: '/attributes/wrapped/x' },
    { op: 'move', from: '/attributes/wrapped', path: '/attributes/x' }
  ]
  await put('Wrapped/versions/1', { schema: { type: 'object' }, effect: { kind: 'patch', operations } })
  const userId = newUserId()
  const wrapped = Array.from({ length: 200 }, () => ({ eventType: 'Wrapped', eventData: {} }))
  await append(userId, [userCreated('ada', { attributes: { x: 1 } }), ...wrapped])
  const { body, statusCode } = await get(`/users/${userId}/state`)
  t.equal(statusCode, 200)
  t.ok(body.split('"x":').length < 70, 'no deeper than patches may nest')
})

t.test('fields of the event that an effect names very often do not add up without bound', async (t) => {
  const { put, append, get } = asTenant()
  const value = Array.from({ length: 10_000 }, () => ({ $event: '/eventData' }))
  const operations = [{ op: 'add', path: '/attributes/many', value }]
  await put('Many/versions/1', { schema: { type: 'object' }, effect: { kind: 'patch', operations } })
  const userId = newUserId()
  await append(userId, [userCreated(), { eventType: 'Many', eventData: { text: 'x'.repeat(50_000) } }])
  const { data } = await get(`/users/${userId}/state`)
  t.strictSame({ version: data.version, attributes: data.state.attributes }, { version: 2, attributes: {} })
})

t.test('a test of a field that the event lacks has failed, and is nothing to count', async (t) => {
  const { put, append, get } = asTenant()
  const schema = { type: 'object', properties: { phone: { type: 'string' } } }
  const operations = [
    { op: 'test', path: '/phone', value: { $event: '/eventData/phone' } },
    { op: 'add', path: '/attributes/confirmed', value: true }
  ]
  await put('Confirmed/versions/1', { schema, effect: { kind: 'patch', operations } })
  const confirmed = async (eventData: object) => {
    const userId = newUserId()
    await append(userId, [userCreated('ada', { phone: '1' }), { eventType: 'Confirmed', eventData }])
    return (await get(`/users/${userId}/state`)).data.state.attributes.confirmed ?? false
  }
  t.equal(await confirmed({ phone: '1' }), true)
  t.equal(await confirmed({ phone: '2' }), false)
  t.equal(await confirmed({}), false)
  t.equal(await failures('Confirmed', 'effect'), 0)
})
