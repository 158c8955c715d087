/** Routes that register event types and show them. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { type EventTypeDefinition, TYPE_NAME } from '../../domain/custom-type.js'
import { OPERATIONS_MAX } from '../../domain/patch.js'
import type { EventTypeService } from '../../services/event-types.js'
import { ownerOf } from '../auth.js'
import { noQuery, problems, tenantHeaders, text } from '../schemas.js'

const Json = Type.Object({}, { additionalProperties: true })
const JsonPatch = Type.Array(Json, { maxItems: OPERATIONS_MAX, description: 'RFC 6902 JSON Patch' })

const Effect = Type.Union(
  [
    Type.Object({ kind: Type.Literal('none') }, { additionalProperties: false }),
    Type.Object(
      { kind: Type.Literal('merge'), namespace: Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_-]{0,63}$' }) },
      { additionalProperties: false }
    ),
    Type.Object({ kind: Type.Literal('patch'), operations: JsonPatch }, { additionalProperties: false })
  ],
  {
    description:
      'what an event does to the state: nothing; its data are merged (RFC 7396) into `attributes.<namespace>`; or a JSON Patch of the state, in whose values `{ "$event": "/eventData/city" }` stands for a field of the event. The patch is carried out as a whole or not at all: a `test` that fails, or names a field that the event lacks, leaves the state as it was, and so does a patch that writes more than 64 KiB or makes the state larger than 1 MiB.'
  }
)

const Definition = Type.Object(
  {
    summary: Type.Optional(text({ maxLength: 500 })),
    schema: Type.Object(
      {},
      {
        additionalProperties: true,
        description:
          'JSON Schema 2020-12 of eventData: at most 64 KiB, `type: object`, local `$ref` without circles, patterns of RE2'
      }
    ),
    upcast: Type.Optional(
      Type.Array(Json, {
        maxItems: OPERATIONS_MAX,
        description:
          'from version 2 on: JSON Patch that makes data of this version of data of the version before. A stored event that it does not fit, or for which it writes more than 64 KiB, is shown as it was stored and changes no state.'
      })
    ),
    effect: Effect,
    personalData: Type.Optional(
      Type.Array(text({ minLength: 1, maxLength: 200 }), {
        maxItems: 100,
        description: 'dotted paths in eventData that hold personal data'
      })
    )
  },
  {
    additionalProperties: false,
    examples: [
      {
        summary: 'The user moved.',
        schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        effect: { kind: 'merge', namespace: 'address' }
      }
    ]
  }
)

const Summary = Type.Object({
  eventType: Type.String(),
  scope: Type.Union([Type.Literal('built-in'), Type.Literal('global'), Type.Literal('tenant')], {
    description: "whose it is: part of the service, all tenants', or this tenant's own"
  }),
  summary: Type.String(),
  versions: Type.Integer({ description: 'how many versions its schema has' })
})

const Details = Type.Object({
  ...Summary.properties,
  personalData: Type.Array(Type.String()),
  example: Json,
  history: Type.Array(
    Type.Object({
      version: Type.Integer(),
      schema: Json,
      upcast: Type.Union([Type.Array(Json), Type.Null()]),
      effect: Type.Union([Json, Type.Null()], { description: 'null for a built-in type, whose effect is code' }),
      createdAt: Type.Union([Type.String({ format: 'date-time' }), Type.Null()])
    }),
    { description: 'all versions, the first one first' }
  )
})

const Registered = Type.Object({
  eventType: Type.String(),
  version: Type.Integer(),
  registered: Type.Boolean({ description: 'whether it is stored; false with `dryRun`' }),
  breaks: Type.Array(
    Type.Object({
      direction: Type.Union([Type.Literal('old data, new schema'), Type.Literal('new data, old schema')]),
      pointer: Type.String(),
      reason: Type.String()
    }),
    { description: 'what those who do not know of the new version will meet; found by trying sample data' }
  )
})

const typeParam = { type: Type.String({ minLength: 1, maxLength: 100 }) }

export const eventTypeRoutes: FastifyPluginAsyncTypebox<{ eventTypes: EventTypeService }> = async (
  app,
  { eventTypes }
) => {
  app.put(
    '/event-types/:type/versions/:version',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'registerEventType',
        summary: 'Register a version of an event type',
        description:
          'Versions are numbered from 1 without a gap and never change; the same request again is safe. Nothing is registered that could fail later: the upcast is tried on samples of the version before.',
        tags: ['event types'],
        params: Type.Object({
          type: Type.String({ pattern: TYPE_NAME }),
          version: Type.Integer({ minimum: 1, maximum: 1000 })
        }),
        headers: tenantHeaders,
        querystring: Type.Object(
          {
            scope: Type.Union([Type.Literal('tenant'), Type.Literal('global')], {
              default: 'tenant',
              description: "`global`: for all tenants; `tenant`: this tenant's own"
            }),
            dryRun: Type.Boolean({
              default: false,
              description: 'store nothing; tell what breaks, or why it would be refused'
            })
          },
          { additionalProperties: false }
        ),
        body: Definition,
        response: {
          201: { description: 'Registered', content: { 'application/json': { schema: Registered } } },
          200: {
            description: 'Registered before with this content, or only examined',
            content: { 'application/json': { schema: Registered } }
          },
          ...problems(
            [
              'EVENT_TYPE_EXISTS',
              'EVENT_TYPE_RESERVED',
              'EVENT_TYPE_VERSION_GAP',
              'EVENT_TYPES_FULL',
              'INVALID_EFFECT',
              'INVALID_EVENT_SCHEMA',
              'INVALID_UPCAST'
            ],
            { body: true }
          )
        }
      }
    },
    async (request, reply) => {
      const { type, version } = request.params
      const { scope, dryRun } = request.query
      const tenantId = ownerOf(request, scope)
      const definition = { summary: '', personalData: [], ...request.body } as unknown as EventTypeDefinition
      const { created, breaks } = await eventTypes.register(tenantId, type, version, definition, { dryRun })
      reply.code(created ? 201 : 200)
      return { eventType: type, version, registered: !dryRun, breaks }
    }
  )

  app.get(
    '/event-types',
    {
      config: { scopes: ['events:read'] },
      schema: {
        operationId: 'listEventTypes',
        summary: 'List the event types of a tenant',
        tags: ['event types'],
        headers: tenantHeaders,
        querystring: noQuery,
        response: { 200: Type.Object({ eventTypes: Type.Array(Summary) }), ...problems([]) }
      }
    },
    async (request) => ({ eventTypes: eventTypes.list(request.tenantId) })
  )

  app.get(
    '/event-types/:type',
    {
      config: { scopes: ['events:read'] },
      schema: {
        operationId: 'readEventType',
        summary: 'Read an event type with all its versions',
        tags: ['event types'],
        params: Type.Object(typeParam),
        headers: tenantHeaders,
        querystring: noQuery,
        response: { 200: Details, ...problems(['EVENT_TYPE_NOT_FOUND']) }
      }
    },
    (request) => eventTypes.withTypes(async () => eventTypes.get(request.tenantId, request.params.type))
  )
}
