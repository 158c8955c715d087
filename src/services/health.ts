/** Whether this instance can do its work, and if not, why; and what else is worth a look. */
import type { Db } from '../db/client.js'
import type { Migration } from '../db/migrate.js'
import { toDbError } from '../db/pg-error.js'
import type { ProjectionView } from './projections.js'

export type Check = { ok: boolean; detail: string }
export type Readiness = {
  ready: boolean
  /** all but `projections` decide: events are stored and replayed without them */
  checks: { process: Check; database: Check; migrations: Check; durability: Check; projections: Check }
}

export type HealthService = ReturnType<typeof createHealthService>

const PROBE = `
  SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS "fullPageWrites",
         current_setting('synchronous_commit') AS "synchronousCommit", current_setting('server_version') AS "serverVersion",
         pg_is_in_recovery()::text AS standby, to_regclass('schema_migrations')::text AS ledger`
const NEWEST = 'SELECT max(number) AS migration FROM schema_migrations'

const unknown: Check = { ok: false, detail: 'not known while the database does not answer' }

type Probe = {
  fsync: string
  fullPageWrites: string
  synchronousCommit: string
  serverVersion: string
  standby: string
  /** name of the table of migrations; null in a database that never had any */
  ledger: string | null
  /** number of the newest migration; null when there is none */
  migration: number | null
}

export function createHealthService(parts: { db: Db; migrations: Migration[]; projections: () => Promise<Noted[]> }) {
  const { db, migrations, projections } = parts
  let leaving = false
  const newest = migrations.at(-1)!

  async function probe(): Promise<Probe | string> {
    try {
      const [settings] = await db.query<Omit<Probe, 'migration'>>(PROBE, [], { repeatable: true })
      const [ledger] =
        settings!.ledger === null ? [] : await db.query<Pick<Probe, 'migration'>>(NEWEST, [], { repeatable: true })
      return { ...settings!, migration: ledger?.migration ?? null }
    } catch (err) {
      return `the database does not answer (${toDbError(err).sqlState}); check that it runs and that DATABASE_URL is right`
    }
  }

  async function projectionsCheck(): Promise<Check> {
    try {
      const notes = (await projections()).flatMap(notesOf)
      return notes.length === 0
        ? { ok: true, detail: 'every event is applied' }
        : { ok: false, detail: `${notes.join('; ')}; see GET /admin/projections` }
    } catch (err) {
      return { ok: false, detail: `they cannot be read (${toDbError(err).sqlState})` }
    }
  }

  /** What decides whether requests should be sent here. */
  async function neededChecks(): Promise<Omit<Readiness['checks'], 'projections'>> {
    const found = await probe()
    return {
      process: leaving ? { ok: false, detail: 'shutting down' } : { ok: true, detail: 'serving' },
      database: typeof found === 'string' ? { ok: false, detail: found } : databaseCheck(found),
      migrations: typeof found === 'string' ? unknown : migrationCheck(found, newest),
      durability: typeof found === 'string' ? unknown : durabilityCheck(found)
    }
  }

  return {
    /** From now on the instance says that it is not ready, so that no new work is sent to it. */
    leave(): void {
      leaving = true
    },

    /** What `readiness` says, without the reasons. */
    isReady: async (): Promise<boolean> => allOk(await neededChecks()),

    async readiness(): Promise<Readiness> {
      const needed = await neededChecks()
      const ready = allOk(needed)
      return { ready, checks: { ...needed, projections: ready ? await projectionsCheck() : unknown } }
    }
  }
}

const allOk = (checks: Record<string, Check>): boolean => Object.values(checks).every(({ ok }) => ok)

function databaseCheck({ serverVersion, standby }: Probe): Check {
  return standby === 'true'
    ? { ok: false, detail: 'the database is a standby and takes no writes; point DATABASE_URL at the primary' }
    : { ok: true, detail: `PostgreSQL ${serverVersion}` }
}

function migrationCheck({ migration }: Probe, newest: Migration): Check {
  if (migration === newest.number) return { ok: true, detail: newest.name }
  const found = migration === null ? 'the database has no migrations' : `the database is at migration ${migration}`
  const cure =
    (migration ?? -1) < newest.number ? 'restart the service to migrate' : 'run the newer version of the service'
  return { ok: false, detail: `${found}, this version needs ${newest.number}; ${cure}` }
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

type Noted = Pick<ProjectionView, 'name' | 'version' | 'servedVersion' | 'parkedUsers' | 'rebuild'>

/** What an operator should know of a projection; nothing is the rule. */
function notesOf({ name, version, servedVersion, parkedUsers, rebuild }: Noted): string[] {
  const newest = Math.max(servedVersion, rebuild?.version ?? 0)
  return [
    parkedUsers > 0 ? `${name} has put ${parkedUsers} users aside whose events it cannot apply` : '',
    servedVersion === 0 ? `${name} is being filled for the first time` : '',
    newest > version
      ? `${name} is of version ${newest}, newer than this instance (${version}), which leaves it alone`
      : ''
  ].filter(Boolean)
}
