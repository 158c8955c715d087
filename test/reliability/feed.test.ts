/** The feed under load: several instances, many clients, slow ones among them. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import Fastify from 'fastify'
import t from 'tap'
import { ANYBODY } from '../../src/domain/access.js'
import { registerAuth } from '../../src/http/auth.js'
import { handleError } from '../../src/http/errors.js'
import { feedRoutes } from '../../src/http/routes/feed.js'
import { components } from '../../src/http/schemas.js'
import { createStreamSlots } from '../../src/http/stream-slots.js'
import { registerTurns } from '../../src/http/turns.js'
import { startLoop } from '../../src/loop.js'
import { testFeed } from '../services/feed-parts.js'
import { logins, newKey } from '../services/parts.js'
import { assertHonest, createClient, stepsOrTime } from '../support/client.js'
import { testDatabase } from '../support/db.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import type { FeedItem } from '../support/feed.js'
import { request } from '../support/http.js'
import { readIntactLog } from '../support/log.js'
import { startProcess } from '../support/process.js'
import { randomOf, seedOf } from '../support/random.js'
import { listen, testService } from '../support/service.js'
import { openStream, positionsOf, range } from '../support/sse.js'
import { until } from '../support/wait.js'

t.test('followers of two instances see every event once and in order while clients append through both', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const services = await Promise.all([1, 2].map(() => startProcess(t, { DATABASE_URL: database.url })))
  const users = Array.from({ length: 30 }, newUserId)
  const clients = Array.from({ length: 6 }, (_, i) =>
    createClient({ url: () => services[i % 2]!.url, users, random: randomOf(seed + i), timeoutMs: 15_000 })
  )
  const streams = await Promise.all(services.map(({ url }) => openStream(t, `${url}/events/stream?start=beginning`)))

  const polled: FeedItem[][] = services.map(() => [])
  let writing = true
  let empty = 0
  async function follow(url: string, seen: FeedItem[]): Promise<void> {
    let after = ''
    for (let last = false; !last; ) {
      last = !writing
      const { status, data } = await request(`${url}/events?waitMs=500&limit=20${after}`)
      if (status !== 200) throw new Error(JSON.stringify(data))
      seen.push(...data.events)
      after = `&after=${data.next}`
      if (data.events.length === 0) empty++
      // Only a wait that began after the last append and found nothing is the end.
      else last = false
    }
  }
  const following = Promise.all(services.map(({ url }, i) => follow(url, polled[i]!)))
  await Promise.all(clients.map((client) => client.run(stepsOrTime(150, 4000))))
  writing = false
  await following
  assertHonest(t, clients)
  const log = await readIntactLog(t, database)
  t.ok(log.length > 100 && empty >= 2)
  await until(() => streams.every(({ events }) => events.length >= log.length))
  const ids = log.map(({ id }) => id)
  for (const seen of polled)
    t.strictSame(
      seen.map(({ id }) => id),
      ids,
      'by waiting reads'
    )
  for (const { events } of streams)
    t.strictSame(
      events.map(({ event }) => event.id),
      ids,
      'by a stream'
    )
})

t.test(
  '200 streams get everything while one of them reads nothing, and what is held for each is bounded',
  async (t) => {
    const service = await testService(t, { env: { STREAMS_PER_CLIENT_MAX: '500' } })
    const { append, app, get } = service
    const sockets = new Set<Socket>()
    app.server.on('connection', (socket) => sockets.add(socket))
    const url = await listen(service)
    const userId = newUserId()
    await append(userId, [userCreated()])
    // More than the buffers between two sockets hold.
    const bulk = updates(15).map((event) => ({ ...event, metadata: { text: 'x'.repeat(60_000) } }))
    for (let i = 0; i < 12; i++) await append(userId, bulk)
    const backlog = 181

    let held = 0
    const watch = setInterval(() => {
      for (const { writableLength } of sockets) held = Math.max(held, writableLength)
    }, 5)
    t.teardown(() => clearInterval(watch))
    const idle = await openStream(t, `${url}/events/stream?start=beginning`)
    await until(() => idle.events.length > 0)
    idle.response.pause()
    await until(() => held > 0, { what: 'the idle stream to be stuck' })
    const others = await Promise.all(Array.from({ length: 199 }, () => openStream(t, `${url}/events/stream`)))
    await until(() => others.every((stream) => stream.lastId()))

    const startedAt = performance.now()
    for (let i = 0; i < 5; i++) await append(userId, updates(100))
    await until(() => others.every(({ events }) => events.length === 500), { timeoutMs: 60_000 })
    const rate = Math.round((199 * 500) / ((performance.now() - startedAt) / 1000))
    t.comment(`${rate} events/s sent; held for one connection at most ${held} bytes`)
    const wrong = others.filter((stream) => positionsOf(stream).some((position, i) => position !== backlog + i + 1))
    t.equal(wrong.length, 0, 'all in order')
    t.ok(held < 1_000_000, `${held} bytes`)
    t.ok(idle.events.length < backlog, `the idle one has seen ${idle.events.length}`)
    t.equal((await get('/livez')).statusCode, 200)
    idle.response.resume()
    await until(() => idle.events.length === backlog + 500)
    t.strictSame(positionsOf(idle), range(1, backlog + 500), 'it catches up when it reads again')
    for (const stream of [idle, ...others]) stream.close()
  }
)

t.test(
  'a client that takes nothing for too long is cut off, and goes on where it was when it comes back',
  async (t) => {
    const onError = (err: unknown) => t.fail('the tail is read', { err })
    const { feed, seed } = await testFeed(t, (once) => startLoop({ once, intervalMs: 20, gapMs: 5, onError }))
    const app = Fastify()
    app.setErrorHandler(handleError)
    for (const component of components) app.addSchema(component)
    registerAuth(app, { authenticate: () => ANYBODY })
    registerTurns(app, undefined)
    const slots = createStreamSlots({ max: 10, perClientMax: 10 })
    await app.register(feedRoutes, { feed, slots, requestTimeoutMs: 1000, heartbeatMs: 100, stalledMs: 400 })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    t.teardown(() => app.close())

    const idle = await openStream(t, `${url}/events/stream`)
    await until(() => idle.comments.length > 8, { what: 'heartbeats' })
    t.notOk(idle.response.destroyed, 'heartbeats are a sign of life')

    const slow = connect(Number(new URL(url).port), '127.0.0.1')
    t.teardown(() => slow.destroy())
    const received: string[] = []
    slow.setEncoding('utf8').on('data', (text: string) => received.push(text))
    slow.on('error', () => {})
    slow.write('GET /events/stream HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(slow, 'data')
    slow.pause()
    const connections = () => new Promise((resolve) => app.server.getConnections((_err, count) => resolve(count)))
    t.equal(await connections(), 2)
    // More than the buffers between two sockets hold.
    const events = logins(201).map((event) => ({
      ...event,
      eventData: { ...event.eventData, userAgent: 'x'.repeat(60_000) }
    }))
    const key = newKey()
    for (let i = 0; i < 201; i += 3) await seed(key, events.slice(i, i + 3))
    await until(async () => (await connections()) === 1, { what: 'the end of the slow connection' })
    await until(() => idle.events.length === 201)

    const ended = once(slow, 'close')
    slow.resume()
    await ended
    const whole = received.join('').split('\n\n').slice(0, -1)
    const ids = whole.flatMap((block) => /^id: (.*)$/m.exec(block)?.[1] ?? [])
    const again = await openStream(t, `${url}/events/stream`, { headers: { 'last-event-id': ids.at(-1)! } })
    const seen = whole.filter((block) => block.includes('\ndata: ')).length
    t.ok(seen < 201, `it had seen ${seen}`)
    await until(() => again.events.length === 201 - seen)
    t.strictSame(positionsOf(again), range(seen + 1, 201))
  }
)
