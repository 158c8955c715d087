/** A retry is safe for ever: ids of events, and keys that make them. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { newUserId, updates, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { type Answer, testService } from '../support/service.js'

const { append, get } = await testService(t)

const withId = <E extends object>(event: E, id: string = randomUUID()) => ({ id, ...event })
const idsOf = ({ data }: Answer): string[] => data.events.map(({ id }: { id: string }) => id)
const versionOf = async (userId: string): Promise<number> => (await get(`/users/${userId}/state`)).data.version

t.test('the same request again answers with what was stored first, whatever it expects', async (t) => {
  const userId = newUserId()
  const events = [
    withId(userCreated()),
    { ...withId(userUpdated()), metadata: { a: 1 }, occurredAt: '2026-01-01T00:00:00Z' }
  ]
  const first = await append(userId, events, { expectedVersion: 'none' })
  t.strictSame(
    idsOf(first),
    events.map(({ id }) => id)
  )
  await append(userId, [...updates(3), userDeleted()])
  for (const expectedVersion of [undefined, 'any', 'none', 'exists', 0, 1, 2, 6, 99]) {
    const again = await append(userId, events, expectedVersion === undefined ? {} : { expectedVersion })
    t.equal(again.statusCode, 200, `expected ${expectedVersion}`)
    t.strictSame(again.data, { ...first.data, duplicate: true })
    t.equal(again.headers.etag, first.headers.etag)
    t.equal(again.headers.location, first.headers.location)
  }
  const headers = { 'if-none-match': '*' }
  t.equal((await append(userId, events, { headers })).statusCode, 200)
  t.equal(await versionOf(userId), 6)
})

t.test('equal content is the same however it is written', async (t) => {
  const userId = newUserId()
  const id = randomUUID()
  await append(userId, [userCreated()])
  const eventData = { fullName: 'Ada', attributes: { a: 100, b: { c: 1, d: 2 } } }
  await append(userId, [{ id, eventType: 'UserUpdated', eventData, occurredAt: '2026-01-01T10:00:00.123456Z' }])
  const sameData = { attributes: { b: { d: 2, c: 1 }, a: 1e2 }, fullName: 'Ada' }
  const again = { id, eventType: 'UserUpdated', eventData: sameData, occurredAt: '2026-01-01T12:00:00.123+02:00' }
  t.equal((await append(userId, [again])).statusCode, 200)
  t.equal((await append(userId, [{ ...again, schemaVersion: 1 }])).statusCode, 200)
})

t.test('an id in upper case is the id in lower case', async (t) => {
  const userId = newUserId()
  const id = randomUUID()
  await append(userId, [withId(userCreated(), id)])
  const again = await append(userId, [withId(userCreated(), id.toUpperCase())])
  t.equal(again.statusCode, 200)
  t.strictSame(idsOf(again), [id])
})

t.test('the same id with other content is refused', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  const original = {
    ...withId(userUpdated()),
    metadata: { correlationId: 'a' },
    occurredAt: '2026-01-01T00:00:00.000Z'
  }
  await append(userId, [original])
  const { metadata: _, ...withoutMetadata } = original
  const { occurredAt: __, ...withoutMoment } = original
  const others: [what: string, event: object][] = [
    ['other data', { ...original, eventData: { fullName: 'Eve' } }],
    ['more data', { ...original, eventData: { ...original.eventData, phone: '1' } }],
    ['another type', { ...original, eventType: 'AccountUnlocked', eventData: { unlockedBy: 'support' } }],
    ['other metadata', { ...original, metadata: { correlationId: 'b' } }],
    ['no metadata', withoutMetadata],
    ['another moment', { ...original, occurredAt: '2026-01-01T00:00:00.001Z' }],
    ['no moment', withoutMoment]
  ]
  for (const [what, event] of others) {
    t.equal(verdict(await append(userId, [event])), '409 EVENT_ID_REUSED', what)
  }
  refused(t, await append(userId, [withoutMoment]), '409 EVENT_ID_REUSED', {
    eventIds: [original.id],
    currentVersion: 2
  })
  t.equal(await versionOf(userId), 2)
})

t.test('a request of which only some ids are stored is refused, and stores none', async (t) => {
  const userId = newUserId()
  const [a, b, c, d] = [withId(userCreated()), ...updates(3).map((event) => withId(event))] as [
    object,
    object,
    object,
    object
  ]
  await append(userId, [a, b, c])
  const requests: [what: string, events: object[]][] = [
    ['old before new', [b, c, d]],
    ['new before old', [d, b, c]],
    ['with one without an id', [b, c, userUpdated()]],
    ['in another order', [c, b]],
    ['with one left out', [a, c]]
  ]
  for (const [what, events] of requests) {
    t.equal(verdict(await append(userId, events)), '409 EVENT_ID_REUSED', what)
  }
  t.equal(await versionOf(userId), 3)
})

t.test('part of a stored request, complete and in order, is a duplicate of that part', async (t) => {
  const userId = newUserId()
  const events = [withId(userCreated()), ...updates(3).map((event) => withId(event))]
  await append(userId, events)
  const part = await append(userId, events.slice(1, 3))
  t.equal(part.statusCode, 200)
  t.hasStrict(part.data, { version: 3, duplicate: true })
})

t.test('an id belongs to its user: another user may have the same', async (t) => {
  const event = withId(userCreated())
  t.equal((await append(newUserId(), [event])).statusCode, 201)
  t.equal((await append(newUserId(), [event])).statusCode, 201)
})

t.test('an id twice in one request is refused, also in another case', async (t) => {
  const userId = newUserId()
  const id = 'abcdef00-0000-4000-8000-000000000001'
  for (const second of [id, id.toUpperCase()]) {
    const answer = await append(userId, [withId(userCreated(), id), withId(userUpdated(), second)])
    refused(t, answer, '422 DUPLICATE_EVENT_ID', { pointer: '/events/1/id' })
  }
  t.equal((await get(`/users/${userId}/state`)).statusCode, 404)
})

t.test('an Idempotency-Key makes a repetition without ids a duplicate', async (t) => {
  const userId = newUserId()
  const headers = { 'idempotency-key': 'order 17/ü' }
  const events = [userCreated(), userUpdated()]
  const first = await append(userId, events, { headers })
  t.equal(first.statusCode, 201)
  t.not(idsOf(first)[0], idsOf(first)[1])
  const again = await append(userId, events, { headers })
  t.equal(again.statusCode, 200)
  t.strictSame(again.data, { ...first.data, duplicate: true })
  t.equal((await append(userId.toUpperCase(), events, { headers })).statusCode, 200)
  refused(t, await append(userId, [userCreated('eve'), userUpdated()], { headers }), '409 EVENT_ID_REUSED', {
    eventIds: idsOf(first)
  })
  refused(t, await append(userId, [...events, userUpdated()], { headers }), '409 EVENT_ID_REUSED')
  t.equal((await append(userId, [userUpdated()], { headers: { 'idempotency-key': 'order 18' } })).statusCode, 201)
  t.equal(await versionOf(userId), 3)
})

t.test('one key means something else for another user and in another tenant', async (t) => {
  const headers = { 'idempotency-key': 'shared' }
  const userId = newUserId()
  const [mine, theirs] = [
    await append(userId, [userCreated()], { headers }),
    await append(newUserId(), [userCreated()], { headers })
  ]
  const tenant = { 'x-tenant-id': randomUUID() }
  const elsewhere = await append(newUserId(), [userCreated()], { headers: { ...headers, ...tenant } })
  t.strictSame([mine.statusCode, theirs.statusCode, elsewhere.statusCode], [201, 201, 201])
  t.equal(new Set([mine, theirs, elsewhere].flatMap(idsOf)).size, 3)
  const taken = await append(userId, [userCreated()], { headers: { ...headers, ...tenant } })
  refused(t, taken, '409 USER_ID_TAKEN')
})

t.test('events with and without ids under one key are repeated as one', async (t) => {
  const userId = newUserId()
  const headers = { 'idempotency-key': 'mixed' }
  const events = [userCreated(), withId(userUpdated()), userUpdated({ phone: '1' })]
  const first = await append(userId, events, { headers })
  const again = await append(userId, events, { headers })
  t.equal(again.statusCode, 200)
  t.strictSame(again.data, { ...first.data, duplicate: true })
  t.equal(idsOf(first)[1], (events[1] as unknown as { id: string }).id)
  const withAllIds = events.map((event, i) => withId(event, idsOf(first)[i]))
  t.equal((await append(userId, withAllIds)).statusCode, 200, 'the ids of the answer work without the key')
})

t.test('a key has 1 to 255 characters', async (t) => {
  const userId = newUserId()
  const send = (key: string) => append(userId, [userCreated()], { headers: { 'idempotency-key': key } })
  const facts = { in: 'headers', pointer: '/idempotency-key' }
  refused(t, await send(''), '400 VALIDATION_FAILED', facts)
  refused(t, await send('k'.repeat(256)), '400 VALIDATION_FAILED', facts)
  t.equal((await send('k'.repeat(255))).statusCode, 201)
})
