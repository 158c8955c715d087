/**
 * What a failed query means. One place turns errors of the driver, of Drizzle and of the network into a DbError;
 * everything above looks at `outcome` and `constraint` only. Messages of Drizzle hold every parameter, so they are never
 * passed on: a DbError carries codes and the server's own sentence, and no parameters.
 */
import { HUNG_UP } from './socket.js'

/**
 * - `definite`: the statement did nothing and would fail again
 * - `conflict`: it did nothing because another transaction was in the way; trying again may succeed
 * - `unavailable`: it was never sent, or refused for want of resources; trying again later may succeed
 * - `unknown`: it may or may not have been carried out
 */
export type DbOutcome = 'definite' | 'conflict' | 'unavailable' | 'unknown'

export class DbError extends Error {
  override name = 'DbError'

  constructor(
    readonly outcome: DbOutcome,
    /** SQLSTATE, or the driver's or the system's code (`CONNECTION_CLOSED`, `ECONNREFUSED`) */
    readonly sqlState: string,
    /** name of the constraint that refused, without a partition's or shard's suffix being cut off */
    readonly constraint: string | null,
    message: string
  ) {
    super(message)
  }
}

const CONFLICT = new Set(['23505', '40001', '40P01', '55P03', '57014'])
const NEVER_SENT = new Set([
  HUNG_UP,
  '57P03',
  'ECONNREFUSED',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'CONNECT_TIMEOUT',
  'CONNECTION_ENDED'
])

/** Makes a DbError of whatever the driver threw; a DbError comes back as it is. */
export function toDbError(err: unknown): DbError {
  if (err instanceof DbError) return err
  const {
    name,
    code = 'NO_CODE',
    constraint_name: constraint = null,
    message
  } = err as { name: string; code?: string; constraint_name?: string; message: string }
  const answered = name === 'PostgresError'
  // Sentences about data (class 22) quote the value; others name columns and constraints, with values in the detail.
  const sentence = answered && code.startsWith('22') ? 'The database refused a value.' : message
  return new DbError(outcomeOf(code, answered), code, constraint, sentence)
}

/** The DbError that `err` is or hides in its causes (Drizzle wraps what the client throws); null if there is none. */
export function findDbError(err: unknown): DbError | null {
  for (let cause = err; cause instanceof Error; cause = cause.cause) if (cause instanceof DbError) return cause
  return null
}

/** `answered`: the server said so. By its looks alone EPIPE could be a SQLSTATE. */
function outcomeOf(code: string, answered: boolean): DbOutcome {
  if (CONFLICT.has(code)) return 'conflict'
  if (NEVER_SENT.has(code) || code.startsWith('53')) return 'unavailable'
  // The statement was rolled back. Not known when the connection ends with the answer.
  if (answered && !/^(08|57P|XX)/.test(code)) return 'definite'
  return 'unknown'
}
