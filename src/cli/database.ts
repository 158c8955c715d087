/** The database that commands work on. */
import { loadConfig } from '../config.js'
import { type Db, openDb } from '../db/client.js'
import { shareEmbeddedPostgres } from '../db/embedded/running.js'
import { migrate } from '../db/migrate.js'

/** Statements of commands may take long, ms. */
const STATEMENT_MS = 6 * 3_600_000

export type WithDatabase = <T>(work: (db: Db) => Promise<T>) => Promise<T>

/** Runs `work` on the database of DATABASE_URL in `env`, or on the embedded one of DATA_DIR. An empty one is set up first. */
export async function withDatabaseOf<T>(
  env: Record<string, string | undefined>,
  work: (db: Db) => Promise<T>
): Promise<T> {
  const { DATABASE_URL, DATA_DIR, DATABASE_PREPARE } = loadConfig(env)
  const embedded = DATABASE_URL === undefined ? await shareEmbeddedPostgres(DATA_DIR) : null
  const url = DATABASE_URL ?? embedded!.url
  const db = openDb(url, {
    poolMax: 2,
    statementTimeoutMs: STATEMENT_MS,
    prepare: DATABASE_PREPARE,
    applicationName: 'user-events',
    rows: 'all'
  })
  try {
    if (await isEmpty(db)) await migrate(url)
    return await work(db)
  } finally {
    await db.close()
    await embedded?.close()
  }
}

/** Whether no version of the service has been here. */
async function isEmpty(db: Db): Promise<boolean> {
  const [row] = await db.query<{ empty: boolean }>("SELECT to_regclass('schema_migrations') IS NULL AS empty")
  return row!.empty
}
