/** Kinds of columns that several tables have, and those of an event. */
import { bigint, customType, integer, smallint, uuid, varchar } from 'drizzle-orm/pg-core'
import type { JsonObject } from '../domain/event.js'

/** JSON that is parsed exactly once: the client hands it over as text in both directions. */
const parsedOnce =
  (dataType: 'json' | 'jsonb') =>
  <T>(name: string) =>
    customType<{ data: T; driverData: string }>({
      dataType: () => dataType,
      toDriver: (value) => JSON.stringify(value),
      fromDriver: (value) => JSON.parse(value) as T
    })(name)

export const json = parsedOnce('jsonb')
/** Kept as the text it was given as: storing it costs the database no look into it. */
export const jsonText = parsedOnce('json')

/** What PostgreSQL writes as `2026-11-22 08:00:00.5+00`: in UTC, with no more digits of a second than needed. */
function instantOf(text: string): string {
  const fraction = text.slice(20, -3)
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction.padEnd(3, '0')}Z`
}

/** timestamptz(3) as RFC 3339 text in UTC with milliseconds. */
export const instant = customType<{ data: string; driverData: string }>({
  dataType: () => 'timestamp (3) with time zone',
  fromDriver: instantOf
})

/** What an event has, in every table that holds events. */
export const eventColumns = () => ({
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
})
