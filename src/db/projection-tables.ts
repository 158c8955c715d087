/** The tables of what is derived from the log: the users directory, activity and statistics. */
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
  uuid,
  varchar
} from 'drizzle-orm/pg-core'
import type { User } from '../domain/user.js'
import { instant, jsonText } from './columns.js'

const COUNT = { mode: 'number' } as const
const inC = (text: unknown) => sql`(lower(${text}) COLLATE "C")`

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

/**
 * What users are found by, at the position of the projection `users`. An event that changes none of it leaves the row, and its many indexes,
 * alone. A lock that has run out is seen by lockedUntil.
 */
export const userReadModel = pgTable(
  'user_read_model',
  {
    bucket: smallint().notNull(),
    userId: uuid().notNull(),
    tenantId: uuid().notNull(),
    username: text().notNull(),
    email: text().notNull(),
    fullName: text(),
    status: text().notNull(),
    roleIds: text().array().notNull(),
    lockedUntil: instant('lockedUntil'),
    createdAt: instant('createdAt').notNull(),
    deletedAt: instant('deletedAt'),
    /** where words are looked for; the index that finds them anywhere in it needs the extension pg_trgm */
    search: text().generatedAlwaysAs(sql`lower("username" || ' ' || "email" || ' ' || coalesce("fullName", ''))`)
  },
  (table) => [
    primaryKey({ name: 'user_read_model_pkey', columns: [table.bucket, table.userId] }),
    index('IDX_READ_MODEL_USERNAME').on(table.tenantId, inC(table.username), table.userId),
    index('IDX_READ_MODEL_EMAIL').on(table.tenantId, inC(table.email), table.userId),
    index('IDX_READ_MODEL_FULL_NAME').on(table.tenantId, inC(table.fullName), table.userId),
    index('IDX_READ_MODEL_CREATED').on(table.tenantId, table.createdAt, table.userId),
    index('IDX_READ_MODEL_STATUS').on(table.tenantId, table.status, table.createdAt, table.userId),
    index('IDX_READ_MODEL_LOCKED').on(table.tenantId, table.lockedUntil).where(sql`"lockedUntil" IS NOT NULL`),
    index('IDX_READ_MODEL_ROLES').using('gin', table.roleIds)
  ]
)

/** The states of the same users at the same position: one row of each, which every event changes. */
export const userReadState = pgTable(
  'user_read_state',
  {
    bucket: smallint().notNull(),
    userId: uuid().notNull(),
    tenantId: uuid().notNull(),
    /** when the user was created or last updated */
    changedAt: instant('changedAt').notNull(),
    lastUpdatedVersion: integer().notNull(),
    lastPosition: bigint(COUNT).notNull(),
    /** as in user_read_model: who is looked for in the order of changes need not be looked up there to be passed over */
    status: text().notNull(),
    lockedUntil: instant('lockedUntil'),
    /** what is shown, and what the next event is applied to; as text, since nothing is looked for in it */
    state: jsonText<User>('state').notNull()
  },
  (table) => [
    primaryKey({ name: 'user_read_state_pkey', columns: [table.bucket, table.userId] }),
    index('IDX_READ_STATE_CHANGED').on(table.tenantId, table.changedAt, table.userId)
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
