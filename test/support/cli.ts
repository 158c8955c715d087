/** `user-events …` as an operator runs it: the built command, in a process of its own. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TestDatabase } from './db.js'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export type Ended = { code: number; out: string; err: string }

/** Runs the command on a database and tells how it ended. */
export async function cli({ url }: Pick<TestDatabase, 'url'>, ...args: string[]): Promise<Ended> {
  const env = { PATH: process.env.PATH ?? '', DATABASE_URL: url }
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [MAIN, ...args], { env })
    return { code: 0, out: stdout, err: stderr }
  } catch (err) {
    const { code, stdout, stderr } = err as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}
