/** What only a real socket can show: requests that are broken, slow or in the way of a shutdown. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { newUserId, updates, userCreated } from '../support/events.js'
import { holdAppendLock } from '../support/lock.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const REQUEST_TIMEOUT_MS = 1000

/** A service that gives requests one second; it listens on `port`. */
const service = await testService(t, { env: { REQUEST_TIMEOUT_MS: String(REQUEST_TIMEOUT_MS) } })
const { append, get } = service
const port = await listen(service)

/** A user with more events than the buffers between two sockets hold. */
const busyUser = newUserId()
const bulk = Array.from({ length: 14 }, () => ({ ...updates(1)[0], metadata: { text: 'x'.repeat(64_000) } }))
await append(busyUser, [userCreated()])
for (let i = 0; i < 14; i++) await append(busyUser, bulk)
const BUSY_USER_EVENTS = 1 + 14 * 14

const streamOfEvents = `GET /users/${busyUser}/events HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\n\r\n`

async function listen({ app }: TestService): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as { port: number }).port
}

type Line = {
  socket: Socket
  /** all that was received so far */
  received(): string
  /** resolves with all that was received when the service has closed the connection, and after how many ms that was */
  closed(): Promise<{ answer: string; ms: number }>
}

async function dial(t: Test, port: number, firstBytes: string, { pause = false } = {}): Promise<Line> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let text = ''
  socket.on('data', (bytes) => {
    if (pause && text === '') socket.pause()
    text += bytes.toString('latin1')
  })
  // Writing to what was closed meanwhile is part of these tests.
  socket.on('error', () => {})
  await once(socket, 'connect')
  const startedAt = performance.now()
  const ended = once(socket, 'close')
  socket.write(firstBytes)
  return {
    socket,
    received: () => text,
    async closed() {
      await ended
      return { answer: text, ms: performance.now() - startedAt }
    }
  }
}

/** The HTTP answers of one connection. */
const answersOf = (text: string): string[] => text.split(/(?=HTTP\/1\.1 )/)

/** Fails the test unless `answer` is one HTTP answer with one complete problem. */
function assertProblem(t: Test, answer: string, status: number, code: string): void {
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  t.match(head, new RegExp(`^HTTP/1\\.1 ${status} `))
  t.match(head, /^content-type: application\/problem\+json/im)
  t.match(head, /^x-request-id: [0-9a-f-]{36}/im)
  t.match(head, /^connection: close/im)
  t.hasStrict(JSON.parse(body), { status, code })
  t.equal(answersOf(answer).length, 1, 'there is one answer')
}

