/**
 * What happens to connections when the service closes: requests that have come are answered, and nothing else keeps it.
 * Node alone closes connections between two requests and waits for all others, for ever: also for one on which no
 * request ever came (browsers and balancers open such), or whose request never ends.
 */
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { DomainError } from '../domain/errors.js'

/** Refuses requests that come while the app closes, but for those of `operations`; connections end within `requestTimeoutMs`. */
export function registerClosing(
  app: FastifyInstance,
  { operations, requestTimeoutMs }: { operations: readonly string[]; requestTimeoutMs: number }
): void {
  const connections = new Set<Socket>()
  const requests = new WeakMap<Socket, number>()
  let closing = false

  function count(socket: Socket, step: 1 | -1): void {
    const left = (requests.get(socket) ?? 0) + step
    if (left > 0) requests.set(socket, left)
    else requests.delete(socket)
  }

  app.server.on('connection', (socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  app.addHook('onRequest', (request, reply, done) => {
    count(request.raw.socket, 1)
    if (!closing || operations.includes(request.routeOptions.url ?? '')) return done()
    reply.header('connection', 'close')
    done(shuttingDown())
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (closing) reply.header('connection', 'close')
    done(null, payload)
  })
  app.addHook('onResponse', (request, _reply, done) => {
    count(request.raw.socket, -1)
    done()
  })
  app.addHook('preClose', async () => {
    closing = true
    for (const socket of connections) if (!requests.has(socket)) socket.destroy()
    const giveUp = setTimeout(() => app.server.closeAllConnections(), requestTimeoutMs).unref()
    app.server.once('close', () => clearTimeout(giveUp))
  })
}

const shuttingDown = (): DomainError =>
  new DomainError(
    'SHUTTING_DOWN',
    'The service is shutting down. Send the request again: another instance will take it.'
  )
