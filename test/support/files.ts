/**
 * Runs test files, each in a process of its own, first those that must be alone, then as many at once as there are cores (with
 * more the service sheds load, as it should), and adds up what their TAP says.
 * (The runner of tap would compile every file and all it imports anew: three times the time.)
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export type Counts = { passed: number; failed: number }

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Time that a file has to say what hangs in it, and then to end. */
const FILE_TIMEOUT_MS = 240_000
const END_TIMEOUT_MS = 10_000
/** Of files that somebody asked for by name, who waits and watches. */
const ASKED_TIMEOUT_MS = 3_600_000
/** They judge how long something takes under a load that needs the whole machine: nothing else runs meanwhile. */
const ALONE = /reliability\/delivery\./

/** The files in `folders`, those that take long first. */
export async function testFiles(folders: string[]): Promise<string[]> {
  const found = await readdir(`${ROOT}test`, { recursive: true })
  const files = found
    .map((file) => `test/${file}`)
    .filter((file) => file.endsWith('.test.ts') && folders.some((folder) => file.startsWith(`${folder}/`)))
  const rank = (file: string) =>
    /brokers|rabbitmq/.test(file) ? 0 : /reliability|embedded|readme|feed|subscriptions/.test(file) ? 1 : 2
  return files.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
}

/** Prints a line for each file that passes and all output of one that does not; counts assertions. `asked`: files were named. */
export async function runFiles(
  files: string[],
  env: NodeJS.ProcessEnv,
  { asked }: { asked: boolean }
): Promise<Counts> {
  const timeoutMs = asked ? ASKED_TIMEOUT_MS : FILE_TIMEOUT_MS
  const sum: Counts = { passed: 0, failed: 0 }
  async function work(left: string[]): Promise<void> {
    for (let file = left.shift(); file; file = left.shift()) {
      const { passed, failed } = await runFile(file, env, timeoutMs)
      sum.passed += passed
      sum.failed += failed
    }
  }
  await work(files.filter((file) => ALONE.test(file)))
  const left = files.filter((file) => !ALONE.test(file))
  await Promise.all(Array.from({ length: availableParallelism() }, () => work(left)))
  return sum
}

async function runFile(file: string, env: NodeJS.ProcessEnv, timeoutMs: number): Promise<Counts> {
  const startedAt = performance.now()
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    cwd: ROOT,
    env: { ...env, TAP_TIMEOUT: String(timeoutMs / 1000) },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs + END_TIMEOUT_MS)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const [code] = (await once(child, 'close')) as [number | null]
  clearTimeout(timer)
  const counts = countsOf(output, code)
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  const name = relative(ROOT, `${ROOT}${file}`)
  if (counts.failed === 0) console.log(`ok ${name}: ${counts.passed} passed in ${seconds} s`)
  else console.log(`${output}\nnot ok ${name}: ${counts.failed} failed, ended with code ${code} after ${seconds} s`)
  return counts
}

/** From the closing line of tap; a file that ended badly, said nothing or skipped anything has a failure more. */
function countsOf(output: string, code: number | null): Counts {
  const [, total = '0', pass = '0', skip] =
    /^# \{ total: (\d+)(?:, pass: (\d+))?[^}\n]*?(skip: \d+)?[^}\n]*\}$/m.exec(output) ?? []
  const passed = Number(pass)
  const failed = Number(total) - passed
  const bad = code !== 0 || passed === 0 || skip !== undefined
  return { passed, failed: bad ? Math.max(1, failed) : failed }
}
