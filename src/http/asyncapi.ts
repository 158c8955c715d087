/**
 * The AsyncAPI 3 document of what leaves the service: every way out with its messages, generated from the catalog and from
 * the schemas of what is sent. Brokers get an event as the API shows it; webhooks get it as a CloudEvent.
 */
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { stringify } from 'yaml'
import { builtInTypes } from '../domain/catalog.js'
import { CloudEvent, toCloudEvent } from '../domain/cloud-event.js'
import { DEFAULT_TENANT, type StoredEvent } from '../domain/event.js'
import type { EventType } from '../domain/event-type.js'
import { version } from './openapi.js'
import { Event } from './schemas.js'

type Json = Record<string, unknown>
/** The two forms of an event. */
type Form = 'event' | 'cloudEvent'

export function registerAsyncApi(app: FastifyInstance): void {
  const document = buildAsyncApi()
  app.get('/asyncapi.json', { schema: { hide: true } }, async () => document)
  app.get('/asyncapi.yaml', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/yaml').send(stringify(document, { aliasDuplicateObjects: false }))
  )
}

function buildAsyncApi(): Json {
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'user-event-store: what it delivers',
      version,
      description:
        'A subscription names where events go. Each event is delivered at least once, and those of a user in order: tell duplicates by user and version, or by the id of the event where no two users have events of one id. Data is at the newest schema version of its type.',
      license: { name: 'MIT', url: 'https://opensource.org/license/mit' }
    },
    defaultContentType: 'application/json',
    channels,
    operations: Object.fromEntries(
      Object.keys(channels).map((name) => [`sendTo${name.charAt(0).toUpperCase()}${name.slice(1)}`, operationOn(name)])
    ),
    components: {
      messages: {
        ...Object.fromEntries(builtInTypes.flatMap((type) => [message(type, 'event'), message(type, 'cloudEvent')])),
        ...Object.fromEntries([registeredMessage('event'), registeredMessage('cloudEvent')]),
        'CloudEvents.batch': batchMessage
      },
      schemas: {
        // Where an event is kept is nothing to brokers.
        Event: plain(Type.Omit(Event, ['archived'])),
        CloudEvent: plain(CloudEvent),
        BrokerHeaders: plain(BrokerHeaders),
        WebhookHeaders: plain(WebhookHeaders),
        ...Object.fromEntries(builtInTypes.flatMap(schemasOf))
      }
    }
  }
}

const text = (description: string) => Type.String({ description })

const traceparent = (description: string) => Type.Optional(text(`W3C Trace Context: ${description}`))

const BrokerHeaders = Type.Object({
  'content-type': Type.Literal('application/json'),
  'event-id': Type.String({ format: 'uuid', description: 'the same when it is delivered again' }),
  'event-type': text('event type'),
  'user-id': Type.String({ format: 'uuid' }),
  version: text("place in the user's stream, in digits"),
  position: text('place in the whole log, in digits'),
  traceparent: traceparent('the trace that the event was appended in, for a consumer to continue')
})

const WebhookHeaders = Type.Object(
  {
    'webhook-id': text('id of the event; of a batch, an id that the same batch has again'),
    'webhook-timestamp': text('when the request left, in seconds since 1970'),
    'webhook-signature': text('`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64'),
    traceparent: traceparent(
      'the trace that the event was appended in; not sent with a batch, whose events have their own'
    )
  },
  { description: 'Signed as Standard Webhooks says, with the key of the subscription' }
)

const at = (section: string, name: string) => ({ $ref: `#/components/${section}/${name}` })
const schemaAt = (name: string) => at('schemas', name)
const typeNames = [...builtInTypes.map(({ name }) => name), 'RegisteredType']
const messagesOf = (form: Form) =>
  Object.fromEntries(typeNames.map((name) => [name, at('messages', `${name}.${form}`)]))
const parameter = (description: string) => ({ description })

