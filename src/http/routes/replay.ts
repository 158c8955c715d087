/** Routes that show a user's state: now, at a version, at a moment, and what changed between two versions. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { DomainError } from '../../domain/errors.js'
import { etagOf } from '../../domain/version.js'
import { diffStates } from '../../services/diff.js'
import { EFFECTS_MAX, type EffectService } from '../../services/effects.js'
import type { ReplayedState, ReplayService } from '../../services/replay.js'
import {
  instant,
  keyOf,
  momentOf,
  nullable,
  problems,
  ref,
  tenantHeader,
  tenantHeaders,
  User,
  userParams,
  version
} from '../schemas.js'

const State = Type.Object({
  userId: Type.String({ format: 'uuid' }),
  version: Type.Integer({ description: 'version of the last event folded' }),
  asOf: instant('when that event was recorded'),
  state: ref(User),
  replay: Type.Object(
    {
      source: Type.Union([Type.Literal('cache'), Type.Literal('snapshot'), Type.Literal('events')]),
      snapshotVersion: Type.Union([Type.Integer(), Type.Null()]),
      eventsApplied: Type.Integer()
    },
    { description: 'how the state was made' }
  )
})

const Operation = Type.Object(
  {
    op: Type.String({ enum: ['add', 'remove', 'replace', 'move', 'copy', 'test'] }),
    path: Type.String(),
    from: Type.Optional(Type.String()),
    value: Type.Optional(Type.Unknown())
  },
  { additionalProperties: true }
)

const versionFromZero = (description: string) => Type.Integer({ minimum: 0, maximum: 2_147_483_647, description })

export const replayRoutes: FastifyPluginAsyncTypebox<{
  replay: ReplayService
  effects: EffectService
}> = async (app, { replay, effects }) => {
  app.get(
    '/users/:userId/state',
    {
      config: { scopes: ['state:read'] },
      schema: {
        operationId: 'readState',
        summary: "Read a user's state",
        description:
          'The state now, after a version, or at a moment. The current state includes every append acknowledged before the request began, on any instance.',
        tags: ['state'],
        params: userParams,
        headers: Type.Object({
          ...tenantHeader,
          'if-none-match': Type.Optional(
            Type.String({ description: 'ETag of a state the client has; 304 if it is still this one' })
          ),
          'cache-control': Type.Optional(
            Type.String({ description: '`max-stale=<seconds>`: a state that was the newest this long ago will do' })
          )
        }),
        querystring: Type.Object(
          {
            version: Type.Optional(version('state after this event')),
            at: Type.Optional(instant('state at this moment, inclusive')),
            useSnapshot: Type.Boolean({ default: true, description: 'false folds every event, for debugging' })
          },
          { additionalProperties: false }
        ),
        response: {
          200: {
            description: 'The state',
            headers: { etag: { type: 'string', description: 'version and the rules it was folded under' } },
            content: { 'application/json': { schema: State } }
          },
          304: { description: 'The client has this state already', type: 'null' },
          ...problems([
            'ARCHIVE_OFFLINE',
            'MOMENT_INVALID',
            'TARGET_AMBIGUOUS',
            'USER_NOT_FOUND',
            'VERSION_NOT_FOUND',
            'NO_STATE_YET'
          ])
        }
      }
    },
    async (request, reply) => {
      const { version: wanted, at, useSnapshot } = request.query
      if (wanted !== undefined && at !== undefined)
        throw new DomainError('TARGET_AMBIGUOUS', 'Both version and at are given. Ask for one of them.')
      const key = keyOf(request)
      const result = await replay.stateAt(key, {
        version: wanted,
        at: momentOf('/at', at),
        useSnapshot,
        maxStaleMs: maxStaleMs(request.headers['cache-control'])
      })
      const etag = etagOf(result.version, result.fingerprint)
      reply.header('etag', etag).header('cache-control', 'private, no-cache')
      if (matches(request.headers['if-none-match'], etag)) return reply.code(304).send(null)
      return reply.type('application/json; charset=utf-8').send(bodyOf(result) as never)
    }
  )

  app.get(
    '/users/:userId/diff',
    {
      config: { scopes: ['state:read'] },
      schema: {
        operationId: 'diffStates',
        summary: 'What changed between two versions',
        description:
          'RFC 6902 operations that turn the state at fromVersion into the one at toVersion. Version 0 is before the first event, where the state is null.',
        tags: ['state'],
        params: userParams,
        headers: tenantHeaders,
        querystring: Type.Object(
          { fromVersion: versionFromZero('version to start from'), toVersion: versionFromZero('version to arrive at') },
          { additionalProperties: false }
        ),
        response: {
          200: Type.Object({
            userId: Type.String({ format: 'uuid' }),
            fromVersion: Type.Integer(),
            toVersion: Type.Integer(),
            operations: Type.Array(Operation)
          }),
          ...problems(['ARCHIVE_OFFLINE', 'USER_NOT_FOUND', 'VERSION_NOT_FOUND'])
        }
      }
    },
    (request) => diffStates(replay, keyOf(request), request.query.fromVersion, request.query.toVersion)
  )

  app.get(
    '/users/:userId/effects',
    {
      config: { scopes: ['state:read'], large: true },
      schema: {
        operationId: 'readEffects',
        summary: 'What each event did to the state',
        description:
          'Of each event, in order, the RFC 6902 operations that turn the state before it into the one after it. Before the first the state is null.',
        tags: ['state'],
        params: userParams,
        headers: tenantHeaders,
        querystring: Type.Object(
          {
            fromVersion: Type.Integer({
              minimum: 1,
              maximum: 2_147_483_647,
              default: 1,
              description: 'event to begin with; `next` of the page before'
            }),
            limit: Type.Integer({ minimum: 1, maximum: EFFECTS_MAX, default: 100 }),
            useSnapshot: Type.Boolean({ default: true, description: 'false folds every event, for debugging' })
          },
          { additionalProperties: false }
        ),
        response: {
          200: Type.Object({
            userId: Type.String({ format: 'uuid' }),
            version: Type.Integer({ description: 'newest version of the user' }),
            effects: Type.Array(
              Type.Object({
                version: Type.Integer(),
                eventType: Type.String(),
                createdAt: instant('when it was recorded'),
                operations: Type.Array(Operation)
              })
            ),
            next: nullable(Type.Integer({ description: 'where the next page begins; null on the last' }))
          }),
          ...problems(['ARCHIVE_OFFLINE', 'USER_NOT_FOUND', 'VERSION_NOT_FOUND'])
        }
      }
    },
    (request) => {
      const { fromVersion, limit, useSnapshot } = request.query
      return effects.read(keyOf(request), { from: fromVersion, limit, useSnapshot })
    }
  )
}

/** The state is JSON text already, and goes out as it is. */
const bodyOf = ({ userId, version: reached, asOf, text, replay }: ReplayedState): string =>
  `{"userId":"${userId}","version":${reached},"asOf":"${asOf}","state":${text},"replay":${JSON.stringify(replay)}}`

/** How old a state the client takes without a look into the log (RFC 9111, 5.2.1.2), ms; undefined when it does not say. */
function maxStaleMs(cacheControl: string | undefined): number | undefined {
  const [, seconds] = /(?:^|,)\s*max-stale=(\d{1,9})\s*(?:,|$)/i.exec(cacheControl ?? '') ?? []
  return seconds === undefined ? undefined : Number(seconds) * 1000
}

/** If-None-Match compares weakly (RFC 9110, 13.1.2): a proxy may have put W/ before the tag. */
const matches = (header: string | undefined, etag: string): boolean =>
  header !== undefined &&
  (header.trim() === '*' || header.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag))
