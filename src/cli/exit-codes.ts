/** How commands end. README has the same table, and a test compares the two. */
import { CommanderError } from 'commander'
import { ConfigError } from '../config.js'
import { findDbError } from '../db/pg-error.js'
import { DomainError } from '../domain/errors.js'

export const EXIT = {
  done: 0,
  wrong: 1,
  misused: 2,
  refused: 3,
  unavailable: 4
} as const

export const EXIT_MEANINGS: Record<keyof typeof EXIT, string> = {
  done: 'done; what was checked is right',
  wrong: 'what was checked is not right, or what was asked for cannot be done',
  misused: 'the command line or a setting is wrong; nothing was done',
  refused: 'the service says no: not found, not allowed, not valid',
  unavailable: 'the service or the database does not answer, or not now'
}

/** What is wrong with the command line; nothing was done. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** What was checked is not right; it was printed. */
export class Finding extends Error {
  override name = 'Finding'
}

/** Says no and why: the body of a problem of the service. */
export class ServiceError extends Error {
  override name = 'ServiceError'

  constructor(
    readonly status: number,
    readonly problem: { code?: string; detail?: string } & Record<string, unknown>
  ) {
    super(problem.detail ?? `The service answered with status ${status} and no reason.`)
  }
}

/** There is no answer: nobody knows whether anything was done. */
export class UnavailableError extends Error {
  override name = 'UnavailableError'
}

/** The exit code of a command that ended with `err`. */
export function exitCodeOf(err: unknown): number {
  if (err instanceof CommanderError) return err.exitCode === 0 ? EXIT.done : EXIT.misused
  if (err instanceof UsageError || err instanceof ConfigError) return EXIT.misused
  if (err instanceof DomainError) return EXIT.refused
  if (err instanceof ServiceError) return err.status < 500 ? EXIT.refused : EXIT.unavailable
  if (err instanceof UnavailableError) return EXIT.unavailable
  const failure = findDbError(err)
  return failure && failure.outcome !== 'definite' && failure.outcome !== 'conflict' ? EXIT.unavailable : EXIT.wrong
}
