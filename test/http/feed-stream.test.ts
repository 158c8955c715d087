/** GET /events/stream over real sockets: what is sent, where it begins, how it goes on, when it ends. */
import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { newUserId, updates, userCreated } from '../support/events.js'
import { loseEventsAfter, untilOpen } from '../support/feed.js'
import { refused, verdict } from '../support/problem.js'
import { listen, testService } from '../support/service.js'
import { openStream, positionsOf, range } from '../support/sse.js'
import { until } from '../support/wait.js'

const service = await testService(t, { env: { STREAMS_PER_CLIENT_MAX: '1000' } })
const { append, get, ask } = service
const url = await listen(service)
const ada = newUserId()
await append(ada, [userCreated(), ...updates(4)])
let head = 5

/** Adds events to Ada, and returns the position of the last. */
async function addEvents(count: number): Promise<number> {
  head = (await append(ada, updates(count))).data.events.at(-1).position
  return head
}

const streamFrom = (t: Test, query: string, headers: Record<string, string> = {}) =>
  openStream(t, `${url}/events/stream?${query}`, { headers })

t.test('a stream begins with how soon to come back and a cursor, and nothing is cached or buffered', async (t) => {
  const stream = await streamFrom(t, '', { 'x-request-id': 'mine' })
  t.equal(stream.status, 200)
  t.hasStrict(stream.response.headers, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    'x-request-id': 'mine'
  })
  await until(() => stream.lastId())
  t.match(stream.text(), /^retry: 1000\n: head 5\nid: [\w-]+\n\n$/)
  t.strictSame(stream.events, [])
})

t.test('an event is its cursor and its JSON, as the event is read elsewhere, and of no special kind', async (t) => {
  const stream = await streamFrom(t, 'start=beginning')
  await until(() => stream.events.length === 5)
  t.match(stream.text(), /\n\nid: [\w-]+\ndata: \{"id":.*\}\n\nid: /)
  t.notMatch(stream.text(), /^event:/m)
  for (const { event } of stream.events) {
    t.strictSame(event, (await get(`/users/${ada}/events/${event.version}`)).data)
  }
  t.strictSame(positionsOf(stream), range(1, 5))
})

t.test('without a cursor it begins now: what was there is not sent, what comes is', async (t) => {
  const stream = await streamFrom(t, '')
  await until(() => stream.lastId())
  const before = head
  await addEvents(3)
  await until(() => stream.events.length === 3)
  t.strictSame(positionsOf(stream), range(before + 1, before + 3))
})

t.test('every id is a cursor: a stream and a page go on after it', async (t) => {
  const first = await streamFrom(t, 'start=beginning')
  await until(() => first.events.length === head)
  for (const { id, event } of first.events) {
    const rest = await streamFrom(t, '', { 'last-event-id': id })
    const page = (await get(`/events?after=${id}`)).data
    await until(() => rest.events.length === head - event.position)
    t.strictSame(positionsOf(rest), range(event.position + 1, head))
    t.strictSame(
      page.events,
      rest.events.map((each) => each.event)
    )
    rest.close()
  }
})

t.test('Last-Event-ID wins over the cursor of the query, and both over the start', async (t) => {
  const [second, fourth] = [(await get('/events?limit=2')).data.next, (await get('/events?limit=4')).data.next]
  const stream = await streamFrom(t, `after=${second}&start=beginning`, { 'last-event-id': fourth })
  await until(() => stream.events.length === head - 4)
  t.equal(positionsOf(stream)[0], 5)
  const other = await streamFrom(t, `after=${second}&start=beginning`, { 'last-event-id': '' })
  await until(() => other.events.length === head - 2)
  t.equal(positionsOf(other)[0], 3)
})

t.test('a cursor that was given before the first event goes on there', async (t) => {
  const idle = await streamFrom(t, '')
  const id = await until(() => idle.lastId())
  idle.close()
  const before = head
  await addEvents(2)
  const stream = await streamFrom(t, '', { 'last-event-id': id })
  await until(() => stream.events.length === 2)
  t.strictSame(positionsOf(stream), [before + 1, before + 2])
})

