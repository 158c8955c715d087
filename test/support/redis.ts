/** A real redis-server of its own for a test, which can be killed, started again, and stopped in its tracks. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import { createClient } from 'redis'
import type { Test } from 'tap'
import { until } from './wait.js'

export type RedisServer = {
  url: string
  /** Starts it, empty, and resolves when it answers. */
  start(): Promise<void>
  /** Kills it and resolves when it is gone. */
  kill(): Promise<void>
  /** It keeps its connections and takes new ones, but says nothing, until `resume`. */
  freeze(): void
  resume(): void
  /** Runs a command on a connection of its own. */
  command(...args: string[]): Promise<unknown>
}

const run = promisify(execFile)

/** Tells the server's pid, and kills it as soon as the test is gone, in whatever way that ended. */
const GUARD = 'redis-server "$@" >&2 & echo $!; cat > /dev/null; kill -KILL $!'

/** A server that is running; killed when the test ends. Fails when there is no redis-server to run. */
export async function testRedis(t: Test): Promise<RedisServer> {
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const settings = { port, bind: '127.0.0.1', save: '', appendonly: 'no', daemonize: 'no' }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
  let running: { guard: ChildProcess; pid: number } | null = null

  async function start(): Promise<void> {
    await run('redis-server', ['--version']).catch((cause: Error) => {
      throw new Error('There is no redis-server to test with. Install it: apt-get install redis-server.', { cause })
    })
    const guard = spawn('sh', ['-c', GUARD, 'sh', ...args], { stdio: ['pipe', 'pipe', 'ignore'] })
    const [pid] = (await once(guard.stdout, 'data')) as [Buffer]
    running = { guard, pid: Number(pid) }
    await until(() => command('PING').catch(() => null), { what: 'redis-server' })
  }

  async function kill(): Promise<void> {
    const guard = running?.guard
    running = null
    if (!guard) return
    guard.stdin!.end()
    await once(guard, 'exit')
    await until(() =>
      command('PING').then(
        () => false,
        () => true
      )
    )
  }

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

  t.teardown(kill)
  await start()
  return {
    url,
    start,
    kill,
    freeze: () => void process.kill(running!.pid, 'SIGSTOP'),
    resume: () => void process.kill(running!.pid, 'SIGCONT'),
    command
  }
}

/** Below 32768, where no outgoing connection takes it while the server is down. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_768)
    const server = createServer()
    server.listen(port, '127.0.0.1')
    const free = await once(server, 'listening').then(
      () => true,
      () => false
    )
    if (!free) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
