/** The tables of deliveries to other systems (0004_delivery.sql): who gets the log, how far, and what is still owed. */
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
import type { SubscriptionDefinition } from '../domain/subscription.js'
import { instant, json } from './columns.js'

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
