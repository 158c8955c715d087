/**
 * Whether row-level security (drizzle/0012_row_level_security.sql) binds this service. Superusers and roles with BYPASSRLS it does not
 * bind, so their connections take the role that owns the tables; if that is such a role as well, one is made and given the tables.
 */
import { is, Table } from 'drizzle-orm'
import { getTableName } from 'drizzle-orm/table'
import * as accessTables from './access-tables.js'
import * as archiveTables from './archive-tables.js'
import { type Db, type DbOptions, openDb } from './client.js'
import * as deliveryTables from './delivery-tables.js'
import { toDbError } from './pg-error.js'
import * as projectionTables from './projection-tables.js'
import * as tables from './tables.js'

/** Why the setting cannot be met, in a sentence for the operator. */
export class RowSecurityRefused extends Error {
  override name = 'RowSecurityRefused'
}

/** The role that is made where there is none that could own the tables. */
export const APP_ROLE = 'user_event_store_app'

/** Tables of which every row is behind it. */
const SECURED =
  '{user_events,user_events_archive,user_events_offline,user_snapshots,event_statistics,user_activity_events,user_activity_days}'

const OURS = `{schema_migrations,whole_log,${Object.values({
  ...tables,
  ...deliveryTables,
  ...projectionTables,
  ...archiveTables,
  ...accessTables
})
  .flatMap((table) => (is(table, Table) ? [getTableName(table)] : []))
  .join(',')}}`

/** Who logs in, and who owns the log; `free` is whether row-level security does not bind them. */
type Roles = { login: string; loginFree: boolean; owner: string; ownerFree: boolean; strays: boolean }

const ROLES = `
  SELECT me.rolname AS login, me.rolsuper OR me.rolbypassrls AS "loginFree", owner.rolname AS owner,
    owner.rolsuper OR owner.rolbypassrls AS "ownerFree",
    EXISTS (SELECT FROM unnest($1::text::text[]) AS t(name) JOIN pg_class c ON c.oid = to_regclass(quote_ident(t.name))
            WHERE c.relowner <> owner.oid) AS strays
  FROM pg_class log JOIN pg_roles owner ON owner.oid = log.relowner JOIN pg_roles me ON me.rolname = current_user
  WHERE log.oid = 'user_events'::regclass`

/** Tables that it does not guard, and whether their owner is bound by it; of a database whose migrations are applied. */
export async function selectRowSecurity(db: Db): Promise<{ openTables: string[]; ownerFree: boolean }> {
  const rows = await db.query<{ name: string; guarded: boolean; ownerFree: boolean }>(
    `SELECT t.name, c.relrowsecurity AND c.relforcerowsecurity AND EXISTS (
         SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'acting_tenants') AS guarded,
       r.rolsuper OR r.rolbypassrls AS "ownerFree"
     FROM unnest($1::text::text[]) AS t(name) JOIN pg_class c ON c.oid = t.name::regclass JOIN pg_roles r ON r.oid = c.relowner`,
    [SECURED],
    { repeatable: true }
  )
  return {
    openTables: rows.flatMap(({ name, guarded }) => (guarded ? [] : name)),
    ownerFree: rows.some(({ ownerFree }) => ownerFree)
  }
}

/** How to connect so that it binds (`on`) or does not. Throws RowSecurityRefused when it cannot be made to bind. */
export async function settleRowSecurity(url: string, on: boolean): Promise<Pick<DbOptions, 'role' | 'rows'>> {
  const db = openDb(url, { poolMax: 1 })
  try {
    const [roles] = await db.query<Roles>(ROLES, [OURS], { repeatable: true })
    const { loginFree, owner, ownerFree, strays } = roles!
    if (!on) return loginFree ? {} : { rows: 'all' }
    if (!loginFree) return { rows: 'acting' }
    const role = ownerFree ? APP_ROLE : owner
    if (ownerFree || strays) await handOver(db, roles!, role)
    return { role, rows: 'acting' }
  } finally {
    await db.close()
  }
}

async function handOver(db: Db, { login }: Roles, role: string): Promise<void> {
  try {
    await db.query('SELECT hand_over($1::text::text[], $2)', [OURS, role], { repeatable: true })
  } catch (thrown) {
    const err = toDbError(thrown)
    if (err.sqlState !== '42501') throw err
    throw new RowSecurityRefused(
      `${login}, as whom DATABASE_URL connects, bypasses row-level security and may not give the tables to a role that does not (${err.message}). ` +
        `Connect as a role without SUPERUSER and BYPASSRLS that owns them, or set ROW_LEVEL_SECURITY=false.`
    )
  }
}

/** Throws RowSecurityRefused unless connections of `db`, which take `role`, are bound by it, on every table. */
export async function assertRowSecurity(db: Db, role?: string): Promise<void> {
  const found = await db
    .query<{ name: string; user: string; bound: boolean; free: boolean }>(
      `SELECT t.name, current_user AS "user", 
         row_security_active(t.name) AND EXISTS (
           SELECT FROM pg_policy p WHERE p.polrelid = t.name::regclass AND p.polname = 'acting_tenants') AS bound,
         r.rolsuper OR r.rolbypassrls AS free
       FROM unnest($1::text::text[]) AS t(name) JOIN pg_roles r ON r.rolname = current_user`,
      [SECURED],
      { repeatable: true }
    )
    .catch((thrown) => {
      const err = toDbError(thrown)
      // What the role of the connections is refused for: it is not there, or the login may not take it.
      if (!['22023', '42501'].includes(err.sqlState)) throw err
      throw new RowSecurityRefused(
        `Connections may not take the role ${role}, which row-level security binds, or there is none of that name. ` +
          `Connect as a role without SUPERUSER and BYPASSRLS that owns the tables, or set ROW_LEVEL_SECURITY=false.`
      )
    })
  const open = found.filter(({ bound }) => !bound)
  if (open.length === 0) return
  const [{ user, free }] = open as [(typeof open)[number]]
  throw new RowSecurityRefused(
    free
      ? `Connections act as ${user}, which is a superuser or has BYPASSRLS, so that row-level security would not keep tenants apart. ` +
          `Take both away from it (a pooler before the database must let the setting \`role\` pass), or set ROW_LEVEL_SECURITY=false.`
      : `Row-level security does not bind ${user} on ${open.map(({ name }) => name).join(', ')}. ` +
          `Run SELECT secure_rows('${open[0]!.name}'), and the same for each, as their owner, or set ROW_LEVEL_SECURITY=false.`
  )
}
