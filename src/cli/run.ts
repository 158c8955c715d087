/** Runs one command to its end. */
import { CommanderError } from 'commander'
import { EXIT, exitCodeOf, Finding, ServiceError } from './exit-codes.js'
import { type Io, plain } from './output.js'
import { createProgram } from './program.js'

/** Runs what was typed, as `['key', 'list']`, and resolves with the exit code. What goes wrong is said on stderr. */
export async function run(env: Record<string, string | undefined>, typed: readonly string[], io: Io): Promise<number> {
  try {
    await createProgram(env, io).parseAsync(typed, { from: 'user' })
    return EXIT.done
  } catch (err) {
    // What is wrong with the command line, and what was found, was said already.
    if (!(err instanceof CommanderError || err instanceof Finding))
      io.stderr.write(`error: ${messageOf(err as Error)}\n`)
    return exitCodeOf(err)
  }
}

function messageOf(err: Error): string {
  const message = err.message.split('\n').map(plain).join('\n')
  if (!(err instanceof ServiceError)) return message
  const hint = err.status === 401 ? ' Here that is USER_EVENTS_KEY, or --key.' : ''
  return `${message}${hint}${err.problem.code ? ` (${plain(err.problem.code)})` : ''}`
}
