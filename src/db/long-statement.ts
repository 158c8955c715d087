/** Statements that take as long as they need, such as those that make an index of a large table. */
import { type Db, openDb } from './client.js'

/** Longest run of one, ms. */
const LONG_MS = 6 * 3_600_000

/**
 * Runs `work` on a connection of its own. What it runs throws DbError when `signal` is aborted; the server may carry it out all the
 * same.
 */
export async function withLongDb<T>(
  databaseUrl: string,
  work: (db: Db) => Promise<T>,
  signal?: AbortSignal
): Promise<T> {
  const own = openDb(databaseUrl, { poolMax: 1, statementTimeoutMs: LONG_MS, rows: 'all' })
  const abort = () => void own.close(0)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await work(own)
  } finally {
    signal?.removeEventListener('abort', abort)
    await own.close()
  }
}

/** Runs one statement so. */
export async function runLong(databaseUrl: string, statement: string, signal: AbortSignal): Promise<void> {
  await withLongDb(databaseUrl, (db) => db.query(statement), signal)
}
