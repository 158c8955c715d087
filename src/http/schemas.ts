/** Shapes on the wire that several routes share. Those with an `$id` are components of the OpenAPI document. */
import { type Static, type TSchema, Type } from '@sinclair/typebox'
import { builtInTypes } from '../domain/catalog.js'
import { DomainError } from '../domain/errors.js'
import { type StreamKey, UUID } from '../domain/event.js'
import { parseInstant } from '../domain/formats.js'
import { type ErrorCode, errorTable } from './errors.js'

/** A UUID of any version, in either case. The pattern is stricter than Ajv's format, which takes `urn:uuid:` too. */
export const uuid = (description: string) =>
  Type.String({ pattern: UUID, description, examples: ['0191d5a0-7c1e-7000-8000-000000000001'] })

/** Text that the database can hold: without NUL and without lone surrogates (which is what the range means to a Unicode pattern). */
export const text = (options: { minLength?: number; maxLength: number; description?: string }) =>
  Type.String({ pattern: '^[^\\u0000\\ud800-\\udfff]*$', ...options })

export const version = (description: string) => Type.Integer({ minimum: 1, maximum: 2_147_483_647, description })
export const instant = (description: string) => Type.String({ format: 'date-time', description })
export const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])
const openObject = (description: string, ...examples: object[]) =>
  Type.Object({}, { additionalProperties: true, description, ...(examples.length > 0 && { examples }) })

/** A reference to a component that keeps its type. */
export const ref = <T extends TSchema>(schema: T) => Type.Unsafe<Static<T>>(Type.Ref(schema.$id!))

export const Event = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    aggregateId: Type.String({ format: 'uuid', description: 'the user' }),
    tenantId: Type.String({ format: 'uuid' }),
    position: Type.Integer({ description: 'place in the whole log, from 1, without gaps' }),
    version: Type.Integer({ description: "place in the user's stream, from 1, without gaps" }),
    eventType: Type.String(),
    schemaVersion: Type.Integer({ description: 'schema version that eventData is shown in' }),
    eventData: openObject('data of the type'),
    metadata: nullable(
      openObject(
        'as the client sent it, with `$principal` for who appended it (`key:<id>` or `jwt:<subject>`), and `$traceparent` for the trace it was appended in'
      )
    ),
    occurredAt: nullable(instant('when the client says it happened')),
    createdAt: instant('when it was recorded; never decreases within a user'),
    archived: Type.Optional(
      Type.Literal(true, { description: 'it was moved to the archive; shown with `includeSource=true`' })
    )
  },
  { $id: 'Event' }
)

export const NewEvent = Type.Object(
  {
    id: Type.Optional(uuid('makes a retry safe; made by the server when absent')),
    eventType: Type.String({
      minLength: 1,
      maxLength: 100,
      description: `One of ${builtInTypes.map(({ name }) => name).join(', ')}, or a registered type`
    }),
    schemaVersion: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 32767, description: 'the newest that accepts the data when absent' })
    ),
    eventData: openObject('data of the type'),
    occurredAt: Type.Optional(instant('when it happened, if the client knows; digits beyond milliseconds are cut off')),
    metadata: Type.Optional(
      openObject(
        'who, from where, caused by what: any JSON object without the members `$principal` and `$traceparent`',
        {
          correlationId: 'checkout-7'
        }
      )
    )
  },
  { $id: 'NewEvent', additionalProperties: false }
)

export const User = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    tenantId: Type.String({ format: 'uuid' }),
    status: Type.Union([
      Type.Literal('active'),
      Type.Literal('inactive'),
      Type.Literal('suspended'),
      Type.Literal('deleted')
    ]),
    username: Type.String(),
    email: Type.String(),
    fullName: nullable(Type.String()),
    phone: nullable(Type.String()),
    avatar: nullable(Type.String()),
    roleIds: Type.Array(Type.String()),
    attributes: openObject("the client's own fields"),
    loginAttempts: Type.Integer(),
    lockedUntil: nullable(instant('sign-in is refused until then')),
    lockReason: nullable(Type.String()),
    totalLogins: Type.Integer(),
    lastLoginAt: nullable(instant('of the newest sign-in')),
    lastLoginIp: nullable(Type.String()),
    passwordChangedAt: nullable(instant('of the newest change')),
    createdAt: instant('of UserCreated'),
    updatedAt: nullable(instant('of the newest change of profile, roles or password')),
    deletedAt: nullable(instant('of UserDeleted'))
  },
  { $id: 'User', description: 'State of a user; absent values are null, never missing' }
)