t.test(
  'a stream shows the types, the user and the tenant that were asked for, from the database and as they come',
  async (t) => {
    const tenant = { 'x-tenant-id': randomUUID() }
    const [bob, eve] = [newUserId(), newUserId()]
    const streams = {
      created: await streamFrom(t, 'start=beginning&eventType=UserCreated'),
      ofBob: await streamFrom(t, `start=beginning&userId=${bob.toUpperCase()}`),
      ofTenant: await streamFrom(t, 'start=beginning', tenant),
      all: await streamFrom(t, 'start=beginning')
    }
    await until(() => streams.all.events.length === head)
    await append(bob, [userCreated('bob'), ...updates(1)])
    await append(eve, [userCreated('eve')], { headers: tenant })
    head += 3
    await addEvents(1)
    await until(() => streams.all.events.length === head - 1)
    await until(() => streams.ofTenant.events.length === 1)
    const usersOf = ({ events }: (typeof streams)['all']) => events.map(({ event }) => event.aggregateId)
    t.strictSame(usersOf(streams.created), [ada, bob])
    t.strictSame(usersOf(streams.ofBob), [bob, bob])
    t.strictSame(usersOf(streams.ofTenant), [eve])
    t.notOk(usersOf(streams.all).includes(eve))
  }
)

t.test('HEAD has the headers and ends', async (t) => {
  const stream = await openStream(t, `${url}/events/stream`, { method: 'HEAD' })
  t.equal(stream.status, 200)
  t.equal(stream.response.headers['content-type'], 'text/event-stream')
  await stream.ended
  t.equal(stream.text(), '')
})

t.test('what cannot be streamed is refused with a problem', async (t) => {
  const answer = (query: string, headers: Record<string, string> = {}) =>
    ask({ method: 'GET', url: `/events/stream?${query}`, headers })
  refused(t, await answer('start=later'), '400 VALIDATION_FAILED')
  refused(t, await answer('limit=5'), '400 VALIDATION_FAILED')
  refused(t, await answer('after=x'), '400 CURSOR_MALFORMED')
  refused(t, await answer('', { 'last-event-id': 'x' }), '400 CURSOR_MALFORMED')
  const other = await testService(t)
  await other.database.run('UPDATE store_identity SET id = gen_random_uuid()')
  const stranger = await testService(t, { database: other.database })
  const { next } = (await stranger.get('/events')).data
  refused(t, await answer('', { 'last-event-id': next }), '410 CURSOR_INVALID')
})

t.test('a client has its share of streams, all have theirs, and what is closed is free again', async (t) => {
  const small = await testService(t, { env: { STREAMS_MAX: '3', STREAMS_PER_CLIENT_MAX: '2' } })
  const address = await listen(small)
  const open = (localAddress: string, path = '/events/stream') => openStream(t, `${address}${path}`, { localAddress })
  const [first] = [await open('127.0.0.1'), await open('127.0.0.1')]
  const refusal = await open('127.0.0.1')
  await refusal.ended
  t.match(JSON.parse(refusal.text()), { status: 429, code: 'TOO_MANY_STREAMS' })
  t.equal(refusal.response.headers['retry-after'], '1')
  t.equal((await open('127.0.0.1', '/events?waitMs=1')).status, 429, 'a read that waits is as open as a stream')
  t.equal((await open('127.0.0.1', '/events')).status, 200, 'one that does not wait is not')

  t.equal((await open('127.0.0.2')).status, 200)
  const full = await open('127.0.0.2')
  await full.ended
  t.match(JSON.parse(full.text()), { status: 503, code: 'OVERLOADED' })
  t.equal(full.response.headers['retry-after'], '1')

  await untilOpen(small.get, 3)
  first.close()
  const again = await until(async () => {
    const stream = await open('127.0.0.2')
    return stream.status === 200 ? stream : null
  })
  t.equal(again.status, 200)
  await untilOpen(small.get, 3)
})

