/** Routes of the directory of users: who there is. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { CursorScope, Cursors } from '../../domain/cursor.js'
import { USER_SORTS, type UserFilter, type UserMark } from '../../domain/directory.js'
import type { DirectoryService } from '../../services/directory.js'
import { nextLink } from '../next-link.js'
import { atLeastOf, positionHeaders, reflectedPosition, reflection } from '../reflection.js'
import { instant, keyOf, momentOf, nullable, problems, text, User, userParams } from '../schemas.js'

const { username, email, fullName, phone, status, roleIds, totalLogins, lastLoginAt, lockedUntil, attributes } =
  User.properties
const { createdAt, updatedAt, deletedAt } = User.properties

const DirectoryUser = Type.Object(
  {
    userId: Type.String({ format: 'uuid' }),
    tenantId: Type.String({ format: 'uuid' }),
    username,
    email,
    fullName,
    phone,
    status,
    roleIds,
    totalLogins,
    failedLoginAttempts: Type.Integer(),
    accountLocked: Type.Boolean({ description: 'whether lockedUntil is still to come' }),
    lockedUntil,
    lastLoginAt,
    attributes,
    createdAt,
    updatedAt,
    deletedAt,
    lastUpdatedVersion: Type.Integer({ description: 'version of the last event in it' }),
    lastPosition: Type.Integer({ description: 'position of the last event in it' })
  },
  { description: 'A user as the read model has it' }
)

const name = (description: string) => Type.Optional(text({ minLength: 1, maxLength: 320, description }))
const moment = (description: string) => Type.Optional(instant(description))

const filter = {
  username: name('the whole username, in either case'),
  email: name('the whole e-mail address, in either case'),
  q: Type.Optional(
    text({
      minLength: 1,
      maxLength: 200,
      description:
        'words to be found in username, e-mail address or full name, in either case. Anywhere in them, if one of the words has three letters and the database has the extension pg_trgm; else the whole at the beginning of one of the three'
    })
  ),
  status: Type.Optional(
    Type.Array(status, { minItems: 1, maxItems: 4, description: 'any of these; repeat it for several' })
  ),
  includeDeleted: Type.Boolean({
    default: false,
    description: 'deleted users too; they are also shown when `status` names them'
  }),
  role: name('one of the roleIds'),
  locked: Type.Optional(Type.Boolean({ description: 'whether a lock holds now' })),
  createdFrom: moment('inclusive'),
  createdTo: moment('exclusive'),
  updatedFrom: moment(
    'newest change of profile, roles or password, or the creation of who was never changed; inclusive'
  ),
  updatedTo: moment('exclusive')
}

const CountQuery = Type.Object({ ...filter, ...reflection }, { additionalProperties: false })

const ListQuery = Type.Object(
  {
    ...filter,
    sort: Type.Union(
      USER_SORTS.map((sort) => Type.Literal(sort)),
      {
        default: 'createdAt',
        description:
          'updatedAt is createdAt of who was never changed; names are in the order of their code points in lower case'
      }
    ),
    order: Type.Union([Type.Literal('asc'), Type.Literal('desc')], { default: 'desc' }),
    limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'users in a page at most' }),
    cursor: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 4000,
        description: '`next` of the page before, with the same sort and order'
      })
    ),
    ...reflection
  },
  { additionalProperties: false }
)

const positionHeader = {
  'event-position': { type: 'integer', description: '`position` of the answer' }
}

export const userRoutes: FastifyPluginAsyncTypebox<{ directory: DirectoryService; cursors: Cursors }> = async (
  app,
  { directory, cursors }
) => {
  app.get(
    '/users',
    {
      config: { scopes: ['state:read'], large: true },
      schema: {
        operationId: 'listUsers',
        summary: 'Find users',
        description:
          'Users of the tenant in the read model, which follows the log within moments: `position` says up to which event. To see what you have just written, send the position that the append answered as `atLeast`. A user who changes while pages are read can be seen twice or not at all if the change moves it in the order; the order of createdAt does not change.',
        tags: ['users'],
        headers: positionHeaders,
        querystring: ListQuery,
        response: {
          200: {
            description: 'The users',
            headers: { ...positionHeader, link: { type: 'string', description: '`rel="next"`: the next page' } },
            content: {
              'application/json': {
                schema: Type.Object({
                  users: Type.Array(DirectoryUser),
                  next: nullable(Type.String({ description: 'cursor of the next page; null on the last' })),
                  position: reflectedPosition
                })
              }
            }
          },
          ...problems(['CURSOR_MALFORMED', 'MOMENT_INVALID', 'PROJECTION_BEHIND'])
        }
      }
    },
    async (request, reply) => {
      const { sort, order, limit, cursor } = request.query
      const scope: CursorScope = ['users', request.tenantId, sort, order]
      const after = cursor === undefined ? undefined : cursors.read<UserMark>(scope, cursor)
      const {
        users,
        position,
        next: mark
      } = await directory.list(
        filterOf(request),
        { sort, descending: order === 'desc' },
        { after, limit, atLeast: atLeastOf(request) }
      )
      const next = mark && cursors.write(scope, mark)
      reply.header('event-position', position)
      if (next) reply.header('link', nextLink(request.url, 'cursor', next))
      return { users, next, position }
    }
  )

  app.get(
    '/users/count',
    {
      config: { scopes: ['state:read'] },
      schema: {
        operationId: 'countUsers',
        summary: 'Count users',
        description:
          'How many users GET /users would show. Exact if only status and includeDeleted are asked for, else counted up to 10,000: `exact` is false when there are more. HEAD answers with the headers alone.',
        tags: ['users'],
        headers: positionHeaders,
        querystring: CountQuery,
        response: {
          200: {
            description: 'The number',
            headers: { ...positionHeader, 'x-total-count': { type: 'integer', description: '`count` of the answer' } },
            content: {
              'application/json': {
                schema: Type.Object({
                  count: Type.Integer(),
                  exact: Type.Boolean({ description: 'false: there are more than that' }),
                  position: reflectedPosition
                })
              }
            }
          },
          ...problems(['MOMENT_INVALID', 'PROJECTION_BEHIND'])
        }
      }
    },
    async (request, reply) => {
      const counted = await directory.count(filterOf(request), atLeastOf(request))
      reply.headers({ 'event-position': counted.position, 'x-total-count': counted.count })
      return counted
    }
  )

  app.get(
    '/users/:userId',
    {
      config: { scopes: ['state:read'] },
      schema: {
        operationId: 'readUser',
        summary: 'Read a user of the read model',
        description:
          'The row that GET /users shows, also of a deleted user. For a state that includes every append, see /users/{userId}/state.',
        tags: ['users'],
        params: userParams,
        headers: positionHeaders,
        querystring: Type.Object(reflection, { additionalProperties: false }),
        response: {
          200: {
            description: 'The user',
            headers: positionHeader,
            content: {
              'application/json': {
                schema: Type.Composite([DirectoryUser, Type.Object({ position: reflectedPosition })])
              }
            }
          },
          ...problems(['USER_NOT_FOUND', 'PROJECTION_BEHIND'])
        }
      }
    },
    async (request, reply) => {
      const { user, position } = await directory.read(keyOf(request), atLeastOf(request))
      reply.header('event-position', position)
      return { ...user, position } as never
    }
  )
}

function filterOf(request: { query: Static<typeof CountQuery>; tenantId: string }): UserFilter {
  const { username, email, q, status, includeDeleted, role, locked } = request.query
  const at = (member: 'createdFrom' | 'createdTo' | 'updatedFrom' | 'updatedTo') =>
    momentOf(`/${member}`, request.query[member])
  return {
    tenantId: request.tenantId,
    username,
    email,
    q,
    statuses: status,
    includeDeleted,
    role,
    locked,
    createdFrom: at('createdFrom'),
    createdTo: at('createdTo'),
    updatedFrom: at('updatedFrom'),
    updatedTo: at('updatedTo')
  }
}
