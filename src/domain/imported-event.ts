/**
 * One line of an import: an event as the service shows it, with the version and the time that it had. Everything that the
 * line alone can show is checked here; whether it continues its user's stream shows where it is stored.
 */
import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { type Catalog, CREATED } from './catalog.js'
import { DomainError } from './errors.js'
import { type UnpreparedEvent, UUID } from './event.js'
import { escapePointer, parseJson } from './json.js'
import { type EventTexts, momentOf, prepareEvent } from './prepared-event.js'

export type ImportedEvent = EventTexts & {
  id: string
  userId: string
  version: number
  eventType: string
  /** whether the line names the schema version */
  schemaVersionAsked: boolean
  /** UTC with milliseconds */
  createdAt: string
}

/** Bytes that a line may be longer than the data and metadata of an event. */
export const ENVELOPE_BYTES_MAX = 4096

const uuid = Type.String({ pattern: UUID })

const Line = Type.Object(
  {
    id: uuid,
    aggregateId: uuid,
    tenantId: Type.Optional(uuid),
    position: Type.Optional(Type.Unknown()),
    version: Type.Integer({ minimum: 1, maximum: 2_147_483_647 }),
    eventType: Type.String({ minLength: 1, maxLength: 100 }),
    schemaVersion: Type.Optional(Type.Integer({ minimum: 1, maximum: 32_767 })),
    eventData: Type.Object({}),
    metadata: Type.Optional(Type.Union([Type.Object({}), Type.Null()])),
    occurredAt: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    createdAt: Type.String(),
    archived: Type.Optional(Type.Unknown())
  },
  // Looked up below, which takes a fraction of what the compiled check would.
  { additionalProperties: true }
)
const MEMBERS = new Set(Object.keys(Line.properties))

const compiled = TypeCompiler.Compile(Line)

/** Reads a line of a tenant's history. Throws a DomainError with the `pointer` of what is wrong in it. */
export function readImportedEvent(
  line: string,
  tenantId: string,
  catalog: Catalog,
  eventBytesMax: number
): ImportedEvent {
  const value = parseJson(line, 'The line')
  if (!compiled.Check(value)) {
    const { path, message } = compiled.Errors(value).First()!
    throw invalid(path, `${message.charAt(0).toLowerCase()}${message.slice(1)}`)
  }
  for (const name in value)
    if (!MEMBERS.has(name)) throw invalid(`/${escapePointer(name)}`, 'an event has no such member; leave it out')
  if (value.tenantId !== undefined && value.tenantId !== tenantId && value.tenantId.toLowerCase() !== tenantId)
    throw invalid('/tenantId', `the request is one of tenant ${tenantId}; send the lines of each tenant on their own`)
  const { eventType, version } = value
  if ((eventType === CREATED) !== (version === 1))
    throw invalid(
      '/eventType',
      `version 1 of a user, and no other, is ${CREATED}; found ${eventType} as version ${version}`
    )
  const createdAt = momentOf(value.createdAt, '/createdAt')
  const { schemaVersion, dataText, metadataText, occurredAt, bytes } = prepareEvent(
    value as UnpreparedEvent,
    '',
    catalog,
    eventBytesMax
  )
  return {
    id: value.id.toLowerCase(),
    userId: value.aggregateId.toLowerCase(),
    version,
    eventType,
    schemaVersion,
    schemaVersionAsked: value.schemaVersion !== undefined,
    dataText,
    metadataText,
    occurredAt,
    createdAt,
    bytes
  }
}

const invalid = (pointer: string, reason: string): DomainError =>
  new DomainError('INVALID_EVENT_DATA', `At ${pointer || 'the top'}: ${reason}.`, { pointer, reason })