t.test('a shutdown ends streams and answers waiting reads at once', async (t) => {
  const leaving = await testService(t)
  const address = await listen(leaving)
  const stream = await openStream(t, `${address}/events/stream`)
  await until(() => stream.lastId())
  const waiting = fetch(`${address}/events?waitMs=30000`)
  await untilOpen(leaving.get, 2)
  const startedAt = performance.now()
  const stopped = leaving.service.stop()
  t.match(await (await waiting).json(), { events: [], head: 0, position: 0 })
  await stream.ended
  await stopped
  const ms = performance.now() - startedAt
  t.ok(ms < 6000, `${Math.round(ms)} ms`)
})

t.test('a stream that goes on after a restart of the service misses and repeats nothing', async (t) => {
  const database = (await testService(t)).database
  const seen: number[] = []
  const userId = newUserId()
  let id: string | null = null
  for (const round of [1, 2, 3]) {
    const instance = await testService(t, { database })
    const address = await listen(instance)
    const more = round === 1 ? [userCreated(), ...updates(29)] : updates(30)
    await instance.append(userId, more.slice(0, 10))
    const stream = await openStream(t, `${address}/events/stream?start=beginning`, {
      headers: id === null ? {} : { 'last-event-id': id }
    })
    await until(() => stream.events.length > 0)
    const rest = instance.append(userId, more.slice(10))
    await until(() => stream.events.length > 10)
    const stopped = instance.service.stop()
    await Promise.allSettled([rest, stopped, stream.ended])
    seen.push(...positionsOf(stream))
    id = stream.lastId()
  }
  const last = await testService(t, { database })
  const stream = await openStream(t, `${await listen(last)}/events/stream`, { headers: { 'last-event-id': id! } })
  await until(() => seen.length + stream.events.length >= 90)
  t.strictSame([...seen, ...positionsOf(stream)], range(1, 90))
})

t.test('when the log is restored under a stream it ends, and its cursor is refused', async (t) => {
  const restored = await testService(t)
  const address = await listen(restored)
  const userId = newUserId()
  await restored.append(userId, [userCreated(), ...updates(9)])
  const stream = await openStream(t, `${address}/events/stream?start=beginning`)
  await until(() => stream.events.length === 10)
  await restored.append(userId, updates(1))
  await until(() => stream.events.length === 11)
  await loseEventsAfter(restored.database, 5)
  await stream.ended
  await restored.append(userId, updates(10))
  refused(t, await restored.get('/events/stream', { 'last-event-id': stream.lastId() }), '410 CURSOR_INVALID')
  t.equal(positionsOf(stream).length, 11, 'nothing of the new log came on the old stream')
})

t.test('with three buckets a stream shows each user in order, and any of its ids goes on exactly', async (t) => {
  const spread = await testService(t, { env: { EVENT_BUCKETS: '3' } })
  const address = await listen(spread)
  const users = Array.from({ length: 9 }, newUserId)
  for (const userId of users) await spread.append(userId, [userCreated(), ...updates(2)])
  const stream = await openStream(t, `${address}/events/stream?start=beginning`)
  await until(() => stream.events.length === 27)
  for (const userId of users) await spread.append(userId, updates(3))
  await until(() => stream.events.length === 54)
  t.equal(new Set(stream.events.map(({ event }) => event.id)).size, 54)
  for (const userId of users) {
    const versions = stream.events.flatMap(({ event }) => (event.aggregateId === userId ? [event.version] : []))
    t.strictSame(versions, range(1, 6))
  }
  for (const cut of [1, 13, 27, 40, 53]) {
    const rest = await openStream(t, `${address}/events/stream`, {
      headers: { 'last-event-id': stream.events[cut - 1]!.id }
    })
    await until(() => rest.events.length === 54 - cut)
    const ids = new Set([...stream.events.slice(0, cut), ...rest.events].map(({ event }) => event.id))
    t.equal(ids.size, 54, `after ${cut}`)
    rest.close()
  }
  t.equal(verdict(await spread.get(`/events?after=${stream.lastId()}`)), '200')
})
