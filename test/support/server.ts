/** A server of another system of its own for a test, which can be killed, started again, and stopped in its tracks. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { until } from './wait.js'

export type TestServer = {
  /** Starts it and resolves when it answers. */
  start(): Promise<void>
  /** Kills it and resolves when it is gone. */
  kill(): Promise<void>
  /** It keeps its connections and takes new ones, but says nothing, until `resume`. */
  freeze(): void
  resume(): void
}

/** Who a server belongs to: it is killed when that ends. */
export type Owner = Pick<Test, 'teardown'>

type Program = {
  command: string
  args: string[]
  env?: Record<string, string>
  /** what to install, and a command that fails when it is not */
  debian: { package: string; check: [string, ...string[]] }
  /** asked again and again after the start; may throw */
  isUp: () => Promise<unknown>
  /** gets what it writes to its error output */
  onStderr?: (text: string) => void
}

const run = promisify(execFile)

/** Longest start: a RabbitMQ beside whatever else starts then, ms. */
const UP_MS = 150_000
/** How much of what a server said is told when it does not come up. */
const SAID_CHARS = 2000

/**
 * Tells the server's pid, and kills it with all of its process group, and itself, as soon as the test is gone, in whatever
 * way that ended. From the start on it says nothing itself: what it wrote to a test that is gone would end it too soon.
 */
const GUARD = '"$@" >&2 < /dev/null & echo $!; exec 2> /dev/null; cat > /dev/null; kill -KILL $!; wait $!; kill -KILL 0'

/** A server that is running; killed when the test ends. Fails when there is no such program. */
export async function testServer(t: Owner, program: Program): Promise<TestServer> {
  const { command, args, env = {}, debian, isUp, onStderr } = program
  let running: { guard: ChildProcess; pid: number } | null = null

  async function start(): Promise<void> {
    const [check, ...words] = debian.check
    await run(check, words).catch((cause: Error) => {
      const install = `apt-get install ${debian.package}`
      throw new Error(`There is no ${debian.package} to test with. Install it: ${install}.`, { cause })
    })
    const guard = spawn('sh', ['-c', GUARD, 'sh', command, ...args], {
      env: { ...process.env, ...env },
      detached: true
    })
    let said = ''
    guard.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-SAID_CHARS)
      onStderr?.(text)
    })
    const [pid] = (await once(guard.stdout, 'data')) as [Buffer]
    running = { guard, pid: Number(pid) }
    await until(() => isUp().catch(() => false), { what: debian.package, timeoutMs: UP_MS }).catch((cause: Error) => {
      throw new Error(`${cause.message} It said last: ${said}`, { cause })
    })
  }

  async function kill(): Promise<void> {
    const guard = running?.guard
    if (!guard) return
    process.kill(running!.pid, 'SIGKILL')
    running = null
    const exit = once(guard, 'exit')
    guard.stdin!.end()
    await exit
  }

  t.teardown(kill)
  await start()
  return {
    start,
    kill,
    freeze: () => void process.kill(running!.pid, 'SIGSTOP'),
    resume: () => void process.kill(running!.pid, 'SIGCONT')
  }
}

/** Below 32768, where no outgoing connection takes it while the server is down. */
export async function freePort(): Promise<number> {
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
