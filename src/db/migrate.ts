/**
 * Brings the tables to what this version of the service expects. The files of drizzle/ are applied in order, each
 * exactly once, whatever number of instances start at the same moment, and a file that was applied is never run again.
 *
 * Each file is one message of several statements, which PostgreSQL carries out as one transaction: it takes a lock,
 * notes the file (a second instance fails here and goes on with the next), and runs it. Nothing depends on a session, so it works
 * through a pooler as well.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import postgres from 'postgres'
import type { Db } from './client.js'
import { toDbError } from './pg-error.js'
import { backoffSeconds, createSocketOpener } from './socket.js'

export type Migration = { number: number; name: string; sql: string; hash: string }

export class MigrationError extends Error {
  override name = 'MigrationError'
}

/**
 * Hashes of files as they were before they were edited so that logins without privileges can apply them to an empty database.
 * What the older text did to a database is as good, so nothing is to be done there.
 */
const EARLIER_HASHES = new Map([
  ['0008_claims', '51c9dff8bc4bf306ba268182fb1dcb5b134a495cbb20f14cc89d1f0d1d5cf356'],
  ['0009_archive', '055888875f25e797a222b843e613006aa66b0fe2110b32d0cff106636489bb47']
])

const FOLDER = new URL('../../drizzle/', import.meta.url)
const LOCK = 'SELECT pg_advisory_xact_lock(1970365812);'
const CREATE_LEDGER = `${LOCK}
  CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer NOT NULL, name text NOT NULL, hash text NOT NULL, "appliedAt" timestamptz(3) NOT NULL DEFAULT now(),
    CONSTRAINT schema_migrations_pkey PRIMARY KEY (number))`

/** The migrations that come with this version, in order. */
export async function readMigrations(): Promise<Migration[]> {
  const journal = JSON.parse(await readFile(new URL('meta/_journal.json', FOLDER), 'utf8')) as {
    entries: { idx: number; tag: string }[]
  }
  return await Promise.all(
    journal.entries.map(async ({ idx, tag }) => {
      const sql = await readFile(new URL(`${tag}.sql`, FOLDER), 'utf8')
      return { number: idx, name: tag, sql, hash: createHash('sha256').update(sql).digest('hex') }
    })
  )
}

/**
 * Applies what is missing and returns the names of the files this call applied. Waits up to `waitMs` for a database
 * that is still starting. Throws MigrationError, with nothing changed, if the database was migrated by a newer version of
 * the service or if a file that was applied has been edited since.
 */
export async function migrate(
  url: string,
  { waitMs = 30_000, migrations }: { waitMs?: number; migrations?: Migration[] } = {}
): Promise<string[]> {
  const known = migrations ?? (await readMigrations())
  const sql = postgres(url, {
    max: 1,
    fetch_types: false,
    onnotice: () => {},
    connect_timeout: 10,
    backoff: backoffSeconds,
    socket: createSocketOpener()
  } as postgres.Options<Record<string, postgres.PostgresType>>)
  try {
    await whenReachable(() => sql.unsafe(CREATE_LEDGER), waitMs)
    const applied: string[] = []
    for (const migration of await findMissing(sql, known)) {
      if (await apply(sql, migration)) applied.push(migration.name)
    }
    await findMissing(sql, known)
    return applied
  } finally {
    await sql.end({ timeout: 5 })
  }
}

export type MigrationStatus = { applied: { name: string; appliedAt: string }[]; missing: string[] }

/** Which migrations were applied to a database and which are missing; changes nothing. Throws MigrationError as `migrate` does. */
export async function readStatus(db: Pick<Db, 'query'>): Promise<MigrationStatus> {
  const known = await readMigrations()
  const [ledger] = await db.query<{ empty: boolean }>("SELECT to_regclass('schema_migrations') IS NULL AS empty")
  const rows = ledger!.empty
    ? []
    : await db.query<LedgerRow & { appliedAt: string }>(
        `SELECT number, name, hash, to_char("appliedAt" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "appliedAt"
         FROM schema_migrations ORDER BY number`
      )
  return {
    applied: rows.map(({ name, appliedAt }) => ({ name, appliedAt })),
    missing: missingIn(rows, known).map(({ name }) => name)
  }
}

type LedgerRow = { number: number; name: string; hash: string }

async function findMissing(sql: postgres.Sql, known: Migration[]): Promise<Migration[]> {
  const rows = await sql.unsafe<LedgerRow[]>('SELECT number, name, hash FROM schema_migrations ORDER BY number')
  return missingIn(rows, known)
}

function missingIn(rows: readonly LedgerRow[], known: Migration[]): Migration[] {
  for (const row of rows) {
    const migration = known.find(({ number }) => number === row.number)
    if (!migration) {
      throw new MigrationError(
        `The database was migrated by a newer version of the service: it has ${row.name}, this version ends at ${known.at(-1)?.name}. ` +
          'Start that newer version or a later one; this one would not understand what it stored.'
      )
    }
    if (migration.hash !== row.hash && EARLIER_HASHES.get(row.name) !== row.hash) {
      throw new MigrationError(
        `The migration ${row.name} was edited after it was applied to this database. Restore the file as released, and put changes into a new one.`
      )
    }
  }
  return known.filter(({ number }) => !rows.some((row) => row.number === number))
}

/** False if another instance applied it meanwhile. */
async function apply(sql: postgres.Sql, { number, name, sql: text, hash }: Migration): Promise<boolean> {
  const note = `INSERT INTO schema_migrations (number, name, hash) VALUES (${number}, '${name.replaceAll("'", "''")}', '${hash}')`
  try {
    await sql.unsafe(`${LOCK}\n${note};\n${text}`)
    return true
  } catch (err) {
    if (toDbError(err).constraint === 'schema_migrations_pkey') return false
    throw err
  }
}

async function whenReachable(attempt: () => Promise<unknown>, waitMs: number): Promise<void> {
  const giveUpAt = performance.now() + waitMs
  for (;;) {
    try {
      await attempt()
      return
    } catch (err) {
      if (toDbError(err).outcome === 'definite' || performance.now() > giveUpAt) throw err
      await pause(200)
    }
  }
}
