/** A real nats-server with JetStream of its own for a test; what its streams took survives a kill. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { freePort, type Owner, type TestServer, testServer } from './server.js'
import type { Arrival } from './sinks.js'

export type NatsServer = TestServer & {
  url: string
  /** Runs `use` with a connection of its own. */
  as<T>(use: (connection: NatsConnection) => Promise<T>): Promise<T>
  addStream(name: string, subjects: string[], settings?: object): Promise<void>
  /** What a stream holds, in its order. */
  arrivals(stream: string): Promise<Arrival[]>
}

/**
 * A server that is running, for one user only if one is given; killed when the test ends. Fails when there is no nats-server
 * to run.
 */
export async function testNats(t: Owner, user?: { user: string; pass: string }): Promise<NatsServer> {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'nats-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const url = `nats://127.0.0.1:${port}`

  async function as<T>(use: (connection: NatsConnection) => Promise<T>): Promise<T> {
    const connection = await connect({ servers: `127.0.0.1:${port}`, reconnect: false, ...user })
    try {
      return await use(connection)
    } finally {
      await connection.close()
    }
  }

  const server = await testServer(t, {
    command: 'nats-server',
    args: [
      '-js',
      '-sd',
      folder,
      '-a',
      '127.0.0.1',
      '-p',
      String(port),
      ...(user ? ['--user', user.user, '--pass', user.pass] : [])
    ],
    debian: { package: 'nats-server', check: ['nats-server', '--version'] },
    isUp: () => as(async (connection) => (await jetstreamManager(connection)).getAccountInfo())
  })
  return {
    ...server,
    url,
    as,
    async addStream(name, subjects, settings = {}) {
      await as(async (connection) => (await jetstreamManager(connection)).streams.add({ name, subjects, ...settings }))
    },
    arrivals: (stream) =>
      as(async (connection) => {
        const consumer = await jetstream(connection).consumers.get(stream)
        let left = (await consumer.info()).num_pending
        const found: Arrival[] = []
        while (left > 0) {
          for await (const message of await consumer.fetch({ max_messages: Math.min(left, 500) })) {
            const headers = Object.fromEntries([...message.headers!].map(([name, [value]]) => [name, value!]))
            found.push({ to: message.subject, headers, body: message.string() })
            left--
          }
        }
        return found
      })
  }
}
