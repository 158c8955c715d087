/**
 * The log of a process at its most talkative holds nothing of what requests carry, nor passwords of settings: every secret
 * that is sent is a text that stands nowhere else, and the whole output is searched for each.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { testDatabase } from '../support/db.js'
import { newUserId } from '../support/events.js'
import { startProcess } from '../support/process.js'
import { startProxy } from '../support/proxy.js'
import { startReceiver } from '../support/receiver.js'
import { freePort } from '../support/server.js'
import { until } from '../support/wait.js'

const canaries = new Map<string, string>()
/** A text that the log must not hold; `where` is told when it does. */
function secret(where: string): string {
  const canary = `canary${canaries.size + 100}x`
  canaries.set(canary, where)
  return canary
}

const database = await testDatabase(t)
const proxy = await startProxy(t, database.url)
const databaseUrl = new URL(proxy.url)
// A server that asks for its password is given it; any other takes what it is given.
if (databaseUrl.password) canaries.set(decodeURIComponent(databaseUrl.password), 'password of DATABASE_URL')
else databaseUrl.password = secret('password of DATABASE_URL')
const noPort = await freePort()
const service = await startProcess(t, {
  DATABASE_URL: databaseUrl.href,
  LOG_LEVEL: 'trace',
  REQUEST_TIMEOUT_MS: '2000',
  BODY_BYTES_MAX: '4096',
  EVENT_BYTES_MAX: '2048',
  WEBHOOK_PRIVATE_ADDRESSES: 'true',
  REDIS_URL: `redis://:${secret('password of REDIS_URL')}@127.0.0.1:${noPort}`,
  NATS_URL: `nats://ada:${secret('password of NATS_URL')}@127.0.0.1:${noPort}`,
  RABBITMQ_URL: `amqp://ada:${secret('password of RABBITMQ_URL')}@127.0.0.1:${noPort}`
})

/** The status of a request that carries secrets wherever one can. */
async function send(
  what: string,
  url: string,
  { method = 'POST', body, type = 'application/json' }: { method?: string; body?: unknown; type?: string } = {}
): Promise<number> {
  const response = await fetch(`${service.url}${url}`, {
    method,
    headers: {
      authorization: `Bearer ${secret(`authorization of ${what}`)}`,
      cookie: `session=${secret(`cookie of ${what}`)}`,
      'x-api-key': secret(`x-api-key of ${what}`),
      'idempotency-key': secret(`idempotency-key of ${what}`),
      ...(body === undefined ? {} : { 'content-type': type })
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) })
  })
  await response.arrayBuffer()
  return response.status
}

const created = (what: string) => ({
  eventType: 'UserCreated',
  eventData: { username: secret(`eventData of ${what}`), email: `${secret(`e-mail of ${what}`)}@example.com` },
  metadata: { correlationId: secret(`metadata of ${what}`) }
})
const append = (what: string, body: object, userId = newUserId()) => send(what, `/users/${userId}/events`, { body })