const channels: Json = {
  webhook: {
    title: 'Webhook',
    description:
      'POST to the URL of the subscription, one CloudEvent each in structured mode, or many in batched mode. Any 2xx takes it; 410 stops the subscription; Retry-After is heeded; redirects are not followed.',
    messages: { ...messagesOf('cloudEvent'), batch: at('messages', 'CloudEvents.batch') },
    bindings: { http: {} }
  },
  nats: {
    title: 'NATS JetStream',
    address: '{subject}.{eventType}',
    description:
      'Besides the headers there is `Nats-Msg-Id`, the id of the event, by which JetStream drops duplicates.',
    parameters: { subject: parameter('of the subscription'), eventType: parameter('event type') },
    messages: messagesOf('event'),
    bindings: { nats: {} }
  },
  rabbitmq: {
    title: 'RabbitMQ',
    address: '{exchange}',
    description: 'The routing key is the event type, the message id is the id of the event; messages are persistent.',
    parameters: { exchange: parameter('of the subscription') },
    messages: messagesOf('event'),
    bindings: { amqp: { is: 'routingKey' } }
  },
  redis: {
    title: 'Redis Streams',
    address: '{stream}',
    description:
      'An entry has the event as JSON in the field `event`, and instead of headers the fields `id`, `eventType`, `userId`, `version`, `position` and `traceparent`.',
    parameters: { stream: parameter('key of the stream of the subscription') },
    messages: messagesOf('event'),
    bindings: { redis: {} }
  },
  kafka: {
    title: 'Kafka',
    address: '{topic}',
    description: 'The key is the id of the user, so that the events of a user are in one partition.',
    parameters: { topic: parameter('of the subscription') },
    messages: messagesOf('event'),
    bindings: { kafka: {} }
  }
}

const operationOn = (channel: string) => ({
  action: 'send',
  channel: { $ref: `#/channels/${channel}` },
  summary: `Events for subscriptions of the kind ${channel}.`
})

/** Data of the newest version, and the two forms of an event that carries it. */
function schemasOf({ name, summary, versions, example }: EventType): [string, Json][] {
  const data = schemaAt(`${name}.data`)
  const newest = versions.length
  return [
    [`${name}.data`, { ...plain(versions.at(-1)!.schema), description: summary, examples: [example] }],
    [`${name}.event`, narrowed('Event', { eventType: name, schemaVersion: newest }, { eventData: data })],
    [`${name}.cloudEvent`, narrowed('CloudEvent', { type: name, schemaversion: newest }, { data })]
  ]
}

function narrowed(general: string, constants: Json, properties: Json): Json {
  const fixed = Object.entries(constants).map(([name, value]) => [name, { const: value }])
  return { allOf: [schemaAt(general), { type: 'object', properties: { ...Object.fromEntries(fixed), ...properties } }] }
}

const headersOf = { event: schemaAt('BrokerHeaders'), cloudEvent: schemaAt('WebhookHeaders') }
const contentTypeOf = { event: 'application/json', cloudEvent: 'application/cloudevents+json' }

function message(type: EventType, form: Form): [string, Json] {
  const event = exampleOf(type)
  return [
    `${type.name}.${form}`,
    {
      name: type.name,
      summary: type.summary,
      contentType: contentTypeOf[form],
      headers: headersOf[form],
      payload: schemaAt(`${type.name}.${form}`),
      examples: [{ payload: form === 'event' ? event : toCloudEvent(event, '/user-event-store') }]
    }
  ]
}

const registeredMessage = (form: Form): [string, Json] => [
  `RegisteredType.${form}`,
  {
    name: 'RegisteredType',
    summary: 'An event of a type that a client registered; GET /event-types/{type} shows the schema of its data.',
    contentType: contentTypeOf[form],
    headers: headersOf[form],
    payload: schemaAt(form === 'event' ? 'Event' : 'CloudEvent')
  }
]

const batchMessage: Json = {
  name: 'Batch',
  summary: 'Events in the order of the log: those of several users, each as in a message of its own.',
  contentType: 'application/cloudevents-batch+json',
  headers: headersOf.cloudEvent,
  payload: {
    type: 'array',
    minItems: 1,
    items: { anyOf: [...builtInTypes.map(({ name }) => schemaAt(`${name}.cloudEvent`)), schemaAt('CloudEvent')] }
  }
}

const exampleOf = ({ name, versions, example, creates }: EventType): StoredEvent => ({
  id: '0191d5a0-7c1e-7000-8000-000000000002',
  aggregateId: '0191d5a0-7c1e-7000-8000-000000000001',
  tenantId: DEFAULT_TENANT,
  position: 4711,
  version: creates ? 1 : 2,
  eventType: name,
  schemaVersion: versions.length,
  eventData: example,
  metadata: { correlationId: 'checkout-7' },
  occurredAt: null,
  createdAt: '2026-11-22T08:00:00.000Z'
})

/** A schema without the name that TypeBox knows it by: in the document its place names it. */
function plain(schema: TSchema): Json {
  const { $id: _, ...rest } = JSON.parse(JSON.stringify(schema)) as Json
  return rest
}
