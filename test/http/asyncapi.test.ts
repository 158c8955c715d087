/**
 * The AsyncAPI document that the service shows. (That the committed file is the same, `npm run openapi -- --check` tells;
 * that it is AsyncAPI, `npm run openapi:lint`.)
 */
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { HTTP } from 'cloudevents'
import t from 'tap'
import { parse } from 'yaml'
import { builtInTypes } from '../../src/domain/catalog.js'
import { toCloudEvent } from '../../src/domain/cloud-event.js'
import { sinkConfigs } from '../../src/domain/subscription.js'
import { loggedIn, newUserId, userCreated } from '../support/events.js'
import { testService } from '../support/service.js'
import { storedEvent } from '../support/stored-events.js'

const { get, append } = await testService(t)
const document = (await get('/asyncapi.json')).data
const { messages, schemas } = document.components

const ajv = formats.default(new Ajv2020({ strict: false }))
ajv.addSchema(document, 'asyncapi')
/** What is wrong with a payload of a message; null when nothing is. */
function refusalOf(message: string, payload: unknown): string | null {
  const check = ajv.getSchema(`asyncapi#/components/messages/${message}/payload`)!
  return check(payload) ? null : ajv.errorsText(check.errors)
}

/** Everything that `$ref` names in the document. */
function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => (key === '$ref' ? [inner as string] : references(inner)))
}

t.test('it is shown as JSON and as YAML, and is no part of the OpenAPI document', async (t) => {
  t.equal(document.asyncapi, '3.0.0')
  const yaml = await get('/asyncapi.yaml')
  t.match(yaml.headers['content-type'], 'application/yaml')
  t.strictSame(parse(yaml.body), document)
  t.notMatch((await get('/openapi.json')).body, /asyncapi/)
})

t.test('every kind of sink has a channel, and an operation that sends to it', async (t) => {
  const kinds = sinkConfigs.map(({ properties }) => properties.kind.const).sort()
  t.strictSame(Object.keys(document.channels).sort(), kinds)
  const operations = Object.values(document.operations) as { action: string; channel: { $ref: string } }[]
  t.strictSame(operations.map(({ channel }) => channel.$ref.replace('#/channels/', '')).sort(), kinds)
  t.ok(operations.every(({ action }) => action === 'send'))
})

t.test('every reference leads somewhere', async (t) => {
  const found = [...new Set(references(document))]
  t.ok(found.length > 30)
  for (const reference of found) {
    const path = reference.replace(/^#\//, '').split('/')
    t.ok(
      path.reduce<any>((value, key) => value?.[key], document),
      reference
    )
  }
})

t.test(
  'every built-in type has a message in both forms, on every channel, whose payload accepts its example',
  async (t) => {
    for (const { name, example, versions } of builtInTypes) {
      const event = storedEvent({ eventType: name, eventData: example, schemaVersion: versions.length })
      const cloudEvent = toCloudEvent(event, '/test-store')
      t.equal(refusalOf(`${name}.event`, event), null, name)
      t.equal(refusalOf(`${name}.cloudEvent`, cloudEvent), null, name)
      t.equal(refusalOf('CloudEvents.batch', [cloudEvent, cloudEvent]), null, name)
      for (const [kind, channel] of Object.entries<any>(document.channels)) {
        const form = kind === 'webhook' ? 'cloudEvent' : 'event'
        t.equal(channel.messages[name].$ref, `#/components/messages/${name}.${form}`)
      }
    }
  }
)

t.test('a payload of another type, of an old version, or with other data is not accepted', async (t) => {
  for (const { name, example, versions } of builtInTypes) {
    const event = { ...storedEvent({ eventType: name, eventData: example }), schemaVersion: versions.length }
    for (const wrong of [
      { eventType: 'Other' },
      { schemaVersion: versions.length + 1 },
      { schemaVersion: versions.length - 1 },
      { eventData: { ...example, unknown: 1 } },
      { id: 'x' },
      { version: undefined }
    ]) {
      const text = JSON.stringify({ ...event, ...wrong })
      t.ok(refusalOf(`${name}.event`, JSON.parse(text)), `${name} ${text}`)
    }
    const cloudEvent = toCloudEvent(event, '/test-store')
    for (const wrong of [{ type: 'Other' }, { schemaversion: 0 }, { data: { unknown: 1 } }, { sequence: '1' }])
      t.ok(refusalOf(`${name}.cloudEvent`, { ...cloudEvent, ...wrong }), name)
  }
})

t.test('every example fits its message, and the SDK of CloudEvents reads those of webhooks', async (t) => {
  let count = 0
  for (const [name, { examples = [], contentType }] of Object.entries<any>(messages)) {
    for (const { payload } of examples) {
      t.equal(refusalOf(name, payload), null, name)
      if (contentType !== 'application/json')
        HTTP.toEvent({ headers: { 'content-type': contentType }, body: JSON.stringify(payload) })
      count++
    }
  }
  t.equal(count, 2 * builtInTypes.length)
})

t.test('an event as the API shows it is what the document says that brokers get', async (t) => {
  const userId = newUserId()
  const answer = await append(userId, [
    userCreated(),
    { ...loggedIn(), metadata: { a: [1] }, occurredAt: '2026-11-21T08:00:00Z' }
  ])
  t.equal(answer.statusCode, 201, answer.body)
  for (const [version, type] of [
    [1, 'UserCreated'],
    [2, 'LoginInfoUpdated']
  ]) {
    const { data } = await get(`/users/${userId}/events/${version}`)
    t.equal(refusalOf(`${type}.event`, data), null)
    t.equal(refusalOf('RegisteredType.event', data), null)
    t.equal(refusalOf(`${type}.cloudEvent`, toCloudEvent(data as any, '/test-store')), null)
    t.strictSame(Object.keys(data).sort(), Object.keys(schemas.Event.properties).sort())
  }
})
