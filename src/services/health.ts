/** Whether this instance can do its work, and if not, why. */
import type { Db } from '../db/client.js'
import type { Migration } from '../db/migrate.js'
import { toDbError } from '../db/pg-error.js'

export type Check = { ok: boolean; detail: string }
export type Readiness = {
  ready: boolean
  checks: { process: Check; database: Check; migrations: Check; durability: Check }
}

export type HealthService = ReturnType<typeof createHealthService>

const PROBE = `
  SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS "fullPageWrites",
         current_setting('synchronous_commit') AS "synchronousCommit", current_setting('server_version') AS "serverVersion",
         pg_is_in_recovery()::text AS standby, (SELECT max(number)::text FROM schema_migrations) AS migration`

type Probe = {
  fsync: string
  fullPageWrites: string
  synchronousCommit: string
  serverVersion: string
  standby: string
  migration: string | null
}

export function createHealthService({ db, migrations }: { db: Db; migrations: Migration[] }) {
  let leaving = false
  const newest = migrations.at(-1)!

  async function probe(): Promise<Probe | string> {
    try {
      const [row] = await db.query<Probe>(PROBE)
      return row!
    } catch (err) {
      return `the database does not answer (${toDbError(err).sqlState}); check that it runs and that DATABASE_URL is right`
    }
  }

  return {
    /** From now on the instance says that it is not ready, so that no new work is sent to it. */
    leave(): void {
      leaving = true
    },

    async readiness(): Promise<Readiness> {
      const found = await probe()
      const unknown = { ok: false, detail: 'not known while the database does not answer' }
      const checks = {
        process: leaving ? { ok: false, detail: 'shutting down' } : { ok: true, detail: 'serving' },
        database: typeof found === 'string' ? { ok: false, detail: found } : databaseCheck(found),
        migrations: typeof found === 'string' ? unknown : migrationCheck(found, newest),
        durability: typeof found === 'string' ? unknown : durabilityCheck(found)
      }
      return { ready: Object.values(checks).every(({ ok }) => ok), checks }
    }
  }
}

function databaseCheck({ serverVersion, standby }: Probe): Check {
  return standby === 'true'
    ? { ok: false, detail: 'the database is a standby and takes no writes; point DATABASE_URL at the primary' }
    : { ok: true, detail: `PostgreSQL ${serverVersion}` }
}

function migrationCheck({ migration }: Probe, newest: Migration): Check {
  if (Number(migration ?? -1) === newest.number) return { ok: true, detail: newest.name }
  return {
    ok: false,
    detail: `the database is at migration ${migration ?? 'none'}, this version needs ${newest.number}; restart the service to migrate`
  }
}

function durabilityCheck({ fsync, fullPageWrites, synchronousCommit }: Probe): Check {
  const unsafe = [
    fsync === 'on' ? '' : `fsync is ${fsync}`,
    fullPageWrites === 'on' ? '' : `full_page_writes is ${fullPageWrites}`,
    synchronousCommit === 'off' || synchronousCommit === 'local' ? `synchronous_commit is ${synchronousCommit}` : ''
  ].filter(Boolean)
  return unsafe.length === 0
    ? { ok: true, detail: 'every acknowledged event is on disk' }
    : { ok: false, detail: `${unsafe.join(', ')}: an acknowledged event could be lost; set it to on` }
}