t.test('requests that succeed and requests that are refused', async (t) => {
  const userId = newUserId()
  t.equal(await append('an append', { events: [created('an append')] }, userId), 201)
  t.equal(await append('a conflict', { expectedVersion: 'none', events: [created('a conflict')] }, userId), 409)
  t.equal(await append('a second creation', { events: [created('a second creation')] }, userId), 422)
  t.equal(await append('an unknown type', { events: [{ ...created('an unknown type'), eventType: 'X' }] }), 422)
  const wrong = { ...created('invalid data'), eventData: { username: [secret('invalid eventData')] } }
  t.equal(await append('invalid data', { events: [wrong] }), 422)
  t.equal(await append('a large event', { events: [created('a large event')], x: 'x'.repeat(5000) }), 413)
  t.equal(await append('a wrong body', { [secret('name of a member')]: secret('value of a member') }), 400)
  t.equal(await send('no JSON', `/users/${userId}/events`, { body: `{"a":${secret('text that is no JSON')}` }), 400)
  t.equal(await send('plain text', `/users/${userId}/events`, { body: secret('plain text'), type: 'text/plain' }), 415)
  const line = JSON.stringify({ ...created('a line'), id: 1 })
  t.equal(await send('an import', '/events/import', { body: line, type: 'application/x-ndjson' }), 422)
  const get = { method: 'GET' }
  t.equal(await send('a state', `/users/${userId}/state`, get), 200)
  t.equal(await send('no path', `/${secret('path')}?q=${secret('query')}`, get), 404)
  t.equal(await send('no user', `/users/${newUserId()}/state`, get), 404)
  t.equal(await send('a path that is no URL', `/users/%zz${secret('path that is no URL')}`, get), 400)
  t.equal(await send('a wrong query', `/users?${secret('name of a parameter')}=${secret('parameter')}`, get), 400)
  t.equal(await send('a wrong cursor', `/events?after=${secret('cursor')}`, get), 400)
  t.equal(
    await send('a wrong method', `/users/${userId}/events?q=${secret('query of a method')}`, { method: 'PUT' }),
    405
  )

  const socket = connect(Number(new URL(service.url).port), '127.0.0.1').resume()
  const closed = once(socket, 'close')
  socket.write(`GET /livez HTTP/1.1\r\nHost: x\r\nAuthorization: ${secret('a broken request')}\r\n: \r\n\r\n`)
  await closed
})

t.test('an error of the database that quotes the event', async (t) => {
  await database.run(`
    CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'cannot store %', NEW."eventData" USING DETAIL = NEW."eventData"::text; END $$`)
  await database.run('CREATE TRIGGER quote BEFORE INSERT ON user_events FOR EACH ROW EXECUTE FUNCTION quote()')
  t.equal(await append('a failure', { events: [created('a failure')] }), 500)
  await database.run('DROP TRIGGER quote ON user_events')
  await until(() => service.output.some((text) => text.includes('request failed')))
})

t.test('sinks that cannot be reached, and a receiver that repeats what it got', async (t) => {
  const receiver = await startReceiver(t, ({ body }, response) =>
    response.writeHead(503).end(JSON.stringify(JSON.parse(body).data))
  )
  const sinks = {
    echo: { kind: 'webhook', url: `${receiver.url}/${secret('path of a webhook')}` },
    away: { kind: 'webhook', url: `http://127.0.0.1:${noPort}/${secret('path of a webhook that is away')}` },
    nats: { kind: 'nats', subject: 'users' },
    rabbitmq: { kind: 'rabbitmq', exchange: 'users' }
  }
  for (const [name, sink] of Object.entries(sinks)) {
    const body = { name, start: 'beginning', sink }
    t.equal(await send(`the subscription ${name}`, '/admin/subscriptions', { body }), 201)
  }
  for (const name of Object.keys(sinks))
    await until(() => service.output.some((text) => text.includes('delivery failed') && text.includes(name)), {
      what: `trouble of ${name}`,
      timeoutMs: 30_000
    })
  t.ok(
    receiver.received.some(({ body }) => body.includes('canary')),
    'it got secrets to repeat'
  )
})

t.test('a database that is lost on the way, and is away', async (t) => {
  const lost = created('an append whose answer is lost')
  const cut = proxy.cutOn(lost.eventData.username, 'after')
  const status = append('an append whose answer is lost', { events: [lost] })
  await cut
  await proxy.refuse()
  t.equal(await status, 503)
  t.equal(await append('an append without a database', { events: [created('an append without a database')] }), 503)
  t.equal(await send('a read without a database', `/users?q=${secret('words searched for')}`, { method: 'GET' }), 503)
  await until(() => service.output.some((text) => text.includes('background work failed')))
})

t.test('nothing of it stands in the log', async (t) => {
  await service.end('SIGTERM')
  const log = service.output.join('\n')
  for (const said of ['ready', 'request refused', 'request failed', 'delivery failed', 'background work failed'])
    t.ok(log.includes(said), `the log says: ${said}`)
  t.ok(canaries.size >= 50, `${canaries.size} secrets`)
  for (const [canary, where] of canaries) {
    const line = service.output.find((text) => text.includes(canary))
    t.equal(line, undefined, where)
  }
})
