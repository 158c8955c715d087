/** A named, durable follower of the log that delivers events to another system. */
import { type Static, Type } from '@sinclair/typebox'
import { DEFAULT_TENANT } from './event.js'

/** What stands before the key of webhooks in base64 (Standard Webhooks). */
export const SECRET_PREFIX = 'whsec_'

/** A key as text. */
export const webhookSecretOf = (key: Buffer): string => SECRET_PREFIX + key.toString('base64')

/** 24 to 64 bytes in base64. */
const webhookSecret =
  '^whsec_(?:(?:[A-Za-z0-9+/]{4}){8,21}(?:[A-Za-z0-9+/]{2}==)?|(?:[A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{3}=)$'

/** What each kind of sink is told. */
export const sinkConfigs = [
  Type.Object(
    {
      kind: Type.Literal('webhook'),
      url: Type.String({
        format: 'uri',
        pattern: '^https?://',
        maxLength: 2000,
        description: 'gets CloudEvents by POST'
      }),
      format: Type.Optional(
        Type.Union([Type.Literal('structured'), Type.Literal('batched')], {
          description: 'one event per request (the default), or a batch as one request'
        })
      ),
      secret: Type.Optional(
        Type.String({
          pattern: webhookSecret,
          description: 'key of the signature (Standard Webhooks); made and shown once when absent'
        })
      ),
      timeoutMs: Type.Optional(
        Type.Integer({ minimum: 100, maximum: 4000, description: 'longest wait for an answer; 3000 when absent' })
      )
    },
    { additionalProperties: false }
  ),
  Type.Object(
    {
      kind: Type.Literal('nats'),
      subject: Type.String({
        maxLength: 200,
        pattern: '^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$',
        description: 'prefix of the subject; the event type follows after a dot; a stream of JetStream must take both',
        examples: ['users']
      })
    },
    { additionalProperties: false }
  ),
  Type.Object(
    {
      kind: Type.Literal('rabbitmq'),
      exchange: Type.String({
        maxLength: 200,
        pattern: '^[A-Za-z0-9_.:-]+$',
        description: 'exchange that exists, with queues bound to it; the routing key is the event type',
        examples: ['users']
      })
    },
    { additionalProperties: false }
  ),
  Type.Object(
    {
      kind: Type.Literal('redis'),
      stream: Type.String({
        maxLength: 200,
        pattern: '^[^\\u0000-\\u0020\\u007f\\ud800-\\udfff]+$',
        description: 'key of the stream',
        examples: ['users']
      }),
      maxLength: Type.Optional(
        Type.Integer({ minimum: 1, maximum: 1_000_000_000, description: 'entries kept, about; all when absent' })
      )
    },
    { additionalProperties: false }
  ),
  Type.Object(
    {
      kind: Type.Literal('kafka'),
      topic: Type.String({
        maxLength: 249,
        pattern: '^(?!\\.{1,2}$)[A-Za-z0-9._-]+$',
        description: 'topic that exists; the key is the user id',
        examples: ['users']
      })
    },
    { additionalProperties: false }
  )
]

/** Where events go. Addresses and credentials of brokers are settings of the service; webhooks have their own. */
export const SinkConfig = Type.Unsafe<Static<(typeof sinkConfigs)[number]>>({
  type: 'object',
  discriminator: { propertyName: 'kind' },
  oneOf: sinkConfigs,
  required: ['kind'],
  description: 'where events go'
})

const RetryPolicy = Type.Object(
  {
    baseDelayMs: Type.Integer({
      minimum: 10,
      maximum: 3_600_000,
      default: 1000,
      description: 'wait after the first failure'
    }),
    factor: Type.Number({ minimum: 1, maximum: 10, default: 2, description: 'by which each further wait grows' }),
    jitter: Type.Number({
      minimum: 0,
      maximum: 1,
      default: 0.2,
      description: 'share of a wait by which it may be longer or shorter'
    }),
    maxDelayMs: Type.Integer({ minimum: 10, maximum: 86_400_000, default: 600_000, description: 'longest wait' }),
    maxAttempts: Type.Integer({
      minimum: 1,
      maximum: 100,
      default: 10,
      description: 'tries, after which an event is a dead letter'
    })
  },
  { additionalProperties: false }
)

export type RetryPolicy = Static<typeof RetryPolicy>

/** What a subscription delivers, where to and how; fixed when it is made. */
export const SubscriptionDefinition = Type.Object(
  {
    sink: SinkConfig,
    eventTypes: Type.Union(
      [
        Type.Array(Type.String({ minLength: 1, maxLength: 100, pattern: '^[^\\u0000\\ud800-\\udfff]*$' }), {
          minItems: 1,
          maxItems: 50,
          uniqueItems: true
        }),
        Type.Null()
      ],
      { default: null, description: 'only these types; null: all' }
    ),
    batchSize: Type.Integer({ minimum: 1, maximum: 1000, default: 500, description: 'events sent at once, at most' }),
    retry: Type.Composite([RetryPolicy], { additionalProperties: false, default: {} }),
    deadLetters: Type.Union([Type.Literal('wait'), Type.Literal('pass')], {
      default: 'wait',
      description: 'whether later events of a user wait for a dead letter to be retried or discarded, or pass it'
    })
  },
  { additionalProperties: false }
)

export type SubscriptionDefinition = Static<typeof SubscriptionDefinition>

export type SubscriptionState = 'new' | 'active' | 'paused' | 'failing' | 'stopped'

/** Wait before the next try after `attempts` of them, ms. `chance` is from 0 to 1, evenly spread. */
export function delayAfter(policy: RetryPolicy, attempts: number, chance: number): number {
  const delay = Math.min(policy.maxDelayMs, policy.baseDelayMs * policy.factor ** (attempts - 1))
  return Math.round(delay * (1 + policy.jitter * (2 * chance - 1)))
}

export type SinkConfig = Static<typeof SinkConfig>
export type WebhookConfig = Extract<SinkConfig, { kind: 'webhook' }>

/** What metrics and logs call a subscription. */
export const labelOfSubscription = ({ tenantId, name }: { tenantId: string | null; name: string }): string =>
  tenantId === null ? name : `${tenantId === DEFAULT_TENANT ? 'default' : tenantId}/${name}`
