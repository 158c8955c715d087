/**
 * The tables of the log and of the store as a whole, as Drizzle maps them; deliveries, projections and the archive have files
 * of their own beside this one. drizzle/ holds the SQL that makes them; what Drizzle cannot say (functions, the append-only
 * guard) stands there only. `bucket` names an independent order and is part of every key, so that the store can be spread
 * over several nodes one day; it cannot be added afterwards.
 */
import { sql } from 'drizzle-orm'
import {
  bigint,
  check,
  index,
  integer,
  pgTable,
  primaryKey,
  smallint,
  text,
  unique,
  uuid,
  varchar
} from 'drizzle-orm/pg-core'
import type { EventTypeDefinition } from '../domain/custom-type.js'
import type { SnapshotMetadata } from '../domain/snapshot.js'
import type { User } from '../domain/user.js'
import { eventColumns, instant, json } from './columns.js'

export const userEvents = pgTable('user_events', eventColumns(), (table) => [
  primaryKey({ name: 'user_events_pkey', columns: [table.bucket, table.aggregateId, table.version] }),
  unique('user_events_position_key').on(table.bucket, table.position),
  unique('user_events_id_key').on(table.bucket, table.aggregateId, table.id),
  index('IDX_USER_EVENTS_CREATED').using('brin', table.createdAt),
  index('IDX_USER_EVENTS_TYPE').on(table.bucket, table.eventType, table.position),
  check('user_events_version_check', sql`${table.version} > 0`),
  check('user_events_position_check', sql`${table.position} > 0`),
  check('user_events_data_check', sql`jsonb_typeof(${table.eventData}) = 'object'`)
])

export const userSnapshots = pgTable(
  'user_snapshots',
  {
    id: uuid().notNull(),
    bucket: smallint().notNull(),
    aggregateId: uuid().notNull(),
    version: integer().notNull(),
    state: json<User>('state').notNull(),
    fingerprint: text().notNull(),
    tenantId: uuid().notNull(),
    metadata: json<SnapshotMetadata>('metadata').notNull(),
    createdAt: instant('createdAt').notNull().default(sql`date_trunc('milliseconds', now())`)
  },
  (table) => [
    primaryKey({ name: 'user_snapshots_pkey', columns: [table.bucket, table.aggregateId, table.id] }),
    unique('user_snapshots_version_key').on(table.bucket, table.aggregateId, table.version, table.fingerprint),
    index('IDX_USER_SNAPSHOT_AGGREGATE').on(table.aggregateId, table.version.desc().nullsFirst()),
    index('IDX_USER_SNAPSHOT_CREATED').on(table.createdAt),
    check('user_snapshots_version_check', sql`${table.version} > 0`)
  ]
)

/** Background work: how far it got in the log, and which instance may do it until when (DESIGN D6). */
export const workers = pgTable(
  'workers',
  {
    bucket: smallint().notNull(),
    name: varchar({ length: 100 }).notNull(),
    /** last position dealt with; 0 before the first */
    position: bigint({ mode: 'number' }).notNull().default(0),
    /** instance that holds the lease */
    holder: uuid().notNull(),
    /** goes up whenever the lease changes hands, and is checked by the statement that writes progress */
    epoch: bigint({ mode: 'number' }).notNull(),
    leaseUntil: instant('leaseUntil').notNull()
  },
  (table) => [primaryKey({ name: 'workers_pkey', columns: [table.bucket, table.name] })]
)

/** What is fixed at the first start; one row. */
export const storeIdentity = pgTable(
  'store_identity',
  {
    bucket: smallint().notNull().default(0),
    /** names this log in cursors, so that one of another database is not taken for ours */
    id: uuid().notNull().defaultRandom(),
    buckets: smallint().notNull(),
    /** signs cursors; 244 bits that nobody chose */
    secret: text().notNull().default(sql`replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')`),
    createdAt: instant('createdAt').notNull().default(sql`date_trunc('milliseconds', now())`)
  },
  (table) => [
    primaryKey({ name: 'store_identity_pkey', columns: [table.bucket] }),
    check('store_identity_bucket_check', sql`${table.bucket} = 0`)
  ]
)

/** Event types that clients registered: one row for each version, never changed. */
export const eventTypes = pgTable(
  'event_types',
  {
    /** goes up with every row, in the order in which they can be seen */
    revision: bigint({ mode: 'number' }).notNull(),
    /** whose type it is; null: every tenant's */
    tenantId: uuid(),
    eventType: varchar({ length: 100 }).notNull(),
    version: smallint().notNull(),
    definition: json<EventTypeDefinition>('definition').notNull(),
    createdAt: instant('createdAt').notNull().default(sql`date_trunc('milliseconds', now())`)
  },
  (table) => [
    primaryKey({ name: 'event_types_pkey', columns: [table.revision] }),
    unique('event_types_version_key').on(table.eventType, table.version, table.tenantId).nullsNotDistinct(),
    check('event_types_version_check', sql`${table.version} > 0`),
    check('event_types_definition_check', sql`jsonb_typeof(${table.definition}) = 'object'`)
  ]
)

/** Which fields of users are unique in a tenant: a fact of the database that set_unique_claims alone changes. */
export const uniqueClaims = pgTable(
  'unique_claims',
  {
    field: varchar({ length: 20 }).notNull(),
    since: instant('since').notNull().default(sql`date_trunc('milliseconds', now())`)
  },
  (table) => [primaryKey({ name: 'unique_claims_pkey', columns: [table.field] })]
)

/** Who has which value of a unique field. No bucket: what is unique holds for the users of all. */
export const userClaims = pgTable(
  'user_claims',
  {
    tenantId: uuid().notNull(),
    field: varchar({ length: 20 }).notNull(),
    /** as claims_of makes it, so that values which count as one are one */
    value: text().notNull(),
    userId: uuid().notNull()
  },
  (table) => [
    primaryKey({ name: 'user_claims_pkey', columns: [table.tenantId, table.field, table.value] }),
    unique('user_claims_user_key').on(table.userId, table.field)
  ]
)
