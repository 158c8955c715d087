/** Routes that make, watch and hold subscriptions. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type Static, Type } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'
import { SubscriptionDefinition } from '../../domain/subscription.js'
import type { Scoped, SubscriptionService } from '../../services/subscriptions.js'
import { ownerOf } from '../auth.js'
import { instant, noQuery, nullable, problems, tenantHeaders } from '../schemas.js'

export const subscriptionParams = Type.Object({
  name: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$', description: 'name of the subscription' })
})

export const scopeQuery = {
  scope: Type.Union([Type.Literal('tenant'), Type.Literal('global')], {
    default: 'tenant',
    description: "`tenant`: delivers this tenant's events; `global`: those of all tenants"
  })
}

/** Which subscription a request speaks of. */
export const scopedOf = (
  request: Pick<FastifyRequest, 'principal' | 'tenantId'>,
  scope: 'tenant' | 'global',
  name: string
): Scoped => ({ tenantId: ownerOf(request, scope), name })

const Start = Type.Union(
  [Type.Literal('beginning'), Type.Literal('now'), Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })],
  {
    default: 'now',
    description: 'the first event, what comes from now on, or the position after which to start'
  }
)

const NewSubscription = Type.Object(
  { ...subscriptionParams.properties, ...SubscriptionDefinition.properties, start: Start },
  {
    additionalProperties: false,
    examples: [
      {
        name: 'crm',
        sink: { kind: 'webhook', url: 'https://crm.example.com/users' },
        eventTypes: ['UserCreated', 'UserUpdated'],
        start: 'beginning'
      }
    ]
  }
)

const Subscription = Type.Object(
  {
    name: Type.String(),
    scope: Type.Union([Type.Literal('tenant'), Type.Literal('global')]),
    definition: Type.Unsafe<Static<typeof SubscriptionDefinition>>(
      Type.Object({}, { additionalProperties: true, description: 'as it was asked for, but for the secret' })
    ),
    state: Type.Union(
      [
        Type.Literal('new'),
        Type.Literal('active'),
        Type.Literal('paused'),
        Type.Literal('failing'),
        Type.Literal('stopped')
      ],
      {
        description:
          'new: nothing delivered yet; failing: the last that was sent got no answer at all, it is tried again; stopped: the receiver wants no more (410), resume it to try again'
      }
    ),
    lastError: nullable(Type.String({ description: 'why it is failing or stopped' })),
    stateSince: instant('when the state became what it is'),
    createdAt: instant('when it was made'),
    lagEvents: Type.Integer({ description: 'events of the log that it has not passed yet' }),
    lagSeconds: Type.Number({ description: 'age of the oldest of them' }),
    pending: Type.Integer({
      description: 'events that were passed and will be tried again; 10,000 means as many or more'
    }),
    dead: Type.Integer({ description: 'dead letters; 10,000 means as many or more' }),
    blockedUsers: Type.Integer({ description: 'users of whom one of these is owed' })
  },
  { $id: 'Subscription' }
)

export const subscriptionRoutes: FastifyPluginAsyncTypebox<{ subscriptions: SubscriptionService }> = async (
  app,
  { subscriptions }
) => {
  const one = {
    tags: ['subscriptions'],
    params: subscriptionParams,
    headers: tenantHeaders,
    querystring: Type.Object(scopeQuery, { additionalProperties: false })
  }
  const answer = (options?: { body: true }) => ({
    200: Subscription,
    ...problems(['SUBSCRIPTION_NOT_FOUND'], options)
  })

  app.post(
    '/admin/subscriptions',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'createSubscription',
        summary: 'Deliver events to another system',
        description:
          'Every event that fits is delivered at least once, the events of a user in order. An event that is refused is tried again while the events of other users flow on; after the last attempt it is a dead letter.',
        tags: ['subscriptions'],
        headers: tenantHeaders,
        querystring: one.querystring,
        body: NewSubscription,
        response: {
          201: {
            description: 'Made',
            content: {
              'application/json': {
                schema: Type.Object({
                  ...Subscription.properties,
                  secret: nullable(
                    Type.String({ description: 'signs the webhooks (Standard Webhooks); shown here only' })
                  )
                })
              }
            }
          },
          ...problems(['SUBSCRIPTION_EXISTS', 'SUBSCRIPTIONS_FULL', 'SUBSCRIPTION_INVALID', 'SUBSCRIPTION_NOT_FOUND'], {
            body: true
          })
        }
      }
    },
    async (request, reply) => {
      const { name, start, ...definition } = request.body
      reply.code(201)
      return await subscriptions.create(scopedOf(request, request.query.scope, name), definition, start)
    }
  )

  app.get(
    '/admin/subscriptions',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'listSubscriptions',
        summary: 'List subscriptions with their lag',
        description: "The tenant's own and, for who has the scope tenants:all, those of all tenants.",
        tags: ['subscriptions'],
        headers: tenantHeaders,
        querystring: noQuery,
        response: { 200: Type.Object({ subscriptions: Type.Array(Subscription) }), ...problems([]) }
      }
    },
    async ({ tenantId, principal }) => ({
      subscriptions: await subscriptions.list(tenantId, { global: principal.scopes.has('tenants:all') })
    })
  )

  app.get(
    '/admin/subscriptions/:name',
    {
      config: { scopes: ['events:admin'] },
      schema: { operationId: 'readSubscription', summary: 'Read a subscription', ...one, response: answer() }
    },
    (request) => subscriptions.get(scopedOf(request, request.query.scope, request.params.name))
  )

  app.post(
    '/admin/subscriptions/:name/pause',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'pauseSubscription',
        summary: 'Deliver nothing for a while',
        description: 'All instances hear of it within a second. The checkpoint stays.',
        ...one,
        response: answer({ body: true })
      }
    },
    (request) => subscriptions.pause(scopedOf(request, request.query.scope, request.params.name))
  )

  app.post(
    '/admin/subscriptions/:name/resume',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'resumeSubscription',
        summary: 'Go on delivering',
        ...one,
        response: answer({ body: true })
      }
    },
    (request) => subscriptions.resume(scopedOf(request, request.query.scope, request.params.name))
  )

  app.post(
    '/admin/subscriptions/:name/reset',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'resetSubscription',
        summary: 'Start again from another place',
        description: 'Events after the start are delivered once more; what was owed is forgotten.',
        ...one,
        body: Type.Object(
          { start: Type.Unsafe<Static<typeof Start>>({ ...Start, default: undefined }) },
          { additionalProperties: false, examples: [{ start: 'beginning' }] }
        ),
        response: { 200: Subscription, ...problems(['SUBSCRIPTION_NOT_FOUND', 'SUBSCRIPTION_INVALID'], { body: true }) }
      }
    },
    (request) => subscriptions.reset(scopedOf(request, request.query.scope, request.params.name), request.body.start)
  )

  app.delete(
    '/admin/subscriptions/:name',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'deleteSubscription',
        summary: 'Delete a subscription with its checkpoint and what it owes',
        ...one,
        response: {
          204: Type.Null({ description: 'Deleted' }),
          ...problems(['SUBSCRIPTION_NOT_FOUND'], { body: true })
        }
      }
    },
    async (request, reply) => {
      await subscriptions.remove(scopedOf(request, request.query.scope, request.params.name))
      return reply.code(204).send(null)
    }
  )
}
