/** GET /events/export: which events come, in which order and form. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { loggedIn, newUserId, updates, userCreated } from '../support/events.js'
import { refused } from '../support/problem.js'
import { type Answer, testService } from '../support/service.js'

type Line = { aggregateId: string; version: number; position: number; eventType: string; schemaVersion: number }

const service = await testService(t)
const { append, ask, get, post } = service
const linesOf = ({ body }: Answer): Line[] =>
  body
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))

const [ada, bob] = [newUserId(), newUserId()]
await append(ada, [userCreated('ada'), loggedIn()])
await append(bob, [userCreated('bob')])
await append(ada, updates(2))
const tenant = { 'x-tenant-id': randomUUID() }
await append(newUserId(), [userCreated()], { headers: tenant })

t.test('the log of the tenant, an event a line in the order of positions', async (t) => {
  const answer = await get('/events/export')
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers['content-type'], 'application/x-ndjson')
  t.ok(answer.headers['x-request-id'])
  t.strictSame(
    linesOf(answer).map(({ aggregateId, version, position }) => [aggregateId, version, position]),
    [
      [ada, 1, 1],
      [ada, 2, 2],
      [bob, 1, 3],
      [ada, 3, 4],
      [ada, 4, 5]
    ]
  )
  t.strictSame(linesOf(answer)[0], (await get(`/users/${ada}/events/1`)).data, 'lines are events as elsewhere')
  t.equal(linesOf(await get('/events/export', tenant)).length, 1)
  t.equal(linesOf(await get('/events/export', { 'x-tenant-id': randomUUID() })).length, 0)
})

t.test('a selection', async (t) => {
  const all = linesOf(await get('/events/export')) as (Line & { createdAt: string })[]
  const selected = async (query: string) =>
    linesOf(await get(`/events/export?${query}`)).map(({ position }) => position)
  t.strictSame(await selected('eventType=UserCreated'), [1, 3])
  t.strictSame(await selected('eventType=UserCreated&eventType=LoginInfoUpdated'), [1, 2, 3])
  t.strictSame(await selected('eventType=Danced'), [])
  t.strictSame(await selected(`userId=${bob.toUpperCase()}`), [3])
  t.strictSame(await selected(`userId=${newUserId()}`), [])
  const at = all[3]!.createdAt
  const after = (event: { createdAt: string }) => event.createdAt >= at
  t.strictSame(
    await selected(`from=${at}`),
    all.filter(after).map(({ position }) => position),
    'from is inclusive'
  )
  t.strictSame(
    await selected(`to=${at}`),
    all.filter((event) => !after(event)).map(({ position }) => position),
    'to is exclusive'
  )
})

t.test('data at the newest schema version, or as it was stored', async (t) => {
  t.equal(linesOf(await get('/events/export'))[0]!.schemaVersion, 2)
  t.equal(linesOf(await get('/events/export?upcast=false'))[0]!.schemaVersion, 1)
  const definition = (more: object) => ({ schema: { type: 'object' }, effect: { kind: 'none' }, ...more })
  const put = (version: number, payload: object) =>
    ask({ method: 'PUT', url: `/event-types/Moved/versions/${version}`, payload })
  await put(1, definition({}))
  await append(bob, [{ eventType: 'Moved', eventData: { city: 'Bath' } }])
  t.equal((await put(2, definition({ upcast: [{ op: 'add', path: '/country', value: 'UK' }] }))).statusCode, 201)
  const moved = async (upcast: boolean) =>
    linesOf(await get(`/events/export?eventType=Moved&upcast=${upcast}`)).map((line) => line as object)
  t.hasStrict(await moved(true), [{ schemaVersion: 2, eventData: { city: 'Bath', country: 'UK' } }])
  t.hasStrict(await moved(false), [{ schemaVersion: 1, eventData: { city: 'Bath' } }])
})

t.test('what does not fit the contract is refused', async (t) => {
  refused(t, await get('/events/export?userId=x'), '400 VALIDATION_FAILED')
  refused(t, await get('/events/export?limit=1'), '400 VALIDATION_FAILED')
  refused(t, await get('/events/export?from=2024-02-30T00:00:00Z'), '400 VALIDATION_FAILED')
  refused(t, await get('/events/export?to=2024-06-30T23:59:60Z'), '400 MOMENT_INVALID')
  refused(t, await post('/events/export'), '405 METHOD_NOT_ALLOWED')
  const head = await ask({ method: 'HEAD', url: '/events/export' })
  t.equal(head.statusCode, 200)
  t.equal(head.body, '')
})

t.test('more events than a page: all, once, in order', async (t) => {
  const many = newUserId()
  await append(many, [userCreated(), ...updates(999)])
  const versions = linesOf(await get(`/events/export?userId=${many}`)).map(({ version }) => version)
  t.strictSame(
    versions,
    Array.from({ length: 1000 }, (_, i) => i + 1)
  )
  const positions = linesOf(await get('/events/export')).map(({ position }) => position)
  t.equal(positions.length, 1006)
  t.strictSame(
    positions,
    [...positions].sort((a, b) => a - b)
  )
})
