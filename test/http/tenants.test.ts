/** A user of another tenant is, on every route, a user that does not exist. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { type Answer, testService } from '../support/service.js'

const { append, ask, get, database } = await testService(t)

const tenant = () => ({ 'x-tenant-id': randomUUID() })

/** An answer without what names the request. */
const comparable = ({ statusCode, data }: Answer, userId: string) =>
  JSON.parse(JSON.stringify({ statusCode, data }).replaceAll(userId, '<user>'))

const routes: [method: 'GET' | 'POST' | 'DELETE', path: string, payload?: object][] = [
  ['GET', '/users/:id/events'],
  ['GET', '/users/:id/events?eventType=UserCreated&limit=1'],
  ['GET', '/users/:id/events/1'],
  ['GET', '/users/:id/events/99'],
  ['GET', '/users/:id/state'],
  ['GET', '/users/:id/state?version=1'],
  ['GET', '/users/:id/state?version=99'],
  ['GET', '/users/:id/state?at=2000-01-01T00:00:00Z'],
  ['GET', '/users/:id/state?at=2100-01-01T00:00:00Z'],
  ['GET', '/users/:id/state?useSnapshot=false'],
  ['GET', '/users/:id/diff?fromVersion=0&toVersion=1'],
  ['GET', '/users/:id/diff?fromVersion=0&toVersion=0'],
  ['GET', '/users/:id/snapshots'],
  ['GET', '/users/:id/snapshots/latest'],
  ['POST', '/admin/users/:id/snapshots', {}],
  ['POST', '/admin/users/:id/snapshots/cleanup', { retain: 0 }],
  ['DELETE', '/admin/users/:id/snapshots']
]

t.test("another tenant's user answers exactly as a missing one does, on every route", async (t) => {
  const [owner, stranger] = [tenant(), tenant()]
  const [theirs, missing] = [newUserId(), newUserId()]
  await append(theirs, [userCreated(), userUpdated()], { headers: owner })
  await ask({ method: 'POST', url: `/admin/users/${theirs}/snapshots`, headers: owner })
  for (const accept of ['application/json', 'application/x-ndjson']) {
    for (const [method, path, payload] of routes) {
      for (const headers of [stranger, {}]) {
        const answers = await Promise.all(
          [theirs, missing].map((id) =>
            ask({
              method,
              url: path.replace(':id', id),
              headers: { ...headers, accept },
              ...(payload ? { payload } : {})
            })
          )
        )
        t.equal(verdict(answers[0]!), '404 USER_NOT_FOUND', `${method} ${path}`)
        t.strictSame(comparable(answers[0]!, theirs), comparable(answers[1]!, missing))
      }
    }
  }
  const { data } = await get(`/users/${theirs}/snapshots`, owner)
  t.equal(data.snapshots.length, 1, 'and the snapshot of the owner is still there')
})

t.test(
  "an append to another tenant's user is refused as one to a missing user, and a creation says that the id is taken",
  async (t) => {
    const [owner, stranger] = [tenant(), tenant()]
    const [theirs, missing] = [newUserId(), newUserId()]
    const id = randomUUID()
    await append(theirs, [{ ...userCreated(), id }], { headers: owner })
    const requests: [events: object[], expectedVersion: number | string | undefined, expected: string][] = [
      [[userUpdated()], undefined, '422 USER_NOT_CREATED'],
      [[userUpdated()], 'exists', '409 VERSION_CONFLICT'],
      [[userUpdated()], 1, '409 VERSION_CONFLICT'],
      [[userCreated()], 1, '409 VERSION_CONFLICT'],
      [[{ ...userUpdated(), id }], undefined, '422 USER_NOT_CREATED']
    ]
    for (const [events, expectedVersion, expected] of requests) {
      const options = { headers: stranger, ...(expectedVersion === undefined ? {} : { expectedVersion }) }
      const [toTheirs, toMissing] = [await append(theirs, events, options), await append(missing, events, options)]
      t.equal(verdict(toTheirs), expected)
      t.strictSame(comparable(toTheirs, theirs), comparable(toMissing, missing), 'also currentVersion tells nothing')
    }
    for (const event of [userCreated(), { ...userCreated(), id }]) {
      for (const expectedVersion of [undefined, 'none', 0, 'any']) {
        const options = { headers: stranger, ...(expectedVersion === undefined ? {} : { expectedVersion }) }
        refused(t, await append(theirs, [event], options), '409 USER_ID_TAKEN')
      }
    }
    const [row] = await database.run<{ n: number }>(
      `SELECT count(*)::integer AS n FROM user_events WHERE "aggregateId" = '${theirs}'`
    )
    t.equal(row!.n, 1)
  }
)

t.test('without a header the tenant is the nil UUID; the case of a header does not matter', async (t) => {
  const nil = { 'x-tenant-id': '00000000-0000-0000-0000-000000000000' }
  const userId = newUserId()
  await append(userId, [userCreated()])
  t.equal((await get(`/users/${userId}/state`, nil)).data.state.tenantId, nil['x-tenant-id'])
  const [other, headers] = [newUserId(), { 'x-tenant-id': 'abcdef00-0000-4000-8000-000000000001' }]
  await append(other, [userCreated()], { headers })
  const upper = { 'x-tenant-id': headers['x-tenant-id'].toUpperCase() }
  t.equal((await get(`/users/${other}/state`, upper)).data.state.tenantId, headers['x-tenant-id'])
  t.equal((await get(`/users/${other}/events`, upper)).data.events[0].tenantId, headers['x-tenant-id'])
})

t.test('a tenant that is not a UUID is refused', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  for (const value of ['acme', '', '0', `${randomUUID()}, ${randomUUID()}`]) {
    const answer = await get(`/users/${userId}/state`, { 'x-tenant-id': value })
    refused(t, answer, '400 VALIDATION_FAILED', { in: 'headers', pointer: '/x-tenant-id' })
  }
})
