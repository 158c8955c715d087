/** The route that says what holds back those who follow the log. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { HOLDUPS } from '../../domain/holdup.js'
import type { StatusService } from '../../services/status.js'
import { noQuery, nullable, problems } from '../schemas.js'

const Lease = Type.Object({
  bucket: Type.Integer(),
  holder: Type.String({ format: 'uuid', description: 'instance that may work on it, or was the last that might' }),
  secondsLeft: Type.Number({ description: 'until another may; negative when nobody holds it' }),
  here: Type.Boolean({ description: 'whether that is the instance that answers' })
})

const Holdup = Type.Object({
  code: Type.Union(HOLDUPS.map((code) => Type.Literal(code))),
  userId: nullable(Type.String({ format: 'uuid', description: 'user who is held back; null: all are' })),
  detail: Type.String({ description: 'what was found, and what to do' })
})

const Follower = Type.Object({
  name: Type.String({ description: 'statistics, snapshots, or the name of the projection or subscription' }),
  kind: Type.Union(
    ['statistics', 'snapshots', 'projection', 'rebuild', 'subscription'].map((kind) => Type.Literal(kind))
  ),
  lagEvents: Type.Integer({ description: 'events of the log that it has not dealt with yet' }),
  leases: Type.Array(Lease, { description: 'one for each bucket that it has ever worked on' }),
  holdups: Type.Array(Holdup, { description: 'what holds it back; empty is the rule' })
})

const Blocking = Type.Object({
  pid: Type.Integer({ description: 'server process; pg_terminate_backend(pid) ends it' }),
  application: Type.String(),
  state: nullable(Type.String({ description: 'of its session, such as `idle in transaction`' })),
  transactionSeconds: nullable(Type.Number({ description: 'age of its transaction; null: this role may not know' })),
  waiting: Type.Integer({ description: 'sessions that wait for it' }),
  waitingSeconds: Type.Number({ description: 'how long the first of them has' })
})

export const statusRoutes: FastifyPluginAsyncTypebox<{ status: StatusService }> = async (app, { status }) => {
  app.get(
    '/admin/status',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'readStatus',
        summary: 'What holds back those who follow the log',
        description:
          'Statistics, snapshots, projections and subscriptions of all tenants: how far they are, which instance works on them, and why they do not go on, with what to do; and transactions for which others wait. Says so as well while somebody has locked the tables.',
        tags: ['operations'],
        querystring: noQuery,
        response: {
          200: Type.Object({
            instance: Type.String({ format: 'uuid', description: 'what leases call the instance that answers' }),
            followers: nullable(Type.Array(Follower, { description: 'null when they could not be read' })),
            unread: nullable(Type.String({ description: 'why they could not be read' })),
            blocking: Type.Array(Blocking, {
              description: 'transactions that sessions of this database have waited for, the longest wait first'
            })
          }),
          ...problems([])
        }
      }
    },
    () => status.read()
  )
}
