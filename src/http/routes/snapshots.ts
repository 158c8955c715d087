/** Routes that show, make and clear snapshots. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type TSchema, Type } from '@sinclair/typebox'
import type { SnapshotService } from '../../services/snapshots.js'
import { keyOf, noQuery, problems, ref, SnapshotSummary, tenantHeaders, text, User, userParams } from '../schemas.js'

const Deleted = Type.Object({ deleted: Type.Integer({ description: 'snapshots deleted' }) })
/** A body that may be left out altogether. */
const orNothing = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

const retain = Type.Integer({
  minimum: 0,
  maximum: 1000,
  description: 'snapshots that stay, the newest usable ones first'
})

export const snapshotRoutes: FastifyPluginAsyncTypebox<{ snapshots: SnapshotService }> = async (app, { snapshots }) => {
  app.get(
    '/users/:userId/snapshots',
    {
      config: { scopes: ['state:read'] },
      schema: {
        operationId: 'listSnapshots',
        summary: "List a user's snapshots",
        description: 'Newest first, without their states.',
        tags: ['snapshots'],
        params: userParams,
        headers: tenantHeaders,
        querystring: noQuery,
        response: {
          200: Type.Object({
            userId: Type.String({ format: 'uuid' }),
            snapshots: Type.Array(
              Type.Object({
                ...SnapshotSummary.properties,
                usable: Type.Boolean({ description: 'whether it was made under the rules of this service' })
              })
            )
          }),
          ...problems(['USER_NOT_FOUND'])
        }
      }
    },
    async (request) => {
      const key = keyOf(request)
      return { userId: key.userId, snapshots: await snapshots.list(key) }
    }
  )

  app.get(
    '/users/:userId/snapshots/latest',
    {
      config: { scopes: ['state:read'] },
      schema: {
        operationId: 'readLatestSnapshot',
        summary: "Read a user's newest usable snapshot",
        tags: ['snapshots'],
        params: userParams,
        headers: tenantHeaders,
        querystring: noQuery,
        response: {
          200: Type.Object({ ...SnapshotSummary.properties, state: ref(User) }),
          ...problems(['USER_NOT_FOUND', 'SNAPSHOT_NOT_FOUND'])
        }
      }
    },
    (request) => snapshots.latest(keyOf(request))
  )

  app.post(
    '/admin/users/:userId/snapshots',
    {
      config: { scopes: ['snapshots:admin'] },
      schema: {
        operationId: 'takeSnapshot',
        summary: 'Make a snapshot of the current state',
        tags: ['snapshots'],
        params: userParams,
        headers: tenantHeaders,
        querystring: noQuery,
        body: orNothing(
          Type.Object(
            {
              reason: Type.Optional(
                text({
                  minLength: 1,
                  maxLength: 100,
                  description: 'kept with the snapshot; `manual` when absent'
                })
              )
            },
            { additionalProperties: false, examples: [{ reason: 'before migration' }] }
          )
        ),
        response: {
          201: { description: 'Made', content: { 'application/json': { schema: ref(SnapshotSummary) } } },
          200: {
            description: 'One of this version was there already',
            content: { 'application/json': { schema: ref(SnapshotSummary) } }
          },
          ...problems(['ARCHIVE_OFFLINE', 'USER_NOT_FOUND', 'SNAPSHOT_NOT_FOUND'], { body: true })
        }
      }
    },
    async (request, reply) => {
      const { created, snapshot } = await snapshots.take(keyOf(request), request.body?.reason ?? 'manual', 'api')
      reply.code(created ? 201 : 200)
      return snapshot
    }
  )

  app.post(
    '/admin/users/:userId/snapshots/cleanup',
    {
      config: { scopes: ['snapshots:admin'] },
      schema: {
        operationId: 'cleanUpSnapshots',
        summary: "Delete a user's older snapshots",
        tags: ['snapshots'],
        params: userParams,
        headers: tenantHeaders,
        querystring: noQuery,
        body: Type.Object({ retain }, { additionalProperties: false, examples: [{ retain: 1 }] }),
        response: { 200: Deleted, ...problems(['USER_NOT_FOUND'], { body: true }) }
      }
    },
    async (request) => ({ deleted: await snapshots.cleanUp(keyOf(request), request.body.retain) })
  )

  app.delete(
    '/admin/users/:userId/snapshots',
    {
      config: { scopes: ['snapshots:admin'] },
      schema: {
        operationId: 'deleteSnapshots',
        summary: "Delete all of a user's snapshots",
        description: 'Loses nothing: the next read folds the events.',
        tags: ['snapshots'],
        params: userParams,
        headers: tenantHeaders,
        querystring: noQuery,
        response: { 200: Deleted, ...problems(['USER_NOT_FOUND'], { body: true }) }
      }
    },
    async (request) => ({ deleted: await snapshots.cleanUp(keyOf(request), 0) })
  )

  app.post(
    '/admin/snapshots/cleanup',
    {
      config: { scopes: ['snapshots:admin', 'tenants:all'] },
      schema: {
        operationId: 'expireSnapshots',
        summary: 'Delete old snapshots of all users',
        description: "A user's newest usable snapshot stays, however old.",
        tags: ['snapshots'],
        querystring: noQuery,
        body: orNothing(
          Type.Object(
            {
              olderThanDays: Type.Optional(
                Type.Integer({ minimum: 0, maximum: 36_500, description: 'age in days; 90 when absent' })
              )
            },
            { additionalProperties: false, examples: [{ olderThanDays: 30 }] }
          )
        ),
        response: { 200: Deleted, ...problems([], { body: true }) }
      }
    },
    async (request) => ({ deleted: await snapshots.expire(request.body?.olderThanDays ?? 90) })
  )
}
