/** Event types that clients registered. */
import { asc } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { eventTypes } from '../db/tables.js'
import type { ClaimField } from '../domain/claims.js'
import type { EventTypeDefinition } from '../domain/custom-type.js'

/** `tenantId` is null for a type that all tenants share. */
export type RegisteredVersion = {
  tenantId: string | null
  eventType: string
  version: number
  definition: EventTypeDefinition
  createdAt: string
}

/** Goes up whenever a version is registered. */
export async function selectTypesRevision(db: Db): Promise<number> {
  const [row] = await db.query<{ revision: string }>(
    'SELECT coalesce(max(revision), 0) AS revision FROM event_types',
    [],
    { repeatable: true }
  )
  return Number(row!.revision)
}

/** All versions of all types, in the order in which they were registered. */
export async function selectEventTypes(db: Db): Promise<(RegisteredVersion & { revision: number })[]> {
  return await db.orm.select().from(eventTypes).orderBy(asc(eventTypes.revision))
}

export type RegisterOutcome = 'registered' | 'same' | 'differs' | 'taken' | 'gap' | 'full' | 'claimed'

/**
 * Registers a version (register_event_type and register_unclaimed_event_type say what they keep true) whose effect writes the
 * fields `writes`; `newest` is the newest of the type before the call.
 */
export async function insertEventType(
  db: Db,
  { tenantId, eventType, version, definition }: Omit<RegisteredVersion, 'createdAt'>,
  writes: readonly ClaimField[],
  { types, versions }: { types: number; versions: number }
): Promise<{ outcome: RegisterOutcome; newest: number }> {
  const [row] = await db.query<{ outcome: RegisterOutcome; newest: number }>(
    'SELECT outcome, newest FROM register_unclaimed_event_type($1::text::text[], $2::uuid, $3, $4::smallint, $5::text::jsonb, $6::integer, $7::integer)',
    [`{${writes.join(',')}}`, tenantId, eventType, version, JSON.stringify(definition), types, versions],
    // Registering it again finds it there: the answer is `same`, and nothing is stored twice.
    { repeatable: true }
  )
  return row!
}
