/** What delivers events to another system, and what it says of each. */
import type { StoredEvent } from './event.js'
import { traceparentOf } from './service-metadata.js'

export type Outcome =
  /** the system has it for good, as far as it can say */
  | { kind: 'delivered' }
  /** the system refused this event; others may be taken */
  | { kind: 'failed'; reason: string; retryAfterMs?: number }
  /** no answer, or none that is about the event, which may have arrived: the system as a whole may be away */
  | { kind: 'unavailable'; reason: string; retryAfterMs?: number }
  /** the receiver wants no more events, ever */
  | { kind: 'gone'; reason: string }
  /** not sent, because an earlier event of the same user was not delivered */
  | { kind: 'held' }

/** No part of the event as others read it: it is in no JSON. */
const SENT_UNDER = Symbol('traceparent')

/** The event, to be sent as part of another span than that of its append. */
export const sentUnder = (event: StoredEvent, traceparent: string | null): StoredEvent =>
  traceparent === null ? event : Object.assign({ ...event }, { [SENT_UNDER]: traceparent })

/** The span by which whoever gets the event continues its trace; null where none is known. */
export const traceOfSent = (event: StoredEvent & { [SENT_UNDER]?: string }): string | null =>
  event[SENT_UNDER] ?? traceparentOf(event)

/**
 * Delivers at least once and, per user, in order: an event is sent only after the one of the same user before it was
 * acknowledged, or together with it in one indivisible message. Made for one subscription; keeps its connection.
 */
export type Sink = {
  /**
   * Sends `batch` (by position, upcast to the newest versions) and returns an outcome for each, in the same order, at most 4.5
   * seconds after the last of it was sent. Never throws for what the other system does. After `signal` no further event is sent.
   */
  publish(batch: readonly StoredEvent[], signal: AbortSignal): Promise<Outcome[]>
  /** Gives the connection up. Can be called once. */
  close(): Promise<void>
}
