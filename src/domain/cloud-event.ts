/**
 * An event as other systems read it: CloudEvents 1.0. A receiver can tell duplicates by `subject` and `userversion`, which also
 * put the events of a user in order, and put all events of the log in order by `sequence`.
 */
import { type Static, Type } from '@sinclair/typebox'
import type { JsonObject, StoredEvent } from './event.js'
import { traceOfSent } from './sink.js'

/** Digits of the greatest bigint, which a position is: of texts padded to it, the greater one is the later one. */
export const SEQUENCE_DIGITS = 19

const uuid = (description: string) => Type.String({ format: 'uuid', description })
const cause = (description: string) => Type.Optional(Type.String({ minLength: 1, maxLength: 256, description }))

export const CloudEvent = Type.Object({
  specversion: Type.Literal('1.0'),
  id: uuid('the event; the same when it is delivered again'),
  source: Type.String({ description: 'the store; a setting of it' }),
  type: Type.String({ description: 'event type' }),
  subject: uuid('the user'),
  time: Type.String({ format: 'date-time', description: 'when it was recorded' }),
  datacontenttype: Type.Literal('application/json'),
  data: Type.Object({}, { additionalProperties: true, description: 'eventData at the newest schema version' }),
  tenantid: uuid('owner of the user'),
  userversion: Type.Integer({ minimum: 1, description: "place in the user's stream, from 1, without gaps" }),
  schemaversion: Type.Integer({ minimum: 1, description: 'schema version of data' }),
  sequence: Type.String({
    pattern: `^[0-9]{${SEQUENCE_DIGITS}}$`,
    description: 'place in the whole log: of two, the greater as text is the later'
  }),
  partitionkey: uuid('the user, whose events must stay in order'),
  occurredat: Type.Optional(Type.String({ format: 'date-time', description: 'when it happened, if a client said so' })),
  correlationid: cause('correlationId of the metadata'),
  causationid: cause('causationId of the metadata'),
  traceparent: Type.Optional(
    Type.String({
      description:
        'W3C Trace Context: the trace that it was appended in, at the span by which it was sent if there is one'
    })
  )
})

export type CloudEvent = Static<typeof CloudEvent>

/** Text as CloudEvents allows it in an attribute, and of a length that an HTTP header could carry. */
const ATTRIBUTE = /^[^\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]{1,256}$/u

/** `source` is a URI reference that names this store. An id is unique within its user, and among all if clients make it so. */
export function toCloudEvent(event: StoredEvent, source: string): CloudEvent {
  const traceparent = traceOfSent(event)
  return {
    specversion: '1.0',
    id: event.id,
    source,
    type: event.eventType,
    subject: event.aggregateId,
    time: event.createdAt,
    datacontenttype: 'application/json',
    data: event.eventData,
    tenantid: event.tenantId,
    userversion: event.version,
    schemaversion: event.schemaVersion,
    sequence: String(event.position).padStart(SEQUENCE_DIGITS, '0'),
    partitionkey: event.aggregateId,
    ...(event.occurredAt === null ? {} : { occurredat: event.occurredAt }),
    ...causes(event.metadata),
    ...(traceparent === null ? {} : { traceparent })
  }
}

/**
 * Of metadata of the client, what CloudEvents has a documented extension for. The rest stays: an attribute cannot be an object, data is
 * what the schema of the type says, and metadata may tell (an IP address, say) what no receiver should learn unasked.
 */
function causes(metadata: JsonObject | null): Pick<CloudEvent, 'correlationid' | 'causationid'> {
  const { correlationId, causationId } = metadata ?? {}
  return {
    ...(isAttribute(correlationId) ? { correlationid: correlationId } : {}),
    ...(isAttribute(causationId) ? { causationid: causationId } : {})
  }
}

const isAttribute = (value: unknown): value is string => typeof value === 'string' && ATTRIBUTE.test(value)
