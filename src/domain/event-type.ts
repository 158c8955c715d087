/** What an event type is: its numbered data schemas, how old data is lifted, and what it does to the state. */
import type { TSchema } from '@sinclair/typebox'
import type { FoldEvent, JsonObject, StreamKey } from './event.js'
import type { Check } from './event-schema.js'
import type { User } from './user.js'

export type EventTypeVersion = {
  /** Strict TypeBox schema of eventData: unknown properties are refused. A JSON Schema comes with its own `check`. */
  schema: TSchema
  check?: Check
  /**
   * Lifts data of the version before to this one; absent on version 1 only. Pure and total over valid data. That of a
   * registered type gives null for data that it does not fit.
   */
  upcast?: (eventData: JsonObject) => JsonObject | null
}

export type EventType = {
  name: string
  summary: string
  /** Place 0 is schemaVersion 1. Append new versions at the end, never change an old one. */
  versions: readonly EventTypeVersion[]
  /** Valid eventData of the newest version, shown in the OpenAPI document. */
  example: JsonObject
  /** Raise it when `apply` or an upcaster gives another state for the same events: it is part of the fingerprint. */
  effectVersion: number
  /** For a type that was registered: names what can make snapshots wrong, or null. */
  rules?: string | null
  /** Dotted paths in eventData that hold personal data. */
  personalData: readonly string[]
  /** Refuses data for a reason that a schema cannot say; returns null when it is fine. */
  refuse?: (data: {
    eventData: JsonObject
    metadata: JsonObject | undefined
  }) => { pointer: string; reason: string } | null
} & (
  | { /** The only type that starts a stream. */ creates: true; apply: (key: StreamKey, event: FoldEvent) => User }
  | {
      creates?: false /** State after the event; never changes the one it is given. */
      apply: (state: User, event: FoldEvent) => User
    }
)
