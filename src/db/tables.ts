/**
 * The tables, as Drizzle maps them. drizzle/ holds the SQL that makes them; what Drizzle cannot say (functions, the
 * append-only guard) stands there only. `bucket` names an independent order and is part of every key, so that the
 * store can be spread over several nodes one day; it cannot be added afterwards.
 */
import { sql } from 'drizzle-orm'
import {
  bigint,
  check,
  customType,
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
import type { JsonObject } from '../domain/event.js'
import type { SnapshotMetadata } from '../domain/snapshot.js'
import type { SubscriptionDefinition } from '../domain/subscription.js'
import type { User } from '../domain/user.js'

/** jsonb that is parsed exactly once: the client hands it over as text in both directions. */
const json = <T>(name: string) =>
  customType<{ data: T; driverData: string }>({
    dataType: () => 'jsonb',
    toDriver: (value) => JSON.stringify(value),
    fromDriver: (value) => JSON.parse(value) as T
  })(name)

/** What PostgreSQL writes as `2026-11-22 08:00:00.5+00`: in UTC, with no more digits of a second than needed. */
function instantOf(text: string): string {
  const fraction = text.slice(20, -3)
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction.padEnd(3, '0')}Z`
}

/** timestamptz(3) as RFC 3339 text in UTC with milliseconds. */
const instant = customType<{ data: string; driverData: string }>({
  dataType: () => 'timestamp (3) with time zone',
  fromDriver: instantOf
})

export const userEvents = pgTable(
  'user_events',
  {
    bucket: smallint().notNull(),
    position: bigint({ mode: 'number' }).notNull(),
    id: uuid().notNull(),
    aggregateId: uuid().notNull(),
    version: integer().notNull(),
    eventType: varchar({ length: 100 }).notNull(),
    schemaVersion: smallint().notNull(),
    eventData: json<JsonObject>('eventData').notNull(),
    metadata: json<JsonObject>('metadata'),
    tenantId: uuid().notNull(),
    occurredAt: instant('occurredAt'),
    createdAt: instant('createdAt').notNull()
  },
  (table) => [
    primaryKey({ name: 'user_events_pkey', columns: [table.bucket, table.aggregateId, table.version] }),
    unique('user_events_position_key').on(table.bucket, table.position),
    unique('user_events_id_key').on(table.bucket, table.aggregateId, table.id),
    index('IDX_USER_EVENTS_CREATED').using('brin', table.createdAt),
    index('IDX_USER_EVENTS_TYPE').on(table.bucket, table.eventType, table.position),
    check('user_events_version_check', sql`${table.version} > 0`),
    check('user_events_position_check', sql`${table.position} > 0`),
    check('user_events_data_check', sql`jsonb_typeof(${table.eventData}) = 'object'`)
  ]
)

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

/** Exact counts of the events up to the position of the worker `statistics`; readers add the tail. */
export const eventStatistics = pgTable(
  'event_statistics',
  {
    bucket: smallint().notNull(),
    tenantId: uuid().notNull(),
    eventType: varchar({ length: 100 }).notNull(),
    events: bigint({ mode: 'number' }).notNull(),
    /** users whose first event is counted here */
    users: bigint({ mode: 'number' }).notNull(),
    oldest: instant('oldest').notNull(),
    newest: instant('newest').notNull()
  },
  (table) => [primaryKey({ name: 'event_statistics_pkey', columns: [table.bucket, table.tenantId, table.eventType] })]
)

/** The users with the most events up to the same position: at most 1,000 in a bucket. */
export const largestUsers = pgTable(
  'largest_users',
  {
    bucket: smallint().notNull(),
    aggregateId: uuid().notNull(),
    events: integer().notNull()
  },
  (table) => [primaryKey({ name: 'largest_users_pkey', columns: [table.bucket, table.aggregateId] })]
)

/** What is fixed at the first start; one row. */
export const storeIdentity = pgTable(
  'store_identity',
  {
    bucket: smallint().notNull().default(0),
    /** names this log in cursors, so that one of another database is not taken for ours */
    id: uuid().notNull().defaultRandom(),
    buckets: smallint().notNull(),
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

/** Followers of the log that deliver events to other systems. */
export const subscriptions = pgTable(
  'subscriptions',
  {
    id: uuid().notNull(),
    /** whose events it delivers; null: every tenant's */
    tenantId: uuid(),
    name: varchar({ length: 100 }).notNull(),
    definition: json<SubscriptionDefinition>('definition').notNull(),
    /** new, active, paused, failing, stopped */
    state: varchar({ length: 10 }).notNull().default('new'),
    /** why it is failing or stopped */
    lastError: text(),
    /** when the state became what it is */
    stateSince: instant('stateSince').notNull().default(sql`date_trunc('milliseconds', now())`),
    createdAt: instant('createdAt').notNull().default(sql`date_trunc('milliseconds', now())`)
  },
  (table) => [
    primaryKey({ name: 'subscriptions_pkey', columns: [table.id] }),
    unique('subscriptions_name_key').on(table.name, table.tenantId).nullsNotDistinct(),
    check('subscriptions_state_check', sql`${table.state} IN ('new', 'active', 'paused', 'failing', 'stopped')`)
  ]
)

/** How far each subscription got: everything up to here is delivered, or stands in event_outbox. */
export const subscriptionCheckpoints = pgTable(
  'subscription_checkpoints',
  {
    bucket: smallint().notNull(),
    subscriptionId: uuid().notNull(),
    position: bigint({ mode: 'number' }).notNull()
  },
  (table) => [primaryKey({ name: 'subscription_checkpoints_pkey', columns: [table.bucket, table.subscriptionId] })]
)

/** Events that a subscription has passed and still owes, or gave up: the event itself stays in the log alone. */
export const eventOutbox = pgTable(
  'event_outbox',
  {
    bucket: smallint().notNull(),
    subscriptionId: uuid().notNull(),
    position: bigint({ mode: 'number' }).notNull(),
    aggregateId: uuid().notNull(),
    version: integer().notNull(),
    /** pending, dead (tried often enough), discarded (given up by an operator) */
    status: varchar({ length: 10 }).notNull(),
    attempts: integer().notNull(),
    /** when it is tried next; null while it waits for an earlier event of its user, or is not tried at all */
    nextAttemptAt: instant('nextAttemptAt'),
    /** what the other system said last, or why it was discarded */
    lastError: text(),
    createdAt: instant('createdAt').notNull().default(sql`date_trunc('milliseconds', now())`)
  },
  (table) => [
    primaryKey({
      name: 'event_outbox_pkey',
      columns: [table.bucket, table.subscriptionId, table.aggregateId, table.position]
    }),
    index('IDX_EVENT_OUTBOX_DUE')
      .on(table.bucket, table.subscriptionId, table.nextAttemptAt)
      .where(sql`"nextAttemptAt" IS NOT NULL`),
    index('IDX_EVENT_OUTBOX_STATUS').on(table.subscriptionId, table.status, table.position),
    check('event_outbox_status_check', sql`${table.status} IN ('pending', 'dead', 'discarded')`)
  ]
)