export const SnapshotMetadata = Type.Object(
  {
    reason: Type.String({ description: 'threshold, manual, or what the caller said' }),
    eventCount: Type.Integer({ description: 'events folded to make it, on top of the snapshot before' }),
    snapshotSize: Type.Integer({ description: 'bytes of the state as JSON' }),
    createdBy: Type.String()
  },
  { $id: 'SnapshotMetadata' }
)

export const SnapshotSummary = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    aggregateId: Type.String({ format: 'uuid' }),
    tenantId: Type.String({ format: 'uuid' }),
    version: Type.Integer({ description: 'version of the last event folded into it' }),
    fingerprint: Type.String({ description: 'names the rules it was made under' }),
    metadata: ref(SnapshotMetadata),
    createdAt: instant('when it was made')
  },
  { $id: 'SnapshotSummary' }
)

export const Problem = Type.Object(
  {
    type: Type.String({ description: 'URN of the code' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'what was found, what was expected, what to do' }),
    instance: Type.String({ description: 'path of the request' }),
    code: Type.Union(
      (Object.keys(errorTable) as ErrorCode[]).sort().map((code) => Type.Literal(code)),
      { description: 'stable; decide by this' }
    ),
    pointer: Type.Optional(Type.String({ description: 'JSON Pointer (RFC 6901) to what is wrong' })),
    currentVersion: Type.Optional(Type.Integer()),
    expectedVersion: Type.Optional(Type.Union([Type.Integer(), Type.String()])),
    eventIds: Type.Optional(Type.Array(Type.String({ format: 'uuid' })))
  },
  { $id: 'Problem', additionalProperties: true, description: 'RFC 9457 problem; further members are facts of the code' }
)

export const components = [Event, NewEvent, User, SnapshotMetadata, SnapshotSummary, Problem]

export const userParams = Type.Object({ userId: uuid('user id') })

export const tenantHeader = {
  'x-tenant-id': Type.Optional(
    uuid('tenant to act for: that of the credentials when absent; another one takes the scope tenants:all')
  )
}

export const tenantHeaders = Type.Object(tenantHeader)

/** Only events of these types: a part of the queries that select events. */
export const eventTypeFilter = {
  eventType: Type.Optional(
    Type.Array(text({ minLength: 1, maxLength: 100 }), {
      minItems: 1,
      maxItems: 50,
      description: 'only these types; repeat it for several'
    })
  )
}

/** How events are shown: a part of the queries that read them. */
export const shownAs = {
  upcast: Type.Boolean({ default: true, description: 'false shows the data as it was stored' }),
  includeSource: Type.Boolean({ default: false, description: 'true marks events of the archive with `archived: true`' })
}

/** Of a route without a query: what it does not know it refuses, so that nobody believes it was heeded. */
export const noQuery = Type.Object({}, { additionalProperties: false })

/** The stream a request speaks of; ids are lower case from here on. */
export function keyOf({ tenantId, params }: { params: { userId: string }; tenantId: string }): StreamKey {
  return { tenantId, userId: params.userId.toLowerCase() }
}

/** A moment of the query in UTC. Throws MOMENT_INVALID for leap seconds and the like, which the schema lets pass. */
export function momentOf(pointer: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const moment = parseInstant(text)
  if (moment) return moment
  throw new DomainError(
    'MOMENT_INVALID',
    `${pointer.slice(1)} is not a moment; expected an RFC 3339 date-time such as 2026-11-22T08:00:00.000Z.`,
    { pointer }
  )
}

const ANY_ROUTE: ErrorCode[] = [
  'VALIDATION_FAILED',
  'INTERNAL_ERROR',
  'DATABASE_UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'OVERLOADED',
  'SHUTTING_DOWN',
  'UNAUTHENTICATED',
  'SCOPE_MISSING',
  'TENANT_FORBIDDEN',
  'RATE_LIMITED',
  'KEYS_UNAVAILABLE'
]
/** A body that a route does not ask for is read and refused all the same. */
const WITH_BODY: ErrorCode[] = [
  'MALFORMED_JSON',
  'MALFORMED_REQUEST',
  'REQUEST_TIMEOUT',
  'BODY_TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
  'UNSAFE_JSON'
]

/** Responses for a route's own codes and those that any route can give; `body` adds those of all but GET. */
export function problems(codes: ErrorCode[], { body = false } = {}): Record<string, TSchema> {
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of [...codes, ...(body ? WITH_BODY : []), ...ANY_ROUTE]) {
    const { status } = errorTable[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  return Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [
      status,
      {
        description: ofStatus.map((code) => `\`${code}\` ${errorTable[code].title}`).join('; '),
        content: { 'application/problem+json': { schema: Type.Ref('Problem') } }
      } as unknown as TSchema
    ])
  )
}
