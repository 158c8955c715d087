/** Routes that watch and mend projections. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { ProjectionService } from '../../services/projections.js'
import { instant, noQuery, nullable, problems, uuid } from '../schemas.js'

const nameParams = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 100, description: 'name of the projection' })
})

const Rebuild = Type.Object({
  version: Type.Integer({ description: 'of the code that fills the tables' }),
  stage: Type.Union([Type.Literal('filling'), Type.Literal('indexing'), Type.Literal('closing')], {
    description:
      'filling: events are applied; indexing: the indexes are made; closing: the last events are applied before it takes over'
  }),
  startedAt: instant('when it began'),
  eventsDone: Type.Integer({ description: 'events it has applied' }),
  eventsPerSecond: Type.Integer({ description: 'since it began' }),
  secondsLeft: nullable(Type.Integer({ description: 'until it has applied all, at that rate' })),
  parkedUsers: Type.Integer({ description: 'users whose events it could not apply' })
})

const Projection = Type.Object({
  name: Type.String(),
  version: Type.Integer({ description: 'of the code of the instance that answers' }),
  servedVersion: Type.Integer({ description: 'of the code that filled the tables that serve; 0: none has yet' }),
  filledAt: instant('when those tables began to serve'),
  head: Type.Integer({ description: 'last position of the log' }),
  position: Type.Integer({ description: 'up to here the tables hold every event' }),
  lagEvents: Type.Integer({ description: 'events they do not hold yet' }),
  parkedUsers: Type.Integer({ description: 'users whose events could not be applied; they are tried again' }),
  rebuild: nullable(Rebuild),
  oldTables: Type.Boolean({ description: 'whether the tables that the last rebuild replaced are still there' })
})

export const projectionRoutes: FastifyPluginAsyncTypebox<{ projections: ProjectionService }> = async (
  app,
  { projections }
) => {
  app.get(
    '/admin/projections',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'listProjections',
        summary: 'How far the projections are',
        tags: ['projections'],
        querystring: noQuery,
        response: { 200: Type.Object({ projections: Type.Array(Projection) }), ...problems([]) }
      }
    },
    async () => ({ projections: await projections.list() })
  )

  app.get(
    '/admin/projections/:name',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'readProjection',
        summary: 'How far a projection is, and its rebuild',
        tags: ['projections'],
        params: nameParams,
        querystring: noQuery,
        response: { 200: Projection, ...problems(['PROJECTION_NOT_FOUND']) }
      }
    },
    (request) => projections.read(request.params.name)
  )

  app.get(
    '/admin/projections/:name/parked',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'listParkedUsers',
        summary: 'Users whose events could not be applied',
        description: 'Their rows stand still, those of all others go on. They are tried again every 30 seconds.',
        tags: ['projections'],
        params: nameParams,
        querystring: Type.Object(
          {
            after: Type.Optional(uuid('the last user of the page before')),
            limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 })
          },
          { additionalProperties: false }
        ),
        response: {
          200: Type.Object({
            users: Type.Array(
              Type.Object({
                userId: uuid('user id'),
                tenantId: uuid('tenant'),
                version: Type.Integer({ description: 'of the first event that is not applied' }),
                error: Type.String(),
                since: instant('when it was parked')
              })
            )
          }),
          ...problems(['PROJECTION_NOT_FOUND'])
        }
      }
    },
    async (request) => ({
      users: await projections.parked(request.params.name, {
        after: request.query.after,
        limit: request.query.limit
      })
    })
  )

  app.post(
    '/admin/projections/:name/parked/retry',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'retryParkedUsers',
        summary: 'Try parked users again',
        description:
          'One of them, or all. It is done within seconds; those whose events can be applied by now are parked no more.',
        tags: ['projections'],
        params: nameParams,
        querystring: noQuery,
        body: Type.Object(
          { userId: Type.Optional(uuid('only this one')) },
          { additionalProperties: false, examples: [{}] }
        ),
        response: {
          200: Type.Object({ retried: Type.Integer({ description: 'users who will be tried' }) }),
          ...problems(['PROJECTION_NOT_FOUND'], { body: true })
        }
      }
    },
    async (request) => ({
      retried: await projections.retry(request.params.name, request.body.userId ?? null)
    })
  )

  app.post(
    '/admin/projections/:name/rebuild',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'rebuildProjection',
        summary: 'Rebuild a projection from the log',
        description:
          'Other tables are filled beside those that serve, and take their place when they have caught up. Nothing outside the database is written. One that is under way goes on, and is answered with 200.',
        tags: ['projections'],
        params: nameParams,
        querystring: noQuery,
        response: {
          200: Projection,
          202: Projection,
          ...problems(['PROJECTION_NOT_FOUND', 'PROJECTION_NEWER'], { body: true })
        }
      }
    },
    async (request, reply) => {
      const { started, projection } = await projections.rebuild(request.params.name)
      return reply.code(started ? 202 : 200).send(projection)
    }
  )

  app.delete(
    '/admin/projections/:name/old-tables',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'dropOldTables',
        summary: 'Drop the tables that the last rebuild replaced',
        tags: ['projections'],
        params: nameParams,
        querystring: noQuery,
        response: {
          200: Type.Object({ dropped: Type.Boolean() }),
          ...problems(['PROJECTION_NOT_FOUND'], { body: true })
        }
      }
    },
    async (request) => ({ dropped: await projections.dropOld(request.params.name) })
  )
}
