/** The database that commands work on. */
import { type Config, loadConfig } from '../config.js'
import { type Db, openDb } from '../db/client.js'
import { shareEmbeddedPostgres } from '../db/embedded/running.js'
import { MigrationError, migrate, readStatus } from '../db/migrate.js'

/** Statements of commands may take long, ms. */
const STATEMENT_MS = 6 * 3_600_000

export type DatabasePlace = { url: string; config: Config }

/**
 * Runs `work` on the database of DATABASE_URL in `env`, or on the embedded one of DATA_DIR. An empty one is set up first; one of
 * another version is refused (MigrationError), unless the work is to look at it `asItIs`.
 */
export async function withDatabaseOf<T>(
  env: Record<string, string | undefined>,
  work: (db: Db, place: DatabasePlace) => Promise<T>,
  { asItIs = false, poolMax = 2 }: { asItIs?: boolean; poolMax?: number } = {}
): Promise<T> {
  const config = loadConfig(env)
  const { DATABASE_URL, DATA_DIR, DATABASE_PREPARE } = config
  const embedded = DATABASE_URL === undefined ? await shareEmbeddedPostgres(DATA_DIR) : null
  const url = DATABASE_URL ?? embedded!.url
  const db = openDb(url, {
    poolMax,
    statementTimeoutMs: STATEMENT_MS,
    prepare: DATABASE_PREPARE,
    applicationName: 'user-events',
    rows: 'all'
  })
  try {
    if (!asItIs) await prepare(db, url)
    return await work(db, { url, config })
  } finally {
    await db.close()
    await embedded?.close()
  }
}

async function prepare(db: Db, url: string): Promise<void> {
  const { applied, missing } = await readStatus(db)
  if (missing.length === 0) return
  if (applied.length > 0)
    throw new MigrationError(
      `The database is of an older version of the service: it lacks ${missing.join(', ')}. Run user-events migrate up, or restart the service, which does the same.`
    )
  await migrate(url)
}
