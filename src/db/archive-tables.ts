/**
 * The tables of the archive (0009_archive.sql says what is kept true). Drizzle cannot say that user_events_archive is partitioned
 * by month.
 */
import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  check,
  index,
  integer,
  pgTable,
  primaryKey,
  smallint,
  text,
  unique,
  uniqueIndex,
  uuid,
  varchar
} from 'drizzle-orm/pg-core'
import { eventColumns, instant } from './columns.js'

const NOW = sql`date_trunc('milliseconds', now())`
const COUNT = { mode: 'number' } as const

/** Events that were moved from user_events; createdAt is in every key because the partitions go by it. */
export const userEventsArchive = pgTable('user_events_archive', eventColumns(), (table) => [
  primaryKey({
    name: 'user_events_archive_pkey',
    columns: [table.bucket, table.aggregateId, table.version, table.createdAt]
  }),
  unique('user_events_archive_position_key').on(table.bucket, table.position, table.createdAt),
  unique('user_events_archive_id_key').on(table.bucket, table.aggregateId, table.id, table.createdAt),
  check('user_events_archive_version_check', sql`${table.version} > 0`),
  check('user_events_archive_position_check', sql`${table.position} > 0`),
  check('user_events_archive_data_check', sql`jsonb_typeof(${table.eventData}) = 'object'`)
])

/** What is left here of events whose partition is offline: enough to know them when they are sent again. */
export const userEventsOffline = pgTable(
  'user_events_offline',
  {
    bucket: smallint().notNull(),
    position: bigint(COUNT).notNull(),
    id: uuid().notNull(),
    aggregateId: uuid().notNull(),
    version: integer().notNull(),
    eventType: varchar({ length: 100 }).notNull(),
    schemaVersion: smallint().notNull(),
    /** event_content() of what is kept elsewhere */
    content: text().notNull(),
    tenantId: uuid().notNull(),
    createdAt: instant('createdAt').notNull(),
    partition: varchar({ length: 63 }).notNull()
  },
  (table) => [
    primaryKey({ name: 'user_events_offline_pkey', columns: [table.bucket, table.aggregateId, table.version] }),
    unique('user_events_offline_position_key').on(table.bucket, table.position),
    unique('user_events_offline_id_key').on(table.bucket, table.aggregateId, table.id)
  ]
)

/** What each partition holds of each bucket. */
export const archivePartitions = pgTable(
  'archive_partitions',
  {
    bucket: smallint().notNull(),
    name: varchar({ length: 63 }).notNull(),
    /** createdAt, inclusive */
    from: instant('from').notNull(),
    /** exclusive */
    to: instant('to').notNull(),
    events: bigint(COUNT).notNull(),
    firstPosition: bigint(COUNT).notNull(),
    lastPosition: bigint(COUNT).notNull(),
    /** where its files were written; null while it is here only */
    location: text(),
    /** since when it is there only; null while it can be read */
    offlineAt: instant('offlineAt')
  },
  (table) => [primaryKey({ name: 'archive_partitions_pkey', columns: [table.bucket, table.name] })]
)

/** Runs of the archiver, over all buckets; at most one is open. */
export const archiveRuns = pgTable(
  'archive_runs',
  {
    bucket: smallint().notNull().default(0),
    id: uuid().notNull().defaultRandom(),
    /** schedule or request */
    origin: varchar({ length: 10 }).notNull(),
    /** counts what it would move */
    dryRun: boolean().notNull(),
    /** events recorded before are moved */
    cutoff: instant('cutoff').notNull(),
    /** waiting, running, done, failed */
    status: varchar({ length: 10 }).notNull().default('waiting'),
    requestedAt: instant('requestedAt').notNull().default(NOW),
    startedAt: instant('startedAt'),
    finishedAt: instant('finishedAt'),
    events: bigint(COUNT).notNull().default(0),
    windows: integer().notNull().default(0),
    error: text()
  },
  (table) => [
    primaryKey({ name: 'archive_runs_pkey', columns: [table.bucket, table.id] }),
    uniqueIndex('archive_runs_open_key').on(table.bucket).where(sql`"status" IN ('waiting', 'running')`),
    index('IDX_ARCHIVE_RUNS_REQUESTED').on(table.requestedAt),
    check('archive_runs_status_check', sql`${table.status} IN ('waiting', 'running', 'done', 'failed')`)
  ]
)

/** The manifest: what each step of a run moved. */
export const archiveWindows = pgTable(
  'archive_windows',
  {
    bucket: smallint().notNull(),
    runId: uuid().notNull(),
    firstPosition: bigint(COUNT).notNull(),
    lastPosition: bigint(COUNT).notNull(),
    events: integer().notNull(),
    users: integer().notNull(),
    /** SHA-256 over the MD5 of every row, by user and version */
    hash: text().notNull(),
    movedAt: instant('movedAt').notNull().default(NOW)
  },
  (table) => [primaryKey({ name: 'archive_windows_pkey', columns: [table.bucket, table.runId, table.lastPosition] })]
)
