/** What facts about a database and a machine mean for the store, and what is to be done. Pure: facts in, sentences out. */

export type Facts = {
  node: string
  /** server_version_num, such as 150004 */
  postgres: number
  standby: boolean
  /** migrations that are not applied */
  missing: string[]
  settings: {
    fsync: string
    fullPageWrites: string
    synchronousCommit: string
    autovacuum: string
    maxConnections: number
  }
  /** open now, of everybody */
  connections: number
  /** database's clock minus that of this machine, ms */
  clockAheadMs: number
  /** how far the newest event is ahead of the database's clock, ms; negative: behind */
  newestEventAheadMs: number | null
  /** transactions until the database must be vacuumed or stops */
  transactionAge: number
  /** age of the oldest open transaction, s */
  oldestTransactionS: number
  tables: TableFacts[]
  /** indexes that are not valid */
  invalidIndexes: string[]
  unusedIndexes: { name: string; bytes: number }[]
  trigrams: boolean
  databaseBytes: number
  /** of the file system with the database; null where it is not on this machine */
  disk: { freeBytes: number; totalBytes: number } | null
  /** WAL that replication slots without a reader hold back, bytes */
  retainedWalBytes: number
  /** what follows the log: how much is left, and since when nobody holds its lease, s; negative: somebody does */
  followers: { name: string; lagEvents: number; abandonedS: number }[]
  deadLetters: number
  parkedUsers: number
  /** buckets and unique fields: of the settings, and of the store; null before its first start */
  buckets: { asked: number; stored: number | null }
  claims: { asked: string | null; stored: string }
  offlinePartitions: number
  /** whether it is asked for; tables that no policy guards, and whether their owner is above all policies */
  rowSecurity: { asked: boolean; openTables: string[]; ownerFree: boolean }
}

export type TableFacts = {
  name: string
  rows: number
  deadRows: number
  sequentialScans: number
  indexScans: number
  analyzed: boolean
}

export type Diagnosis = {
  check: string
  /** trouble: answers or events are at risk; warning: it will be, or is slow */
  state: 'ok' | 'warning' | 'trouble'
  found: string
  /** what to do; null when nothing is */
  advice: string | null
}

const MiB = 2 ** 20
const GiB = 2 ** 30
export const LIMITS = {
  clockMs: 1000,
  /** beyond it the newest event is of the future */
  eventAheadMs: 1000,
  connectionsShare: 0.8,
  deadShare: 0.2,
  deadRows: 10_000,
  largeRows: 100_000,
  transactionAge: 1_000_000_000,
  transactionS: 300,
  diskFreeBytes: GiB,
  diskFreeShare: 0.1,
  walBytes: GiB,
  unusedBytes: 100 * MiB,
  abandonedS: 60
}

/** One answer for each check, in the order in which they should be looked at. */
export function diagnose(facts: Facts): Diagnosis[] {
  return [
    versions(facts),
    primary(facts),
    migrations(facts),
    durability(facts),
    clock(facts),
    disk(facts),
    connections(facts),
    bloat(facts),
    statistics(facts),
    indexes(facts),
    transactions(facts),
    replication(facts),
    settings(facts),
    tenants(facts),
    followers(facts),
    deliveries(facts),
    readModels(facts),
    archive(facts)
  ]
}

const ok = (check: string, found: string): Diagnosis => ({ check, state: 'ok', found, advice: null })
const warning = (check: string, found: string, advice: string): Diagnosis => ({
  check,
  state: 'warning',
  found,
  advice
})
const trouble = (check: string, found: string, advice: string): Diagnosis => ({
  check,
  state: 'trouble',
  found,
  advice
})

function versions({ node, postgres }: Facts): Diagnosis {
  const major = Math.floor(postgres / 10_000)
  const found = `Node ${node}, PostgreSQL ${major}.${postgres % 10_000}`
  if (major < 15) return trouble('versions', found, 'Use PostgreSQL 15 to 18.')
  if (major > 18) return warning('versions', found, 'This version was tested with PostgreSQL 15 to 18 only.')
  return ok('versions', found)
}

const primary = ({ standby }: Facts): Diagnosis =>
  standby
    ? trouble('primary', 'the database is a standby and takes no writes', 'Point DATABASE_URL at the primary.')
    : ok('primary', 'the database takes writes')

const migrations = ({ missing }: Facts): Diagnosis =>
  missing.length === 0
    ? ok('migrations', 'all are applied')
    : trouble('migrations', `not applied: ${missing.join(', ')}`, 'Run user-events migrate up, or start the service.')

