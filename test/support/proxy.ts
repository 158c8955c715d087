/** A TCP proxy before the database that fails the way networks do: silent, or cut off at a chosen moment. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

export type Proxy = {
  /** the database's URL, by way of the proxy */
  url: string
  /** connections open through the proxy now */
  open(): number
  /** Drops every byte in both directions from now on, on connections old and new, without closing any. */
  silence(): void
  /** Passes on what comes from now on, on connections old and new; bytes that were dropped stay lost. */
  pass(): void
  /** Drops every byte for good on the connections that are open now, without closing any; new ones are passed on. */
  abandon(): void
  /**
   * Cuts the connection that carries `marker` to the database: before the bytes with it are passed on, or when the database
   * replies to them, of which the client sees nothing. Resolves when it was cut; once only.
   */
  cutOn(marker: string, when: 'before' | 'after'): Promise<void>
  /** Resets all connections open now; new ones are passed on. */
  reset(): void
  /** Cuts the next connection on which the database has sent `bytes` more, and passes on those; resolves when it did. */
  cutReplyAfter(bytes: number): Promise<void>
  /** Closes every new connection at once, as a balancer does that has no database behind it. */
  hangUp(): void
  /** connections accepted so far, whatever became of them */
  accepted(): number
  /** Closes all connections, and accepts no more until `listen`. */
  refuse(): Promise<void>
  listen(): Promise<void>
}

type Cut = { marker: string; when: 'before' | 'after'; done: () => void }

/** Starts a proxy to the database at `databaseUrl` on a free port; closed when the test ends. */
export async function startProxy(t: Test, databaseUrl: string): Promise<Proxy> {
  const target = new URL(databaseUrl)
  const pairs = new Set<[Socket, Socket]>()
  const abandoned = new Set<[Socket, Socket]>()
  let mode: 'pass' | 'silent' | 'hang up' = 'pass'
  let accepted = 0
  let cut: Cut | null = null
  let cutReply: { left: number; done: () => void } | null = null

  const server = createServer({ noDelay: true }, (client) => {
    accepted++
    if (mode === 'hang up')
      return void client
        .on('error', () => {})
        .resume()
        .end()
    const database = connect({ host: target.hostname, port: Number(target.port || 5432), noDelay: true })
    const pair: [Socket, Socket] = [client, database]
    pairs.add(pair)
    let doomed: Cut | null = null
    const destroy = () => {
      pairs.delete(pair)
      client.destroy()
      database.destroy()
      doomed?.done()
    }
    client.on('data', (bytes) => {
      if (mode === 'silent' || abandoned.has(pair)) return
      if (cut && bytes.includes(cut.marker)) {
        doomed = cut
        cut = null
        if (doomed.when === 'before') return destroy()
      }
      database.write(bytes)
    })
    database.on('data', (bytes) => {
      if (doomed) return destroy()
      if (mode === 'silent' || abandoned.has(pair)) return
      if (cutReply) {
        cutReply.left -= bytes.length
        if (cutReply.left <= 0) {
          client.end(bytes.subarray(0, bytes.length + cutReply.left))
          database.destroy()
          cutReply.done()
          cutReply = null
          return
        }
      }
      client.write(bytes)
    })
    client.on('error', destroy).on('close', destroy)
    database.on('error', destroy).on('close', () => {
      // What the database said last (why it closes, for one) still goes out.
      client.end()
      pairs.delete(pair)
      doomed?.done()
    })
  })

  async function listen(port = 0): Promise<number> {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  async function refuse(): Promise<void> {
    const closed = once(server, 'close')
    server.close()
    for (const sockets of pairs) for (const socket of sockets) socket.destroy()
    await closed
  }

  const port = await listen()
  t.teardown(() => (server.listening ? refuse() : undefined))
  const url = new URL(databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String(port)
  return {
    url: url.href,
    open: () => pairs.size,
    accepted: () => accepted,
    reset: () => {
      for (const [client] of pairs) client.resetAndDestroy()
    },
    cutReplyAfter: (bytes) =>
      new Promise((resolve) => {
        cutReply = { left: bytes, done: resolve }
      }),
    silence: () => {
      mode = 'silent'
    },
    pass: () => {
      mode = 'pass'
    },
    hangUp: () => {
      mode = 'hang up'
    },
    abandon: () => {
      for (const pair of pairs) abandoned.add(pair)
    },
    cutOn: (marker, when) =>
      new Promise((resolve) => {
        cut = { marker, when, done: resolve }
      }),
    refuse,
    listen: async () => {
      await listen(port)
    }
  }
}
