/** What the database tells about itself and the store, for a diagnosis. */
import type { Db } from '../db/client.js'
import type { Facts } from '../domain/diagnosis.js'
import { selectWorkers, type WorkerPlace } from './workers.js'

/** Those that hold in any database. */
export type ServerFacts = Pick<
  Facts,
  | 'postgres'
  | 'standby'
  | 'settings'
  | 'connections'
  | 'clockAheadMs'
  | 'transactionAge'
  | 'oldestTransactionS'
  | 'databaseBytes'
  | 'retainedWalBytes'
> & {
  /** null unless this role may know it */
  dataDirectory: string | null
}

/** Of synchronous_commit what holds for others: the connection has set its own. */
const SERVER = `
  SELECT current_setting('server_version_num')::integer AS postgres, pg_is_in_recovery() AS standby,
    current_setting('fsync') AS fsync, current_setting('full_page_writes') AS "fullPageWrites",
    current_setting('synchronous_commit') AS "synchronousCommit", current_setting('autovacuum') AS autovacuum,
    current_setting('max_connections')::integer AS "maxConnections", (SELECT count(*)::integer FROM pg_stat_activity) AS connections,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS "clockMs",
    (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()) AS "transactionAge",
    (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend') AS "oldestTransactionS",
    pg_database_size(current_database()) AS "databaseBytes",
    (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS "dataDirectory"`

const RETAINED = `
  SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)::bigint AS bytes
  FROM pg_replication_slots WHERE NOT active`

export async function selectServerFacts(db: Db): Promise<ServerFacts> {
  const askedAt = Date.now()
  const [row] = await db.query<
    Facts['settings'] &
      Omit<ServerFacts, 'settings' | 'clockAheadMs' | 'databaseBytes' | 'retainedWalBytes'> & {
        clockMs: string
        databaseBytes: string
      }
  >(SERVER)
  const answeredAt = Date.now()
  const { postgres, standby, connections, clockMs, transactionAge, oldestTransactionS, databaseBytes, ...rest } = row!
  const { dataDirectory, ...settings } = rest
  // Of a moment between question and answer.
  const clock = Number(clockMs)
  const clockAheadMs = clock < askedAt ? clock - askedAt : Math.max(0, clock - answeredAt)
  // A standby has no end of the log of its own.
  const [retained] = standby ? [] : await db.query<{ bytes: string }>(RETAINED)
  return {
    postgres,
    standby,
    settings,
    connections,
    clockAheadMs,
    transactionAge,
    oldestTransactionS,
    databaseBytes: Number(databaseBytes),
    retainedWalBytes: Number(retained?.bytes ?? 0),
    dataDirectory
  }
}

export type StoreFacts = Pick<
  Facts,
  | 'newestEventAheadMs'
  | 'tables'
  | 'invalidIndexes'
  | 'unusedIndexes'
  | 'trigrams'
  | 'followers'
  | 'deadLetters'
  | 'parkedUsers'
  | 'offlinePartitions'
>

const TABLES = `
  SELECT coalesce(json_agg(json_build_object('name', relname, 'rows', n_live_tup, 'deadRows', n_dead_tup,
    'sequentialScans', seq_scan, 'indexScans', coalesce(idx_scan, 0),
    'analyzed', last_analyze IS NOT NULL OR last_autoanalyze IS NOT NULL) ORDER BY relname), '[]') AS tables
  FROM pg_stat_user_tables WHERE schemaname = current_schema()`
const INDEXES = `
  SELECT coalesce(json_agg(json_build_object('name', c.relname, 'bytes', pg_relation_size(c.oid), 'valid', i.indisvalid,
    'unused', coalesce(s.idx_scan, 0) = 0 AND NOT i.indisunique) ORDER BY c.relname), '[]') AS indexes
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = c.oid
  WHERE c.relnamespace = current_schema()::regnamespace`
const STORE = `
  SELECT (SELECT (extract(epoch FROM max(newest) - clock_timestamp()) * 1000)::float8 FROM (
      SELECT (SELECT e."createdAt" FROM user_events e WHERE e.bucket = b.bucket ORDER BY e.position DESC LIMIT 1) AS newest
      FROM (SELECT generate_series(0, (SELECT coalesce(max(buckets), 1) FROM store_identity) - 1)::smallint AS bucket) b) n) AS ahead,
    EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') AS trigrams,
    (SELECT count(*)::integer FROM event_outbox WHERE status = 'dead') AS "deadLetters",
    (SELECT count(*)::integer FROM projection_parked WHERE worker NOT LIKE '%/rebuild') AS "parkedUsers",
    (SELECT count(DISTINCT name)::integer FROM archive_partitions WHERE "offlineAt" IS NOT NULL) AS "offlinePartitions"`

/** Those of a store whose migrations are applied. */
export async function selectStoreFacts(db: Db): Promise<StoreFacts> {
  const [tables] = await db.query<{ tables: string }>(TABLES)
  const [indexes] = await db.query<{ indexes: string }>(INDEXES)
  const [row] = await db.query<{
    ahead: number | null
    trigrams: boolean
    deadLetters: number
    parkedUsers: number
    offlinePartitions: number
  }>(STORE)
  const { ahead, ...rest } = row!
  const found = JSON.parse(indexes!.indexes) as { name: string; bytes: number; valid: boolean; unused: boolean }[]
  return {
    ...rest,
    newestEventAheadMs: ahead,
    tables: JSON.parse(tables!.tables) as StoreFacts['tables'],
    followers: followersOf(await selectWorkers(db)),
    invalidIndexes: found.filter(({ valid }) => !valid).map(({ name }) => name),
    unusedIndexes: found.filter(({ unused }) => unused).map(({ name, bytes }) => ({ name, bytes }))
  }
}

/** Those who follow the log, with the lag of all their buckets; abandoned is one as long as no bucket is held. */
function followersOf(workers: readonly WorkerPlace[]): StoreFacts['followers'] {
  const found = new Map<string, StoreFacts['followers'][number]>()
  for (const { name, lagEvents, lease } of workers) {
    if (!/^(projection\/.+|statistics|snapshots)$/.test(name)) continue
    const before = found.get(name)
    found.set(name, {
      name,
      lagEvents: lagEvents + (before?.lagEvents ?? 0),
      abandonedS: Math.min(-lease.secondsLeft, before?.abandonedS ?? Number.POSITIVE_INFINITY)
    })
  }
  return [...found.values()]
}