t.test('what is not HTTP, or too much of it, is answered with a problem and closed', async (t) => {
  const requests: [what: string, bytes: string, status: number, code: string][] = [
    ['no HTTP at all', 'hello\r\n\r\n', 400, 'MALFORMED_REQUEST'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'MALFORMED_REQUEST'],
    ['a space in the URL', 'GET /users/a b HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'MALFORMED_REQUEST'],
    ['a header without a name', 'GET /livez HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n', 400, 'MALFORMED_REQUEST'],
    ['a control character', 'GET /livez HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n', 400, 'MALFORMED_REQUEST'],
    [
      'two lengths',
      'POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
      400,
      'MALFORMED_REQUEST'
    ],
    [
      'a length and chunks',
      'POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
      'MALFORMED_REQUEST'
    ],
    ['large headers', `GET /livez HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`, 431, 'HEADERS_TOO_LARGE'],
    ['a large URL', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431, 'HEADERS_TOO_LARGE']
  ]
  for (const [what, bytes, status, code] of requests) {
    t.comment(what)
    const line = await dial(t, port, bytes)
    assertProblem(t, (await line.closed()).answer, status, code)
  }
  t.equal((await get('/livez')).statusCode, 200)
})

t.test('headers that do not come are not waited for', async (t) => {
  const line = await dial(t, port, 'GET /livez HTTP/1.1\r\nHost: x\r\n')
  const { answer, ms } = await line.closed()
  assertProblem(t, answer, 408, 'REQUEST_TIMEOUT')
  t.ok(ms >= REQUEST_TIMEOUT_MS - 50 && ms < 5000, `closed after ${Math.round(ms)} ms`)
})

t.test('a body that comes byte by byte is cut off, and nothing of it is stored', async (t) => {
  const body = JSON.stringify({ events: [userCreated()] })
  const userId = newUserId()
  const head = `POST /users/${userId}/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
  const line = await dial(t, port, head)
  let sent = 0
  const drip = setInterval(() => line.socket.write(body.charAt(sent++)), 50)
  t.teardown(() => clearInterval(drip))
  const { answer, ms } = await line.closed()
  clearInterval(drip)
  t.ok(sent < body.length)
  assertProblem(t, answer, 408, 'REQUEST_TIMEOUT')
  t.ok(ms < 5000, `closed after ${Math.round(ms)} ms`)
  t.equal((await get(`/users/${userId}/state`)).statusCode, 404)
})

t.test('a request that was refused before its body was read leaves no open end', async (t) => {
  const line = await dial(
    t,
    port,
    `POST /users/${newUserId()}/events HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nx`
  )
  const { answer, ms } = await line.closed()
  t.match(answer, /^HTTP\/1\.1 415 /)
  t.ok(ms < 5000, `closed after ${Math.round(ms)} ms`)
})

t.test('a stream that is read slowly is not cut off by the deadline of requests', async (t) => {
  const line = await dial(t, port, streamOfEvents, { pause: true })
  await until(() => line.received().length > 0)
  const resumeAt = performance.now() + REQUEST_TIMEOUT_MS * 1.5
  await until(() => performance.now() > resumeAt)
  const soFar = line.received().length
  line.socket.resume()
  await until(() => line.received().endsWith('\r\n0\r\n\r\n'), { what: 'the last chunk' })
  const answer = line.received()
  t.ok(soFar < answer.length / 2, 'the reader really was slow')
  t.match(answer, /^HTTP\/1\.1 200 /)
  t.match(answer.slice(0, 1000), /^x-request-id: /im)
  t.equal(answer.match(/"version":/g)?.length, BUSY_USER_EVENTS)
})

t.test('a reader who leaves in the middle of a stream harms nobody', async (t) => {
  const line = await dial(t, port, streamOfEvents)
  await until(() => line.received().length > 0)
  line.socket.destroy()
  t.equal((await get(`/users/${busyUser}/state`)).data.version, BUSY_USER_EVENTS)
})

t.test('while shutting down, what is in flight is answered and what comes then is refused', async (t) => {
  const { database } = service
  const leaving = await testService(t, { database })
  const { app } = leaving
  const port = await listen(leaving)
  // Connections without a request are closed at once: what comes late comes behind a stream that still runs.
  const streams = await Promise.all([1, 2].map(() => dial(t, port, streamOfEvents, { pause: true })))
  for (const { received } of streams) await until(() => received().length > 0)
  const lock = await holdAppendLock(t, database)
  const body = JSON.stringify({ events: [userCreated()] })
  const inFlight = await dial(
    t,
    port,
    `POST /users/${newUserId()}/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  )
  await lock.untilWaiting()
  const stopped = leaving.service.stop()
  await until(() => !app.server.listening)
  const [refused, probed] = streams as [Line, Line]
  refused.socket.write(`GET /users/${busyUser}/state HTTP/1.1\r\nHost: x\r\n\r\n`)
  probed.socket.write('GET /readyz?from=balancer HTTP/1.1\r\nHost: x\r\n\r\n')
  for (const { socket } of streams) socket.resume()

  const [stream, refusal] = answersOf((await refused.closed()).answer)
  t.equal(stream!.match(/"version":/g)?.length, BUSY_USER_EVENTS, 'the stream came to its end')
  assertProblem(t, refusal!, 503, 'SHUTTING_DOWN')
  t.match(refusal, /^retry-after: 1/im)
  const [, probe] = answersOf((await probed.closed()).answer)
  t.match(probe, /^HTTP\/1\.1 503 /)
  t.match(probe, '"process":{"ok":false,"detail":"shutting down"}')
  await lock.release()
  t.match((await inFlight.closed()).answer, /^HTTP\/1\.1 201 /)
  await stopped
})
