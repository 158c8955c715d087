// Starts PostgreSQL's programs: as the chosen account, with an environment of their own, and with what they print going to the end
// of a log file. A file, not a pipe: a server that outlives the service would break its next message on a pipe nobody reads.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type FileHandle, open } from 'node:fs/promises'
import { type Account, programEnvironment } from './account.js'
import { EmbeddedPostgresError } from './error.js'

/** `readTail` reads what was logged since the start of this program, at most the last 4 KiB. */
export type StartedProgram = { child: ChildProcess; readTail: () => Promise<string> }

export type ProgramOptions = {
  program: string
  args: string[]
  account: Account
  log: string
  /** Signals to the service's process group, Ctrl-C for one, do not reach a detached program. */
  detached?: boolean
  env?: Record<string, string>
}

const logBytesMax = 10 * 1024 * 1024
const tailBytesMax = 4096

/** Starts a program and returns once it runs. Throws PROGRAMS_UNUSABLE if the system cannot execute it. */
export async function startProgram(options: ProgramOptions): Promise<StartedProgram> {
  const { program, args, account, log } = options
  const [command = program, ...rest] = [...account.prefix, program, ...args]
  return withFile(log, 'a', async (file) => {
    const { size } = await file.stat()
    const child = spawn(command, rest, {
      ...account.owner,
      detached: options.detached ?? false,
      windowsHide: true,
      // The service's own working folder may be closed to the account.
      cwd: '/',
      env: { ...programEnvironment, ...options.env },
      stdio: ['ignore', file.fd, file.fd]
    })
    await once(child, 'spawn').catch((err) => {
      throw cannotRun(program, err)
    })
    return { child, readTail: () => readTail(log, size) }
  })
}

/** Whether the program has exited or was killed. */
export function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** Empties the log when it has grown beyond 10 MiB. Programs append to it, so this is safe while one runs. */
export async function limitLog(log: string): Promise<void> {
  await withFile(log, 'a', async (file) => {
    if ((await file.stat()).size > logBytesMax) await file.truncate(0)
  })
}

async function readTail(log: string, from: number): Promise<string> {
  return withFile(log, 'r', async (file) => {
    const { size } = await file.stat()
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(tailBytesMax),
      position: Math.max(from, size - tailBytesMax)
    })
    return buffer.toString('utf8', 0, bytesRead).trim()
  })
}

async function withFile<Result>(
  path: string,
  flags: string,
  work: (file: FileHandle) => Promise<Result>
): Promise<Result> {
  const file = await open(path, flags, 0o600)
  try {
    return await work(file)
  } finally {
    await file.close()
  }
}

// Typically a program built for glibc on a system without it.
function cannotRun(program: string, err: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'PROGRAMS_UNUSABLE',
    `The program ${program} cannot run here (${(err as Error).message}); it needs glibc and the right to execute files in its ` +
      'folder: set DATABASE_URL to a PostgreSQL of your own.',
    { cause: err }
  )
}