function durability({ settings: { fsync, fullPageWrites, synchronousCommit } }: Facts): Diagnosis {
  const unsafe = [
    fsync === 'on' ? '' : `fsync is ${fsync}`,
    fullPageWrites === 'on' ? '' : `full_page_writes is ${fullPageWrites}`,
    ['off', 'local'].includes(synchronousCommit) ? `synchronous_commit is ${synchronousCommit}` : ''
  ].filter(Boolean)
  return unsafe.length === 0
    ? ok('durability', 'an acknowledged event is on disk')
    : trouble('durability', unsafe.join(', '), 'Set them to on: an acknowledged event could be lost.')
}

function clock({ clockAheadMs, newestEventAheadMs }: Facts): Diagnosis {
  if (newestEventAheadMs !== null && newestEventAheadMs > LIMITS.eventAheadMs)
    return trouble(
      'clock',
      `the newest event is ${seconds(newestEventAheadMs)} ahead of the clock of the database`,
      'That clock went back, or an import brought the future: set it right (NTP). Until then times of new events stand still.'
    )
  const apart = Math.abs(clockAheadMs)
  const found = `the clocks of database and this machine are ${seconds(apart)} apart`
  return apart > LIMITS.clockMs
    ? warning('clock', found, 'Have both set by NTP: expiry of keys and tokens goes by them.')
    : ok('clock', found)
}

function disk({ disk, databaseBytes }: Facts): Diagnosis {
  const size = `the database takes ${sizeOf(databaseBytes)}`
  if (!disk) return ok('disk', `${size}; its disk is not on this machine`)
  const found = `${size}, ${sizeOf(disk.freeBytes)} of ${sizeOf(disk.totalBytes)} are free`
  if (disk.freeBytes < LIMITS.diskFreeBytes)
    return trouble(
      'disk',
      found,
      'Make room at once: a full disk ends all appends. user-events archive moves old events out.'
    )
  if (disk.freeBytes < disk.totalBytes * LIMITS.diskFreeShare)
    return warning('disk', found, 'Make room: user-events archive moves old events out.')
  return ok('disk', found)
}

function connections({ connections, settings: { maxConnections } }: Facts): Diagnosis {
  const found = `${connections} of ${maxConnections} are in use`
  return connections > maxConnections * LIMITS.connectionsShare
    ? warning('connections', found, 'Lower DATABASE_POOL_MAX, raise max_connections, or put pgbouncer before it.')
    : ok('connections', found)
}

function bloat({ tables, settings: { autovacuum } }: Facts): Diagnosis {
  if (autovacuum !== 'on') return warning('bloat', `autovacuum is ${autovacuum}`, 'Set it to on.')
  const bloated = tables.filter(
    ({ rows, deadRows }) => deadRows > LIMITS.deadRows && deadRows > (rows + deadRows) * LIMITS.deadShare
  )
  if (bloated.length === 0) return ok('bloat', 'few dead rows')
  const found = bloated.map(({ name, deadRows }) => `${deadRows} dead rows in ${name}`).join(', ')
  return warning(
    'bloat',
    found,
    `VACUUM ${bloated.map(({ name }) => name).join(', ')}; if they come back, see transactions below.`
  )
}

function statistics({ tables }: Facts): Diagnosis {
  const never = tables.filter(({ rows, analyzed }) => rows > LIMITS.deadRows && !analyzed).map(({ name }) => name)
  return never.length === 0
    ? ok('statistics', 'the planner knows the tables')
    : warning('statistics', `never analyzed: ${never.join(', ')}`, `ANALYZE ${never.join(', ')}.`)
}

function indexes({ tables, invalidIndexes, unusedIndexes, trigrams }: Facts): Diagnosis {
  if (invalidIndexes.length > 0)
    return trouble('indexes', `not valid: ${invalidIndexes.join(', ')}`, 'REINDEX INDEX CONCURRENTLY each of them.')
  const scanned = tables.filter(
    ({ rows, sequentialScans, indexScans }) => rows > LIMITS.largeRows && sequentialScans > indexScans
  )
  if (scanned.length > 0)
    return warning(
      'indexes',
      `read from end to end more often than by an index: ${scanned.map(({ name }) => name).join(', ')}`,
      'ANALYZE them; if it goes on, look for queries that are not of the service.'
    )
  if (!trigrams)
    return warning(
      'indexes',
      'the extension pg_trgm is missing',
      'CREATE EXTENSION pg_trgm, and rebuild: user-events projections rebuild users. Without it q finds beginnings only.'
    )
  const unused = unusedIndexes.filter(({ bytes }) => bytes > LIMITS.unusedBytes)
  const note = unused.length === 0 ? '' : `; never used so far: ${unused.map(({ name }) => name).join(', ')}`
  return ok('indexes', `all are valid${note}`)
}

