/** A proxy before the database that changes the text of statements on their way: what a service would send that was written otherwise. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** Starts a proxy to the database at `databaseUrl` on a free port and returns its URL; closed when the test ends. */
export async function startRewriter(t: Test, databaseUrl: string, rewrite: (text: string) => string): Promise<string> {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    const database = connect({ host: target.hostname, port: Number(target.port || 5432), noDelay: true })
    const rewritten = messageRewriter(rewrite)
    client.on('data', (bytes) => database.write(rewritten(bytes)))
    database.pipe(client)
    for (const [socket, other] of [
      [client, database],
      [database, client]
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy()).on('close', () => other.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  })
  const url = new URL(databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return url.href
}

/**
 * What a client sends, message by message: the first has a length alone (4 bytes, which count themselves), all others a letter before
 * it. Parse (P) holds the name of a statement, its text, each ended by a zero, and the types of its parameters.
 */
function messageRewriter(rewrite: (text: string) => string): (bytes: Buffer) => Buffer {
  let pending: Buffer = Buffer.alloc(0)
  let letters = 0
  return (bytes) => {
    pending = Buffer.concat([pending, bytes])
    const out: Buffer[] = []
    while (pending.length >= letters + 4) {
      const end = letters + pending.readUInt32BE(letters)
      if (pending.length < end) break
      const message = pending.subarray(0, end)
      out.push(letters === 1 && message[0] === 'P'.charCodeAt(0) ? rewriteParse(message, rewrite) : message)
      pending = pending.subarray(end)
      letters = 1
    }
    return Buffer.concat(out)
  }
}

function rewriteParse(message: Buffer, rewrite: (text: string) => string): Buffer {
  const begin = message.indexOf(0, 5) + 1
  const end = message.indexOf(0, begin)
  const text = Buffer.from(rewrite(message.toString('utf8', begin, end)))
  const changed = Buffer.concat([message.subarray(0, begin), text, message.subarray(end)])
  changed.writeUInt32BE(changed.length - 1, 1)
  return changed
}
