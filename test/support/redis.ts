/** A real redis-server of its own for a test. */
import { createClient } from 'redis'
import { freePort, type Owner, type TestServer, testServer } from './server.js'

/** Every start finds it empty, unless `settings` make it keep what it has. */
export type RedisServer = TestServer & {
  url: string
  /** Runs a command on a connection of its own. */
  command(...args: string[]): Promise<unknown>
}

/** A server that is running; killed when the test ends. Fails when there is no redis-server to run. */
export async function testRedis(t: Owner, settings: Record<string, string> = {}): Promise<RedisServer> {
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const all = { port, bind: '127.0.0.1', save: '', appendonly: 'no', daemonize: 'no', ...settings }

  async function command(...words: string[]): Promise<unknown> {
    const client = createClient({ url, socket: { reconnectStrategy: false } })
    client.on('error', () => {})
    await client.connect()
    try {
      return await client.sendCommand(words)
    } finally {
      client.destroy()
    }
  }

  const server = await testServer(t, {
    command: 'redis-server',
    args: Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]),
    debian: { package: 'redis-server', check: ['redis-server', '--version'] },
    isUp: () => command('PING')
  })
  return { ...server, url, command }
}
