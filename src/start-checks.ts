/** What must hold before the service may start: each throws a StartError that says what to do. */
import ipaddr from 'ipaddr.js'
import type { Config } from './config.js'
import { type Db, type DbOptions, openDb } from './db/client.js'
import { withLongDb } from './db/long-statement.js'
import { assertRowSecurity, RowSecurityRefused, settleRowSecurity } from './db/row-security.js'
import type { Tracer } from './observe/tracing.js'
import type { AccessService } from './services/access.js'
import { ClaimsRefused, settleClaims } from './services/claims.js'
import { StartError } from './start-error.js'
import type { Claiming } from './store/claims.js'

/** The pool of the service, and row-level security binds it if the setting says so. Throws StartError when that cannot be. */
export async function openSecured(config: Config, databaseUrl: string, tracer: Tracer): Promise<Db> {
  const { DATABASE_POOL_MAX: poolMax, DATABASE_PREPARE: prepare, ROW_LEVEL_SECURITY: on } = config
  let db: Db | undefined
  try {
    const security = await settleRowSecurity(databaseUrl, on)
    db = openDb(databaseUrl, { poolMax, prepare, watch: statementsOf(tracer), ...security })
    if (on) await assertRowSecurity(db, security.role)
    return db
  } catch (err) {
    await db?.close()
    throw err instanceof RowSecurityRefused ? new StartError(err.message) : err
  }
}

/** A span for every statement of something that is traced; those by which workers look for work make none. */
function statementsOf(tracer: Tracer): DbOptions['watch'] {
  if (!tracer.on) return undefined
  return (name, run) =>
    tracer.current().traceparent === null
      ? run()
      : tracer.span(
          name,
          () => ({ kind: 'client', attributes: { 'db.system.name': 'postgresql', 'db.query.summary': name } }),
          run
        )
}

/** Throws StartError when the setting cannot be met. */
export async function claimsOf(db: Db, databaseUrl: string, setting: string | undefined): Promise<Claiming> {
  try {
    return await settleClaims({ db, setting, withLongDb: (work) => withLongDb(databaseUrl, work) })
  } catch (err) {
    if (err instanceof ClaimsRefused) throw new StartError(err.message)
    throw err
  }
}

/** Nobody else than this machine is served without authentication, unless AUTH=off says so. */
export function assertGuarded(host: string, mode: ReturnType<AccessService['mode']>): void {
  if (mode !== 'open' || isLoopback(host)) return
  throw new StartError(
    `HOST is ${host}, where others reach this service, and nobody would have to say who they are. Make a key with \`user-events key create\`, or set BOOTSTRAP_ADMIN_KEY; set AUTH=off only if something in front of the service sees to it.`
  )
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || (ipaddr.isValid(host) && ipaddr.process(host).range() === 'loopback')

/** The number of buckets is that of the store for ever. */
export function assertBuckets(asked: number, stored: number): void {
  if (asked === stored) return
  throw new StartError(
    `EVENT_BUCKETS is ${asked}, but this database was set up with ${stored}, which cannot be changed afterwards. Set EVENT_BUCKETS=${stored}.`
  )
}
