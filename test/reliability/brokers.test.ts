/**
 * Every event reaches every system, in order per user, although each of the systems is killed and away for 20 s while 50,000
 * events are appended. The brokers are real ones, and keep on disk what they confirmed; the receiver of webhooks is
 * gone with all its connections. Kafka is not among them: the
 * mock cluster there is to test with forgets everything when it is killed (test/edge/kafka-sink.test.ts).
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { newUserId, updates, userCreated } from '../support/events.js'
import { testNats } from '../support/nats.js'
import { testRabbit } from '../support/rabbitmq.js'
import { testRedis } from '../support/redis.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const PATH = '/admin/subscriptions'
const AWAY_MS = 20_000
const BATCH = 500
const USERS = 500
const EVENTS = 100
/** Events in one append. */
const AT_ONCE = 20

type Place = { userId: string; version: number }

/** A receiver of batches that can be killed and started again on the same port; it keeps what it answered with 204. */
async function testHook(t: Test) {
  const taken: Place[] = []
  let port = 0
  let server = createServer()

  async function start(): Promise<void> {
    server = createServer(async (request, response) => {
      const events = (await json(request)) as { subject: string; userversion: number }[]
      taken.push(...events.map(({ subject, userversion }) => ({ userId: subject, version: userversion })))
      response.writeHead(204).end()
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  }

  async function kill(): Promise<void> {
    server.close()
    server.closeAllConnections()
  }

  await start()
  t.teardown(kill)
  return { url: `http://127.0.0.1:${port}/`, taken, start, kill }
}

/** Claims about what one system holds. */
function assertComplete(t: Test, places: Place[], users: readonly string[], name: string): void {
  const versions = new Map(users.map((userId) => [userId, 0]))
  let [duplicates, wrong] = [0, 0]
  for (const { userId, version } of places) {
    const last = versions.get(userId)!
    if (version <= last) duplicates++
    else if (version === last + 1) versions.set(userId, version)
    else wrong++
  }
  t.equal(wrong, 0, `${name}: first arrivals are in order`)
  t.ok(
    [...versions.values()].every((version) => version === EVENTS),
    `${name}: all arrived`
  )
  t.ok(duplicates <= BATCH, `${name}: ${duplicates} came twice, at most one batch`)
}

t.test('systems that are killed in mid-stream and away for 20 s get everything', async (t) => {
  const [hook, nats, rabbit, redis] = await Promise.all([
    testHook(t),
    testNats(t),
    testRabbit(t),
    testRedis(t, { appendonly: 'yes', appendfsync: 'always', dir: t.testdir() })
  ])
  await nats.addStream('users', ['users.>'])
  await rabbit.as(async (channel) => {
    await channel.assertExchange('users', 'topic', { durable: true })
    await channel.assertQueue('users', { durable: true })
    await channel.bindQueue('users', 'users', '#')
  })
  const service = await testService(t, {
    background: true,
    env: {
      NATS_URL: nats.url,
      RABBITMQ_URL: rabbit.url,
      REDIS_STREAMS_URL: redis.url,
      WEBHOOK_PRIVATE_ADDRESSES: 'true',
      DATABASE_POOL_MAX: '10'
    }
  })
  const retry = { baseDelayMs: 100, maxDelayMs: 1000 }
  for (const sink of [
    { kind: 'nats', subject: 'users' },
    { kind: 'rabbitmq', exchange: 'users' },
    { kind: 'redis', stream: 'users' },
    { kind: 'webhook', url: hook.url, format: 'batched' }
  ]) {
    const made = await service.post(PATH, { name: sink.kind, sink, start: 'beginning', batchSize: BATCH, retry })
    t.equal(made.statusCode, 201, sink.kind)
  }
  const numbers = async (): Promise<
    { name: string; state: string; lagEvents: number; pending: number; dead: number }[]
  > => (await service.get(PATH)).data.subscriptions
  const users = Array.from({ length: USERS }, newUserId)

  const appendAll = async (from: number, to: number): Promise<void> => {
    for (let version = from; version <= to; version += AT_ONCE) {
      const queue = [...users]
      const work = async (): Promise<void> => {
        for (let userId = queue.pop(); userId; userId = queue.pop()) {
          const events = version === 1 ? [userCreated(), ...updates(AT_ONCE - 1)] : updates(AT_ONCE)
          const { statusCode } = await service.append(userId, events)
          if (statusCode !== 201) throw new Error(`an append was answered with ${statusCode}`)
        }
      }
      await Promise.all(Array.from({ length: 8 }, work))
    }
  }

  const appending = appendAll(1, EVENTS)
  await until(async () => (await numbers()).every(({ state }) => state === 'active'), { what: 'deliveries to begin' })
  const awaySince = performance.now()
  await Promise.all([hook.kill(), nats.kill(), rabbit.kill(), redis.kill()])
  await until(async () => (await numbers()).every(({ state }) => state === 'failing'), { what: 'the sinks to fail' })
  await appending
  await until(() => performance.now() - awaySince > AWAY_MS, { timeoutMs: 60_000, what: 'the end of the outage' })
  await Promise.all([hook.start(), nats.start(), rabbit.start(), redis.start()])
  await until(async () => (await numbers()).every(({ lagEvents, pending }) => lagEvents === 0 && pending === 0), {
    timeoutMs: 150_000,
    what: 'everything to be delivered'
  })
  t.ok(
    (await numbers()).every(({ dead, state }) => dead === 0 && state === 'active'),
    'no event was blamed'
  )

  const placeOf = (body: string): Place => {
    const { aggregateId, version } = JSON.parse(body) as { aggregateId: string; version: number }
    return { userId: aggregateId, version }
  }
  assertComplete(
    t,
    (await nats.arrivals('users')).map(({ body }) => placeOf(body)),
    users,
    'NATS'
  )
  assertComplete(
    t,
    (await rabbit.arrivals('users')).map(({ body }) => placeOf(body)),
    users,
    'RabbitMQ'
  )
  assertComplete(t, hook.taken, users, 'webhook')
  const entries = (await redis.command('XRANGE', 'users', '-', '+')) as [string, string[]][]
  assertComplete(
    t,
    entries.map(([, fields]) => placeOf(fields[fields.indexOf('event') + 1]!)),
    users,
    'Redis'
  )
})
