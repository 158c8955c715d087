/** The words of the domain: what an event is before and after it is stored. */

/** JSON object as parsed from text; its keys were checked by `findHazard` before it came this far. */
export type JsonObject = Record<string, unknown>

/** One user's stream. Every read and write names the tenant as well, so that it cannot be forgotten. */
export type StreamKey = { tenantId: string; userId: string }

/** Pattern of a UUID of any version, in either case. */
export const UUID = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'

/** The tenant of a service without tenants; metric labels show it as `default`. */
export const DEFAULT_TENANT = '00000000-0000-0000-0000-000000000000'

/** An event as a client sends it; what it left out is undefined. */
export type NewEvent = {
  id?: string
  eventType: string
  schemaVersion?: number
  eventData: JsonObject
  occurredAt?: string
  metadata?: JsonObject
}

/** What is checked of an event before it is stored; what it does not have may be null as well. */
export type UnpreparedEvent = Pick<NewEvent, 'eventType' | 'schemaVersion' | 'eventData'> & {
  metadata?: JsonObject | null
  occurredAt?: string | null
}

/** What the reducer sees of an event; times are RFC 3339 in UTC with milliseconds. */
export type FoldEvent = {
  version: number
  eventType: string
  schemaVersion: number
  eventData: JsonObject
  createdAt: string
}

/** An event as it is stored and read. */
export type StoredEvent = FoldEvent & {
  id: string
  aggregateId: string
  tenantId: string
  position: number
  metadata: JsonObject | null
  occurredAt: string | null
  /** it was moved to the archive */
  archived?: true
}
