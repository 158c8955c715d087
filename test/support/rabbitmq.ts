/** A real RabbitMQ node of its own for a test, with its own epmd; durable queues survive a kill. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type ConfirmChannel, connect } from 'amqplib'
import type { Test } from 'tap'
import { freePort, type TestServer, testServer } from './server.js'
import type { Arrival } from './sinks.js'
import { until } from './wait.js'

export type RabbitServer = TestServer & {
  url: string
  /** Runs `use` with a channel of its own. */
  as<T>(use: (channel: ConfirmChannel) => Promise<T>): Promise<T>
  /** What a queue holds, in its order. It stays there. */
  arrivals(queue: string): Promise<Arrival[]>
  /** Runs rabbitmqctl. */
  control(...words: string[]): Promise<void>
}

const BIN = '/usr/lib/rabbitmq/bin'
const run = promisify(execFile)

/** A node that is running; killed when the test ends. Fails when there is no RabbitMQ to run. */
export async function testRabbit(t: Test): Promise<RabbitServer> {
  const [port, distribution, epmd] = [await freePort(), await freePort(), await freePort()]
  const folder = await mkdtemp(join(tmpdir(), 'rabbitmq-'))
  t.teardown(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }))
  const url = `amqp://127.0.0.1:${port}`
  const at = (name: string): string => join(folder, name)
  await writeFile(at('rabbitmq.conf'), `listeners.tcp.1 = 127.0.0.1:${port}\ndisk_free_limit.absolute = 1MB\n`)
  for (const name of ['env.conf', 'plugins']) await writeFile(at(name), name === 'plugins' ? '[].' : '')

  async function as<T>(use: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
    const connection = await connect(url)
    connection.on('error', () => {})
    try {
      const channel = await connection.createConfirmChannel()
      channel.on('error', () => {})
      return await use(channel)
    } finally {
      await connection.close().catch(() => {})
    }
  }

  const env = {
    HOME: folder,
    RUNNING_UNDER_SYSTEMD: 'yes', // makes the script become the node instead of waiting for it
    ERL_EPMD_PORT: String(epmd),
    RABBITMQ_NODENAME: `test-${port}@localhost`,
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_MNESIA_BASE: at('mnesia'),
    RABBITMQ_LOG_BASE: at('log'),
    RABBITMQ_CONFIG_FILE: at('rabbitmq.conf'),
    RABBITMQ_CONF_ENV_FILE: at('env.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: at('plugins')
  }

  const server = await testServer(t, {
    // An epmd that RabbitMQ finds running, it does not start as a daemon.
    command: 'sh',
    args: ['-c', `epmd -address 127.0.0.1 -port ${epmd} & exec ${BIN}/rabbitmq-server`],
    env,

    debian: { package: 'rabbitmq-server', check: ['test', '-x', `${BIN}/rabbitmq-server`] },
    isUp: () => as(async () => true)
  })
  return {
    ...server,
    url,
    as,
    async control(...words) {
      await run(`${BIN}/rabbitmqctl`, words, { env: { ...process.env, ...env } })
    },
    arrivals: (queue) =>
      as(async (channel) => {
        const { messageCount } = await channel.checkQueue(queue)
        const found: Arrival[] = []
        if (messageCount === 0) return found
        await channel.consume(queue, (message) => {
          const { fields, properties, content } = message!
          const headers = properties.headers as unknown as Record<string, string>
          found.push({ to: fields.routingKey, headers, body: content.toString() })
        })
        await until(() => found.length >= messageCount, { what: `${messageCount} messages` })
        return found
      })
  }
}
