/**
 * The tables, as Drizzle maps them. drizzle/ holds the SQL that makes them; what Drizzle cannot say (functions, the
 * append-only guard) stands there only. `bucket` names an independent order and is part of every key, so that the
 * store can be spread over several nodes one day; it cannot be added afterwards.
 */
import { sql } from 'drizzle-orm'
import {
  bigint,
  check,
  date,
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

/** What each projection's tables are for, and how far a rebuild of them got (0007_projections.sql). */
export const projections = pgTable(
  'projections',
  {
    bucket: smallint().notNull().default(0),
    name: varchar({ length: 100 }).notNull(),
    /** of the code that filled the tables that serve */
    version: integer().notNull(),
    /** of the registered event types that code knew */
    typesRevision: bigint({ mode: 'number' }).notNull(),
    filledAt: instant('filledAt').notNull().default(sql`date_trunc('milliseconds', now())`),
    /** the same of the rebuild that is under way; null when none is */
    rebuildVersion: integer(),
    rebuildRevision: bigint({ mode: 'number' }),
    /** filling, indexing, closing (in on the head of the log, while the tables that serve stand still) */
    rebuildStage: varchar({ length: 10 }),
    rebuildStartedAt: instant('rebuildStartedAt')
  },
  (table) => [
    primaryKey({ name: 'projections_pkey', columns: [table.bucket, table.name] }),
    check('projections_stage_check', sql`${table.rebuildStage} IN ('filling', 'indexing', 'closing')`)
  ]
)

/** Users whose events a projection could not apply from one on; the events of all others go on. */
export const projectionParked = pgTable(
  'projection_parked',
  {
    bucket: smallint().notNull(),
    /** name of the worker: a rebuild parks for itself */
    worker: varchar({ length: 100 }).notNull(),
    aggregateId: uuid().notNull(),
    tenantId: uuid().notNull(),
    /** of the first event that is not applied */
    position: bigint({ mode: 'number' }).notNull(),
    version: integer().notNull(),
    error: text().notNull(),
    createdAt: instant('createdAt').notNull().default(sql`date_trunc('milliseconds', now())`),
    /** when it was last tried to apply it */
    triedAt: instant('triedAt').notNull().default(sql`date_trunc('milliseconds', now())`)
  },
  (table) => [primaryKey({ name: 'projection_parked_pkey', columns: [table.bucket, table.worker, table.aggregateId] })]
)

const COUNT = { mode: 'number' } as const
const inC = (text: unknown) => sql`(lower(${text}) COLLATE "C")`

/** The users as they are at the position of the projection `users`. A lock that has run out is seen by lockedUntil. */
export const userReadModel = pgTable(
  'user_read_model',
  {
    bucket: smallint().notNull(),
    userId: uuid().notNull(),
    tenantId: uuid().notNull(),
    username: text().notNull(),
    email: text().notNull(),
    fullName: text(),
    phone: text(),
    status: text().notNull(),
    roleIds: text().array().notNull(),
    totalLogins: bigint(COUNT).notNull(),
    failedLoginAttempts: bigint(COUNT).notNull(),
    lockedUntil: instant('lockedUntil'),
    lastLoginAt: instant('lastLoginAt'),
    attributes: json<JsonObject>('attributes').generatedAlwaysAs(sql`("state" -> 'attributes')`),
    createdAt: instant('createdAt').notNull(),
    updatedAt: instant('updatedAt'),
    deletedAt: instant('deletedAt'),
    lastUpdatedVersion: integer().notNull(),
    lastPosition: bigint(COUNT).notNull(),
    /** what the next event is applied to */
    state: json<User>('state').notNull(),
    /** where words are looked for; the index that finds them anywhere in it needs the extension pg_trgm */
    search: text().generatedAlwaysAs(sql`lower("username" || ' ' || "email" || ' ' || coalesce("fullName", ''))`)
  },
  (table) => [
    primaryKey({ name: 'user_read_model_pkey', columns: [table.bucket, table.userId] }),
    index('IDX_READ_MODEL_USERNAME').on(table.tenantId, inC(table.username), table.userId),
    index('IDX_READ_MODEL_EMAIL').on(table.tenantId, inC(table.email), table.userId),
    index('IDX_READ_MODEL_FULL_NAME').on(table.tenantId, inC(table.fullName), table.userId),
    index('IDX_READ_MODEL_CREATED').on(table.tenantId, table.createdAt, table.userId),
    index('IDX_READ_MODEL_UPDATED').on(
      table.tenantId,
      sql`(coalesce(${table.updatedAt}, ${table.createdAt}))`,
      table.userId
    ),
    index('IDX_READ_MODEL_STATUS').on(table.tenantId, table.status, table.createdAt, table.userId),
    index('IDX_READ_MODEL_LOCKED').on(table.tenantId, table.lockedUntil).where(sql`"lockedUntil" IS NOT NULL`),
    index('IDX_READ_MODEL_ROLES').using('gin', table.roleIds)
  ]
)

/** How many events of each type were recorded on each day (UTC). */
export const userActivityEvents = pgTable(
  'user_activity_events',
  {
    bucket: smallint().notNull(),
    tenantId: uuid().notNull(),
    day: date().notNull(),
    eventType: varchar({ length: 100 }).notNull(),
    events: bigint(COUNT).notNull()
  },
  (table) => [
    primaryKey({
      name: 'user_activity_events_pkey',
      columns: [table.bucket, table.tenantId, table.day, table.eventType]
    })
  ]
)

/** By how much the number of users of each kind went up on each day (UTC). */
export const userActivityDays = pgTable(
  'user_activity_days',
  {
    bucket: smallint().notNull(),
    tenantId: uuid().notNull(),
    day: date().notNull(),
    active: bigint(COUNT).notNull(),
    inactive: bigint(COUNT).notNull(),
    suspended: bigint(COUNT).notNull(),
    deleted: bigint(COUNT).notNull(),
    /** locked and not unlocked since, also when the lock has run out */
    locked: bigint(COUNT).notNull()
  },
  (table) => [primaryKey({ name: 'user_activity_days_pkey', columns: [table.bucket, table.tenantId, table.day] })]
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
