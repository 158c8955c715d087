/** An event as the message of a broker: the same body and the same headers, whichever broker it is. */
import type { StoredEvent } from '../domain/event.js'
import { traceOfSent } from '../domain/sink.js'

export const CONTENT_TYPE = 'application/json'

/** The event in UTF-8 as `GET /users/{userId}/events/{version}` shows it. */
export const bodyOf = (event: StoredEvent): Buffer => Buffer.from(JSON.stringify(event))

/** What a consumer may want to know before it parses the body. */
export const headersOf = (event: StoredEvent): Record<string, string> => ({
  'content-type': CONTENT_TYPE,
  'event-id': event.id,
  'event-type': event.eventType,
  'user-id': event.aggregateId,
  version: String(event.version),
  position: String(event.position),
  ...traceHeadersOf(event)
})

/** The header by which whoever takes the event continues its trace (W3C Trace Context); none where no trace is known. */
export function traceHeadersOf(event: StoredEvent): { traceparent?: string } {
  const traceparent = traceOfSent(event)
  return traceparent === null ? {} : { traceparent }
}
