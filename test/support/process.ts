/** The built service as a process of its own, as an operator runs it: for kills, signals and several instances. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export type ServiceProcess = {
  /** http://127.0.0.1:port */
  url: string
  child: ChildProcess
  /** log lines and error output so far */
  output: string[]
  /** Sends a signal and resolves with the exit code (null if killed) when the process is gone. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

/** Starts `node dist/main.js` on a free port and resolves when it is ready; rejects with its output if it ends first. Killed when the test ends. */
export async function startProcess(t: Test, env: Record<string, string>, cwd?: string): Promise<ServiceProcess> {
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env.PATH ?? '', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd ? { cwd } : {})
  })
  t.teardown(() => end(child, 'SIGKILL'))
  const output: string[] = []
  createInterface(child.stderr!).on('line', (line) => output.push(line))
  const url = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout!).on('line', (line) => {
      output.push(line)
      const { msg, address } = parse(line)
      if (msg === 'ready' && address) resolve(address)
    })
    child.once('close', (code) => reject(new Error(`The service ended with code ${code}:\n${output.join('\n')}`)))
  })
  return { url, child, output, end: (signal) => end(child, signal) }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill(signal)
    await once(child, 'exit')
  }
  return child.exitCode
}

function parse(line: string): { msg?: string; address?: string } {
  try {
    return JSON.parse(line)
  } catch {
    return {}
  }
}
