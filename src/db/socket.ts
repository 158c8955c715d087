/**
 * How the driver comes to its connections. Left to itself it waits up to 20 s before it tries again after an outage; tries for
 * ever, some 500 times a second and without telling, when a server hangs up before it says a word (a balancer with no
 * database behind it does); and loses track of a query that is handed to it after a connection's `error` and before its `close`: it is
 * never refused, and when the connection is made again it gets an empty result, or the next query's.
 */
import { Socket } from 'node:net'

/** Where the driver wants to connect to; of several hosts one is drawn. */
export type SocketTarget = { host: string[]; port: number[]; path?: string | false }

/** Error code of a connection that ended before the server's first word: no statement can have been sent on it. */
export const HUNG_UP = 'HUNG_UP'

/** Wait before a connection that was lost is made again, in seconds, as the driver wants it. */
export const backoffSeconds = (failures: number): number => Math.min(0.2, 0.01 * 2 ** failures)

/**
 * What a driver calls for a socket; each driver needs one of its own. It gets one that is still connecting: the driver's first message waits in it, and
 * a failure to connect reaches the driver as an event. (A promise that rejects instead would cost the pool a slot for good.)
 */
export function createSocketOpener(): (target: SocketTarget) => Socket {
  let hosts: string[] | null = null
  return (target) => {
    // Of several hosts the driver is left to know one: with more it tries on for ever and tells nobody.
    hosts ??= target.host.splice(0, target.host.length, target.host[0]!)
    return openSocket({ ...target, host: hosts })
  }
}

function openSocket({ host, port, path }: SocketTarget): Socket {
  const socket = new DriverSocket()
  socket.once('end', () => {
    if (!socket.writableEnded) socket.destroy(ended(socket.bytesRead === 0 ? HUNG_UP : 'ECONNRESET'))
  })
  const turn = Math.floor(Math.random() * host.length)
  if (path) socket.connect(path)
  else socket.connect(port[turn] ?? 5432, host[turn] ?? '127.0.0.1')
  return socket
}

/** Tells of an error at the moment it closes, not before, so that nothing can come between the two. */
class DriverSocket extends Socket {
  #failure: Error | null = null

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event === 'error') {
      this.#failure = args[0] as Error
      return true
    }
    if (event === 'close' && this.#failure) super.emit('error', this.#failure)
    return super.emit(event, ...args)
  }
}

const ended = (code: string): Error => Object.assign(new Error('The database ended the connection.'), { code })