function transactions({ transactionAge, oldestTransactionS }: Facts): Diagnosis {
  if (transactionAge > LIMITS.transactionAge)
    return trouble(
      'transactions',
      `the oldest is ${transactionAge} transactions old`,
      'VACUUM FREEZE soon: at two thousand million the database stops.'
    )
  const found = `the oldest that is open is ${Math.round(oldestTransactionS)} s old`
  return oldestTransactionS > LIMITS.transactionS
    ? warning(
        'transactions',
        found,
        'End it (pg_stat_activity, pg_terminate_backend): vacuum can remove nothing that came after it.'
      )
    : ok('transactions', found)
}

const replication = ({ retainedWalBytes }: Facts): Diagnosis =>
  retainedWalBytes > LIMITS.walBytes
    ? warning(
        'replication',
        `slots without a reader hold back ${sizeOf(retainedWalBytes)} of WAL`,
        'Start what reads them, or drop them (pg_drop_replication_slot): they fill the disk.'
      )
    : ok('replication', 'no slot holds WAL back')

function settings({ buckets, claims }: Facts): Diagnosis {
  if (buckets.stored !== null && buckets.asked !== buckets.stored)
    return trouble(
      'settings',
      `EVENT_BUCKETS is ${buckets.asked}, the store has ${buckets.stored}`,
      `Set EVENT_BUCKETS=${buckets.stored}, on all instances.`
    )
  if (claims.asked !== 'off' && (claims.asked ?? '') !== claims.stored)
    return warning(
      'settings',
      `UNIQUE_CLAIMS is ${claims.asked || 'not set'}, in the store ${claims.stored || 'nothing'} is unique`,
      `Set it the same everywhere${claims.stored ? `: UNIQUE_CLAIMS=${claims.stored}` : ''}.`
    )
  return ok('settings', 'those here fit the store')
}

function tenants({ rowSecurity: { asked, openTables, ownerFree } }: Facts): Diagnosis {
  if (!asked) return ok('tenants', 'kept apart by the service alone: ROW_LEVEL_SECURITY is false')
  if (openTables.length > 0)
    return trouble(
      'tenants',
      `row-level security does not guard ${openTables.join(', ')}`,
      `Run SELECT secure_rows('${openTables[0]}'), and the same for each, as their owner.`
    )
  if (ownerFree)
    return warning(
      'tenants',
      'the tables belong to a role that row-level security does not bind',
      'Start the service once: it gives them to a role that is bound, or says what it needs for that.'
    )
  return ok('tenants', 'row-level security guards all tables')
}

function followers({ followers }: Facts): Diagnosis {
  const abandoned = followers.filter(({ lagEvents, abandonedS }) => lagEvents > 0 && abandonedS > LIMITS.abandonedS)
  if (abandoned.length === 0) return ok('background work', 'nothing is left to do, or somebody does it')
  const found = abandoned.map(({ name, lagEvents }) => `${name} (${lagEvents} events)`).join(', ')
  return warning(
    'background work',
    `nobody does it: ${found}`,
    'Start the service, or look into its log for why it does not.'
  )
}

const deliveries = ({ deadLetters }: Facts): Diagnosis =>
  deadLetters === 0
    ? ok('deliveries', 'there are no dead letters')
    : warning(
        'deliveries',
        `there are ${deadLetters} dead letters`,
        'user-events outbox status, then retry or discard them.'
      )

const readModels = ({ parkedUsers }: Facts): Diagnosis =>
  parkedUsers === 0
    ? ok('read models', 'nobody is put aside')
    : warning(
        'read models',
        `${parkedUsers} users are put aside`,
        'user-events projections parked users tells why; user-events verify looks at their events.'
      )

const archive = ({ offlinePartitions }: Facts): Diagnosis =>
  ok('archive', offlinePartitions === 0 ? 'all of it can be read' : `${offlinePartitions} partitions are offline`)

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

const sizeOf = (bytes: number): string =>
  bytes < GiB ? `${(bytes / MiB).toFixed(1)} MiB` : `${(bytes / GiB).toFixed(1)} GiB`
