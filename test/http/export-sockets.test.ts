/** An export to a client that never reads: it ends, and lets go of what it held. */
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { newUserId, userCreated } from '../support/events.js'
import { importedEvent, textOf } from '../support/import.js'
import { listen, testService } from '../support/service.js'
import { until } from '../support/wait.js'

t.setTimeout(60_000)
const SILENCE_MS = 700

t.test('a client that takes nothing is disconnected, and one that reads slowly is not', async (t) => {
  const service = await testService(t, { silenceMs: SILENCE_MS })
  const port = Number(new URL(await listen(service)).port)
  const users = Array.from({ length: 2000 }, newUserId)
  const lines = textOf(
    users.map((userId) => importedEvent(userId, 1, userCreated('ada', { attributes: { x: 'x'.repeat(8000) } })))
  )
  const headers = { 'content-type': 'application/x-ndjson' }
  const stored = await service.ask({ method: 'POST', url: '/events/import', headers, payload: lines })
  t.match(stored.data, { imported: users.length })

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
  t.equal(lineCount, users.length)
})
