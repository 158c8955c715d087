/** The words of the domain: what an event is before and after it is stored. */

/** JSON object as parsed from text; its keys were checked by `findHazard` before it came this far. */
export type JsonObject = Record<string, unknown>

/** One user's stream. Every read and write names the tenant as well, so that it cannot be forgotten. */
export type StreamKey = { tenantId: string; userId: string }

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
}
