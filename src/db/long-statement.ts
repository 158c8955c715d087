/** Statements that take as long as they need, such as those that make an index of a large table. */
import { openDb } from './client.js'

/** Longest run of one, ms. */
const LONG_MS = 6 * 3_600_000

/** Runs it on a connection of its own. Throws DbError; also when it is aborted, and then the server may carry it out all the same. */
export async function runLong(databaseUrl: string, statement: string, signal: AbortSignal): Promise<void> {
  const own = openDb(databaseUrl, { poolMax: 1, statementTimeoutMs: LONG_MS })
  const abort = () => void own.close(0)
  signal.addEventListener('abort', abort, { once: true })
  try {
    await own.query(statement)
  } finally {
    signal.removeEventListener('abort', abort)
    await own.close()
  }
}
