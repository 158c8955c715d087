/** Routes that show what subscriptions owe, and that retry or discard it. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { CursorScope, Cursors } from '../../domain/cursor.js'
import type { SubscriptionService } from '../../services/subscriptions.js'
import { Event, instant, nullable, problems, ref, tenantHeaders, text, uuid, version } from '../schemas.js'
import { scopedOf, scopeQuery, subscriptionParams } from './subscriptions.js'

const Owed = Type.Object(
  {
    userId: Type.String({ format: 'uuid' }),
    version: Type.Integer(),
    position: Type.Integer(),
    status: Type.Union([Type.Literal('pending'), Type.Literal('dead'), Type.Literal('discarded')]),
    attempts: Type.Integer({ description: 'how often it was sent' }),
    nextAttemptAt: nullable(instant('when it is tried next; null while it waits for an earlier event of its user')),
    lastError: nullable(Type.String({ description: 'what the other system said last, or why it was discarded' })),
    createdAt: instant('when the subscription passed it')
  },
  { $id: 'OwedEvent' }
)

const Choice = {
  userId: Type.Optional(uuid('only events of this user')),
  version: Type.Optional(version('only this event of the user, who is named as well'))
}

/** A version alone names no event. */
const choiceRules = { additionalProperties: false, dependentRequired: { version: ['userId'] } }

export const outboxRoutes: FastifyPluginAsyncTypebox<{ subscriptions: SubscriptionService; cursors: Cursors }> = async (
  app,
  { subscriptions, cursors }
) => {
  const common = { tags: ['subscriptions'], headers: tenantHeaders }
  const scope = Type.Object(scopeQuery, { additionalProperties: false })

  app.get(
    '/admin/subscriptions/:name/outbox',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'listOwedEvents',
        summary: 'List dead letters, and other events that are owed',
        ...common,
        params: subscriptionParams,
        querystring: Type.Object(
          {
            ...scopeQuery,
            status: Type.Union([Type.Literal('dead'), Type.Literal('pending'), Type.Literal('discarded')], {
              default: 'dead'
            }),
            userId: Type.Optional(uuid('only events of this user')),
            limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
            cursor: Type.Optional(
              Type.String({ minLength: 1, maxLength: 200, description: '`next` of the page before' })
            )
          },
          { additionalProperties: false }
        ),
        response: {
          200: Type.Object({
            owed: Type.Array(Owed),
            next: nullable(Type.String({ description: 'cursor of the next page; null on the last' }))
          }),
          ...problems(['CURSOR_MALFORMED', 'SUBSCRIPTION_NOT_FOUND'])
        }
      }
    },
    async (request) => {
      const { scope, status, userId, limit, cursor } = request.query
      const scoped = scopedOf(request, scope, request.params.name)
      const cursorScope: CursorScope = ['outbox', request.tenantId, scope, scoped.name]
      const { owed, next } = await subscriptions.listOwed(
        scoped,
        { status, userId },
        { after: cursor === undefined ? undefined : cursors.read(cursorScope, cursor), limit }
      )
      return { owed: owed.map(shown), next: next && cursors.write(cursorScope, next) }
    }
  )

  app.get(
    '/admin/subscriptions/:name/outbox/:userId/:version',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'readOwedEvent',
        summary: 'Read an owed event with its content',
        ...common,
        params: Type.Object({
          ...subscriptionParams.properties,
          userId: uuid('user id'),
          version: version('of the event')
        }),
        querystring: scope,
        response: {
          200: Type.Object({ ...Owed.properties, event: ref(Event) }),
          ...problems(['ARCHIVE_OFFLINE', 'SUBSCRIPTION_NOT_FOUND', 'OWED_EVENT_NOT_FOUND'])
        }
      }
    },
    async (request) => {
      const { name, userId, version } = request.params
      const { owed, event } = await subscriptions.readOwed(
        scopedOf(request, request.query.scope, name),
        userId,
        version
      )
      return { ...shown(owed), event }
    }
  )

  app.post(
    '/admin/subscriptions/:name/outbox/retry',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'retryOwedEvents',
        summary: 'Try dead letters again',
        description:
          'One event, those of a user, or all; also those that wait for their next try. They leave the outbox when they are delivered. At most 10,000 at once: repeat it while it retries any.',
        ...common,
        params: subscriptionParams,
        querystring: scope,
        body: Type.Object(Choice, { ...choiceRules, examples: [{}] }),
        response: {
          200: Type.Object({ retried: Type.Integer() }),
          ...problems(['SUBSCRIPTION_NOT_FOUND'], { body: true })
        }
      }
    },
    async (request) => {
      const scoped = scopedOf(request, request.query.scope, request.params.name)
      return { retried: await subscriptions.retry(scoped, request.body) }
    }
  )

  app.post(
    '/admin/subscriptions/:name/outbox/discard',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'discardOwedEvents',
        summary: 'Give dead letters up',
        description:
          'One event, those of a user, or all. They are never delivered by this subscription, later events of their users flow on, and the reason is kept. A pending event is discarded only when it is named by its version.',
        ...common,
        params: subscriptionParams,
        querystring: scope,
        body: Type.Object(
          { ...Choice, reason: text({ minLength: 1, maxLength: 500, description: 'why; kept with them' }) },
          { ...choiceRules, examples: [{ reason: 'test account' }] }
        ),
        response: {
          200: Type.Object({ discarded: Type.Integer() }),
          ...problems(['SUBSCRIPTION_NOT_FOUND'], { body: true })
        }
      }
    },
    async (request) => {
      const { reason, ...choice } = request.body
      const scoped = scopedOf(request, request.query.scope, request.params.name)
      return { discarded: await subscriptions.discard(scoped, choice, reason) }
    }
  )
}

type OwedRow = Awaited<ReturnType<SubscriptionService['listOwed']>>['owed'][number]

const shown = ({ aggregateId, bucket: _bucket, ...rest }: OwedRow) => ({ userId: aggregateId, ...rest })
