/** Routes that append events and read them back. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { authorOf } from '../../domain/access.js'
import type { CursorScope, Cursors } from '../../domain/cursor.js'
import { asTraceparent } from '../../domain/traceparent.js'
import { etagOf, expectationOf } from '../../domain/version.js'
import { EVENTS_PER_APPEND_MAX, type EventService, PAGE_MAX } from '../../services/events.js'
import { sendNdjson, wantsNdjson } from '../ndjson.js'
import { nextLink } from '../next-link.js'
import {
  Event,
  eventTypeFilter,
  instant,
  keyOf,
  momentOf,
  NewEvent,
  noQuery,
  problems,
  ref,
  shownAs,
  tenantHeader,
  tenantHeaders,
  userParams,
  version
} from '../schemas.js'

const AppendBody = Type.Object(
  {
    expectedVersion: Type.Optional(
      Type.Union(
        [
          Type.Integer({ minimum: 0, maximum: 2_147_483_647 }),
          Type.Literal('any'),
          Type.Literal('none'),
          Type.Literal('exists')
        ],
        {
          description: 'version the user must have: a number, `none` (no events yet), `exists`, or `any` (the default)'
        }
      )
    ),
    events: Type.Array(ref(NewEvent), { minItems: 1, maxItems: EVENTS_PER_APPEND_MAX })
  },
  {
    additionalProperties: false,
    examples: [
      {
        expectedVersion: 'none',
        events: [{ eventType: 'UserCreated', eventData: { username: 'ada', email: 'ada@example.com' } }]
      }
    ]
  }
)

const Appended = Type.Object({
  userId: Type.String({ format: 'uuid' }),
  version: Type.Integer({ description: 'version of the last event of the request' }),
  duplicate: Type.Boolean({ description: 'whether the events had been stored before' }),
  events: Type.Array(
    Type.Object({
      id: Type.String({ format: 'uuid' }),
      version: Type.Integer(),
      position: Type.Integer(),
      schemaVersion: Type.Integer(),
      createdAt: instant('when it was recorded')
    })
  )
})

const EventsQuery = Type.Object(
  {
    fromVersion: Type.Optional(version('first version, inclusive')),
    toVersion: Type.Optional(version('last version, inclusive')),
    from: Type.Optional(instant('recorded at or after')),
    to: Type.Optional(instant('recorded before')),
    ...eventTypeFilter,
    direction: Type.Union([Type.Literal('forward'), Type.Literal('backward')], { default: 'forward' }),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: PAGE_MAX,
        description: 'events in a page (100 when absent); with NDJSON events in all (no limit when absent)'
      })
    ),
    cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: '`next` of the page before' })),
    ...shownAs
  },
  { additionalProperties: false }
)

const created = {
  description: 'Stored',
  headers: appendHeaders(),
  content: { 'application/json': { schema: Appended } }
}

export const eventRoutes: FastifyPluginAsyncTypebox<{
  events: EventService
  cursors: Cursors
  fingerprintOf: (tenantId: string) => string
}> = async (app, { events, cursors, fingerprintOf }) => {
  app.post(
    '/users/:userId/events',
    {
      config: { scopes: ['events:write'] },
      schema: {
        operationId: 'appendEvents',
        summary: 'Append events to a user',
        description:
          'Stores 1 to 1,000 events, all or none, as consecutive versions. Repeating a request with the same ids (or the same Idempotency-Key) and content is safe for ever: it answers 200 with what was stored first.',
        tags: ['events'],
        params: userParams,
        headers: Type.Object({
          ...tenantHeader,
          'if-match': Type.Optional(
            Type.String({ description: '`"4"`, an ETag of the state, or `*` (the user exists)' })
          ),
          'if-none-match': Type.Optional(Type.String({ description: '`*`: the user must not exist' })),
          'idempotency-key': Type.Optional(
            Type.String({
              minLength: 1,
              maxLength: 255,
              description: 'gives events without an id one that a retry gives again'
            })
          ),
          traceparent: Type.Optional(
            Type.String({
              description:
                'W3C Trace Context: the trace that the request is part of. It is kept with the events and travels with them to other systems; what cannot be read as one counts as none'
            })
          )
        }),
        querystring: noQuery,
        body: AppendBody,
        response: {
          201: created,
          200: { ...created, description: 'Stored before by the same request' },
          ...problems(
            [
              'PRECONDITION_AMBIGUOUS',
              'PRECONDITION_INVALID',
              'VERSION_CONFLICT',
              'CLAIM_TAKEN',
              'EVENT_ID_REUSED',
              'USER_ID_TAKEN',
              'PRECONDITION_FAILED',
              'EVENT_TOO_LARGE',
              'UNKNOWN_EVENT_TYPE',
              'UNKNOWN_SCHEMA_VERSION',
              'INVALID_EVENT_DATA',
              'DUPLICATE_EVENT_ID',
              'METADATA_RESERVED',
              'USER_ALREADY_CREATED',
              'USER_NOT_CREATED',
              'USER_DELETED',
              'OUTCOME_UNKNOWN'
            ],
            { body: true }
          )
        }
      }
    },
    async (request, reply) => {
      const { headers, body } = request
      const key = keyOf(request)
      const result = await events.append(key, {
        events: body.events,
        expectation: expectationOf(body.expectedVersion, headers['if-match'], headers['if-none-match']),
        idempotencyKey: headers['idempotency-key'],
        author: authorOf(request.principal),
        traceparent: asTraceparent(headers.traceparent)
      })
      reply
        .code(result.duplicate ? 200 : 201)
        .header('etag', etagOf(result.version, fingerprintOf(key.tenantId)))
        .header('location', `/users/${key.userId}/events/${result.version}`)
      return { userId: key.userId, ...result }
    }
  )

  app.get(
    '/users/:userId/events',
    {
      config: { scopes: ['events:read'], large: true },
      schema: {
        operationId: 'readEvents',
        summary: "Read a user's events",
        description:
          'A page of events, or with `Accept: application/x-ndjson` the whole selection as one event per line.',
        tags: ['events'],
        params: userParams,
        headers: tenantHeaders,
        querystring: EventsQuery,
        response: {
          200: {
            description: 'The events',
            headers: {
              link: { type: 'string', description: '`rel="next"`: the next page, if there is one' }
            },
            content: {
              'application/json': {
                schema: Type.Object({
                  userId: Type.String({ format: 'uuid' }),
                  version: Type.Integer({ description: "version of the user's newest event" }),
                  events: Type.Array(ref(Event)),
                  next: Type.Union([Type.String(), Type.Null()], {
                    description: 'cursor of the next page; null on the last'
                  })
                })
              },
              'application/x-ndjson': { schema: Type.String({ description: 'one Event per line' }) }
            }
          },
          ...problems(['ARCHIVE_OFFLINE', 'CURSOR_MALFORMED', 'MOMENT_INVALID', 'USER_NOT_FOUND'])
        }
      }
    },
    async (request, reply) => {
      const { query } = request
      const key = keyOf(request)
      const scope: CursorScope = ['events', key.tenantId, key.userId, query.direction]
      const selection = {
        ...query,
        after: query.cursor === undefined ? undefined : cursors.read<number>(scope, query.cursor),
        from: momentOf('/from', query.from),
        to: momentOf('/to', query.to),
        eventTypes: query.eventType
      }
      if (wantsNdjson(request.headers.accept)) {
        return (await sendNdjson(request, reply, await events.readAll(key, selection, query.limit))) as never
      }
      const page = await events.readPage(key, selection, query.limit ?? 100)
      const next = page.next === null ? null : cursors.write(scope, page.next)
      if (next) reply.header('link', nextLink(request.url, 'cursor', next))
      return { ...page, next }
    }
  )

  app.get(
    '/users/:userId/events/:version',
    {
      config: { scopes: ['events:read'] },
      schema: {
        operationId: 'readEvent',
        summary: 'Read one event',
        tags: ['events'],
        params: Type.Object({ ...userParams.properties, version: version('version of the event') }),
        headers: tenantHeaders,
        querystring: Type.Object(shownAs, { additionalProperties: false }),
        response: { 200: ref(Event), ...problems(['ARCHIVE_OFFLINE', 'USER_NOT_FOUND', 'VERSION_NOT_FOUND']) }
      }
    },
    (request) => events.readOne(keyOf(request), request.params.version, request.query)
  )
}

function appendHeaders() {
  return {
    etag: { type: 'string', description: 'version of the user after the last event of the request' },
    location: { type: 'string', description: 'the last event of the request' }
  }
}
