/** The order in which events may follow each other, which schema version they get, and when they happened. */
import t from 'tap'
import { newUserId, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { refused } from '../support/problem.js'
import { testService } from '../support/service.js'

const { append, get } = await testService(t)

t.test('the first event of a user is UserCreated', async (t) => {
  const userId = newUserId()
  refused(t, await append(userId, [userUpdated(), userUpdated()]), '422 USER_NOT_CREATED', { currentVersion: 0 })
  refused(t, await append(userId, [userDeleted()]), '422 USER_NOT_CREATED')
  t.equal((await append(userId, [userCreated()])).statusCode, 201)
})

t.test('UserCreated is nothing but the first, also within one request', async (t) => {
  const userId = newUserId()
  const pointer = '/events/1'
  refused(t, await append(userId, [userCreated(), userCreated()]), '422 USER_ALREADY_CREATED', { pointer })
  refused(t, await append(userId, [userUpdated(), userCreated()]), '422 USER_ALREADY_CREATED', { pointer })
  await append(userId, [userCreated()])
  refused(t, await append(userId, [userCreated()]), '422 USER_ALREADY_CREATED', { currentVersion: 1 })
})

t.test('nothing follows UserDeleted, also within one request', async (t) => {
  const userId = newUserId()
  const early = await append(userId, [userCreated(), userDeleted(), userUpdated()])
  refused(t, early, '422 USER_DELETED', { pointer: '/events/2' })
  refused(t, await append(userId, [userCreated(), userDeleted(), userDeleted()]), '422 USER_DELETED')
  t.equal((await append(userId, [userCreated(), userDeleted()])).statusCode, 201)
  for (const event of [userUpdated(), userDeleted(), userCreated()]) {
    refused(t, await append(userId, [event]), '422 USER_DELETED', { currentVersion: 2 })
  }
  const { data } = await get(`/users/${userId}/state`)
  t.hasStrict(data, { version: 2, state: { status: 'deleted', deletedAt: data.asOf } })
})

t.test('a type that is not known is refused, also those that every object has', async (t) => {
  for (const eventType of ['UserRenamed', 'usercreated', 'toString', '__proto__', 'UserCreated ']) {
    const answer = await append(newUserId(), [{ eventType, eventData: {} }])
    refused(t, answer, '422 UNKNOWN_EVENT_TYPE', { pointer: '/events/0/eventType' })
  }
})

t.test('a schema version may be named, and the answer names the one that was stored', async (t) => {
  const userId = newUserId()
  const named = await append(userId, [{ ...userCreated(), schemaVersion: 1 }, userUpdated()])
  t.hasStrict(named.data.events, [{ schemaVersion: 1 }, { schemaVersion: 1 }])
  refused(t, await append(userId, [{ ...userUpdated(), schemaVersion: 2 }]), '422 UNKNOWN_SCHEMA_VERSION', {
    pointer: '/events/0/schemaVersion',
    newestSchemaVersion: 1
  })
  const { data } = await get(`/users/${userId}/events/1?upcast=false`)
  t.hasStrict(data, { schemaVersion: 1, eventData: userCreated().eventData })
})

t.test('occurredAt is kept in UTC, cut off at milliseconds and not rounded', async (t) => {
  const rows: [sent: string, shown: string][] = [
    ['2026-11-22T08:00:00Z', '2026-11-22T08:00:00.000Z'],
    ['2026-11-22T08:00:00.1239999Z', '2026-11-22T08:00:00.123Z'],
    ['2026-11-22T08:00:00.999999999Z', '2026-11-22T08:00:00.999Z'],
    ['2026-11-22T01:30:00.5+05:30', '2026-11-21T20:00:00.500Z'],
    ['2024-02-29T23:59:59-01:00', '2024-03-01T00:59:59.000Z'],
    ['1969-12-31T23:59:59.9999Z', '1969-12-31T23:59:59.999Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z']
  ]
  const userId = newUserId()
  const events = rows.map(([occurredAt], i) => ({ ...(i === 0 ? userCreated() : userUpdated()), occurredAt }))
  t.equal((await append(userId, events)).statusCode, 201)
  const { data } = await get(`/users/${userId}/events`)
  t.strictSame(
    data.events.map(({ occurredAt }: { occurredAt: string }) => occurredAt),
    rows.map(([, shown]) => shown)
  )
})

t.test('moments that do not exist, or that the database cannot hold, are refused', async (t) => {
  const userId = newUserId()
  const malformed = [
    '2026-02-30T00:00:00Z',
    '2025-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:60:00Z',
    '2026-01-01T00:00:00',
    '2026-01-01',
    '+12026-01-01T00:00:00Z'
  ]
  for (const occurredAt of malformed) {
    const answer = await append(userId, [{ ...userCreated(), occurredAt }])
    t.equal(answer.statusCode, 400, occurredAt)
    t.hasStrict(answer.data, { code: 'VALIDATION_FAILED', pointer: '/events/0/occurredAt' })
  }
  for (const occurredAt of [
    '2016-12-31T23:59:60Z',
    '0000-01-01T00:00:00Z',
    '0001-01-01T00:00:00+01:00',
    '9999-12-31T23:59:59-01:00'
  ]) {
    const answer = await append(userId, [{ ...userCreated(), occurredAt }])
    t.equal(answer.statusCode, 422, occurredAt)
    t.hasStrict(answer.data, { code: 'INVALID_EVENT_DATA', pointer: '/events/0/occurredAt' })
  }
  refused(t, await get(`/users/${userId}/state`), '404 USER_NOT_FOUND')
})
