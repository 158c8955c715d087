/** A real HTTP server that takes webhooks, notes them, and answers as a test wants. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export type Received = {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: string
  /** connection it came over, counted from 1 */
  connection: number
}

export type Receiver = {
  url: string
  port: number
  received: Received[]
  /** connections open now */
  open(): number
  /** requests that are not answered yet: now, and the most there were */
  underWay: { now: number; most: number }
}

/** Listens on a free port of loopback; `answer` gets every request once its body is there. Closed when the test ends. */
export async function startReceiver(
  t: Test,
  answer: (request: Received, response: ServerResponse) => void = (_request, response) => response.end()
): Promise<Receiver> {
  const received: Received[] = []
  const underWay = { now: 0, most: 0 }
  let connections = 0
  let open = 0
  const numbers = new WeakMap<object, number>()
  const server = createServer(async (request, response) => {
    underWay.most = Math.max(underWay.most, ++underWay.now)
    response.on('close', () => underWay.now--)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const entry = {
      method: request.method!,
      path: request.url!,
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
      connection: numbers.get(request.socket)!
    }
    received.push(entry)
    answer(entry, response)
  })
  server.on('connection', (socket) => {
    numbers.set(socket, ++connections)
    open++
    socket.on('close', () => open--)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/events`, port, received, open: () => open, underWay }
}
