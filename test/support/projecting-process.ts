/** Starts and ends processes that only project (projecting.js). */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const FILE = fileURLToPath(new URL('projecting.js', import.meta.url))

export type ProjectingProcess = {
  child: ChildProcess
  /** Sends a signal and resolves when the process is gone. */
  end(signal: NodeJS.Signals): Promise<void>
}

/** Starts one and resolves when it runs. Killed when the test ends. */
export async function startProjecting(t: Test, env: Record<string, string>): Promise<ProjectingProcess> {
  const child = spawn(process.execPath, [FILE], {
    env: { PATH: process.env.PATH ?? '', ...env },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const gone = once(child, 'exit')
  async function end(signal: NodeJS.Signals): Promise<void> {
    child.kill(signal)
    await gone
  }
  t.teardown(() => end('SIGKILL'))
  const died = gone.then(([code]) => {
    throw new Error(`It ended with code ${code}.`)
  })
  died.catch(() => {})
  await Promise.race([once(child.stdout!, 'data'), died])
  return { child, end }
}
