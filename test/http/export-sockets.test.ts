/** Exports to clients that do not read: they end, and let go of what they held, and there is a bound to how many are open. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { newUserId, userCreated } from '../support/events.js'
import { importedEvent, textOf } from '../support/import.js'
import { verdict } from '../support/problem.js'
import { listen, type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const SILENCE_MS = 700

/** Stores more than sockets hold. Returns how many events that is. */
async function fill(service: TestService): Promise<number> {
  const users = Array.from({ length: 2000 }, newUserId)
  const lines = textOf(
    users.map((userId) => importedEvent(userId, 1, userCreated('ada', { attributes: { x: 'x'.repeat(8000) } })))
  )
  const headers = { 'content-type': 'application/x-ndjson' }
  const stored = await service.ask({ method: 'POST', url: '/events/import', headers, payload: lines })
  if (stored.data.imported !== users.length) throw new Error(verdict(stored))
  return users.length
}

t.test('a client that takes nothing is disconnected, and one that reads slowly is not', async (t) => {
  const service = await testService(t, { silenceMs: SILENCE_MS })
  const port = Number(new URL(await listen(service)).port)
  const events = await fill(service)

  const connections = () =>
    new Promise<number>((resolve) => service.app.server.getConnections((_err, count) => resolve(count)))
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  socket.pause()
  socket.write('GET /events/export HTTP/1.1\r\nHost: x\r\n\r\n')
  await until(async () => (await connections()) === 1)
  await until(async () => (await connections()) === 0, { timeoutMs: 10_000, what: 'the end of the connection' })

  const response = await fetch(`http://127.0.0.1:${port}/events/export`)
  let lineCount = 0
  const startedAt = performance.now()
  for await (const chunk of response.body!) {
    lineCount += Buffer.from(chunk).filter((byte) => byte === 10).length
    if (performance.now() - startedAt < 2 * SILENCE_MS)
      await new Promise((resolve) => setTimeout(resolve, SILENCE_MS / 7))
  }
  t.equal(lineCount, events)
})

t.test('a client has its share of exports, all have theirs, and what is closed or over is free again', async (t) => {
  const service = await testService(t, { env: { EXPORTS_MAX: '3', EXPORTS_PER_CLIENT_MAX: '2' } })
  await fill(service)
  const url = await listen(service)
  const opened: IncomingMessage[] = []
  /** Takes the head of an answer, and nothing more before it is read. */
  async function open(localAddress: string, path = '/events/export'): Promise<IncomingMessage> {
    const outgoing = request(`${url}${path}`, { agent: false, localAddress })
    outgoing.end()
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    response.on('error', () => {})
    opened.push(response)
    return response
  }
  const textOfAnswer = async (answer: IncomingMessage) => Buffer.concat(await answer.toArray()).toString()
  const [first, second] = [await open('127.0.0.1'), await open('127.0.0.1')]
  t.strictSame([first.statusCode, second.statusCode], [200, 200])
  const refusal = await open('127.0.0.1')
  t.equal(refusal.headers['retry-after'], '1')
  t.match(JSON.parse(await textOfAnswer(refusal)), {
    status: 429,
    code: 'TOO_MANY_STREAMS',
    detail: /2 exports open.*EXPORTS_PER_CLIENT_MAX/
  })
  t.equal((await open('127.0.0.2')).statusCode, 200)
  const full = await open('127.0.0.2')
  t.match(JSON.parse(await textOfAnswer(full)), { status: 503, code: 'OVERLOADED', detail: /3 exports.*EXPORTS_MAX/ })
  t.equal((await open('127.0.0.1', '/events')).statusCode, 200, 'pages are none')

  first.destroy()
  const again = await until(async () => {
    const answer = await open('127.0.0.1')
    return answer.statusCode === 200 ? answer : null
  })
  await Promise.all([textOfAnswer(again), textOfAnswer(second)])
  const small = '/events/export?eventType=UserDeleted'
  for (let i = 0; i < 4; i++)
    await until(async () => {
      const answer = await open('127.0.0.1', small)
      return answer.statusCode === 200 && (await textOfAnswer(answer)) === ''
    })
  t.equal((await open('127.0.0.1', small)).statusCode, 200, 'an export that is over is not open')
  for (const answer of opened) answer.destroy()
})
