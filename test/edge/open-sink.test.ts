/** Sinks by their configuration, and what they need of the settings. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import t from 'tap'
import { SinkConfig } from '../../src/domain/subscription.js'
import { openSink, refuseSink, type SinkSettings, settingOfKind } from '../../src/edge/open-sink.js'
import { freePort } from '../support/server.js'
import { never } from '../support/sinks.js'
import { storedEvent } from '../support/stored-events.js'

const none: SinkSettings = { CLOUDEVENTS_SOURCE: '/store', WEBHOOK_PRIVATE_ADDRESSES: false }

const configs: Exclude<SinkConfig, { kind: 'webhook' }>[] = [
  { kind: 'nats', subject: 'users' },
  { kind: 'rabbitmq', exchange: 'users' },
  { kind: 'redis', stream: 'users', maxLength: 5 },
  { kind: 'kafka', topic: 'users' }
]

t.test('every kind opens its own sink, and a broker that is not there makes no error', async (t) => {
  const at = `127.0.0.1:${await freePort()}`
  const addresses = {
    ...none,
    NATS_URL: `nats://${at}`,
    RABBITMQ_URL: `amqp://${at}`,
    REDIS_STREAMS_URL: `redis://${at}`,
    KAFKA_BROKERS: at
  }
  const names = { nats: 'NATS', rabbitmq: 'RabbitMQ', redis: 'Redis', kafka: 'Kafka' }
  for (const config of configs) {
    const sink = await openSink(config, addresses)
    t.match(await sink.publish([storedEvent()], never()), [
      { kind: 'unavailable', reason: new RegExp(`^${names[config.kind]}: \\w`) }
    ])
    await sink.close()
  }
})

t.test('a setting that is missing is named, and so is an address that webhooks may not go to', async (t) => {
  for (const config of configs) {
    const setting = settingOfKind[config.kind]
    const message = `A sink of the kind ${config.kind} needs the setting ${setting}, which is not set.`
    t.equal(refuseSink(config, none), message)
    t.equal(refuseSink(config, { ...none, [setting]: 'x' }), null)
    await t.rejects(openSink(config, none), { message })
  }
  const webhook = { kind: 'webhook', url: 'http://127.0.0.1/' } as const
  t.match(refuseSink(webhook, none), /127\.0\.0\.1 .* WEBHOOK_PRIVATE_ADDRESSES/)
  t.equal(refuseSink(webhook, { ...none, WEBHOOK_PRIVATE_ADDRESSES: true }), null)
})

t.test('a garbage address makes events unavailable, and is not shown with its password', async (t) => {
  const garbage = {
    ...none,
    NATS_URL: 'nats://ada:hunter2@:x:y',
    RABBITMQ_URL: 'amqp://ada:hunter2@:x:y',
    REDIS_STREAMS_URL: 'redis://ada:hunter2@:x:y',
    KAFKA_BROKERS: '127.0.0.1:1' // Other garbage is refused with the settings.
  }
  for (const config of configs) {
    const outcomes = await openSink(config, garbage).then(async (sink) => {
      const answer = await sink.publish([storedEvent()], never())
      await sink.close()
      return answer
    })
    t.match(outcomes, [{ kind: 'unavailable', reason: /\w/ }])
    t.notMatch(outcomes, [{ reason: /hunter2/ }], JSON.stringify(outcomes))
  }
})

t.test('names of places are those that the brokers take', async (t) => {
  const long = 'x'.repeat(200)
  const forms: [string, string, string[], string[]][] = [
    [
      'nats',
      'subject',
      ['users', 'app.users-1', long],
      ['', 'a b', 'users.', '.users', 'a..b', 'users.*', '>', `${long}x`]
    ],
    ['rabbitmq', 'exchange', ['users', 'app.users:v1', long], ['', 'a b', 'ü', `${long}x`]],
    ['redis', 'stream', ['users', '{app}:users', 'ü', long], ['', 'a b', '\n', '\ud800', `${long}x`]],
    ['kafka', 'topic', ['users', 'app.users_v-1', '...', 'x'.repeat(249)], ['', '.', '..', 'a b', 'ü', 'x'.repeat(250)]]
  ]
  const ajv = new Ajv({ discriminator: true })
  addFormats.default(ajv)
  const fits = ajv.compile(SinkConfig)
  for (const [kind, field, right, wrong] of forms) {
    for (const place of right) t.ok(fits({ kind, [field]: place }), `${kind} ${place}`)
    for (const place of wrong) t.notOk(fits({ kind, [field]: place }), `${kind} ${JSON.stringify(place)}`)
  }
})

t.test('the client of a broker is loaded only when a sink of its kind is opened', async (t) => {
  const file = fileURLToPath(new URL('../../src/edge/open-sink.ts', import.meta.url))
  const script = `
    const { createRequire } = await import('node:module')
    const { openSink } = await import(${JSON.stringify(file)})
    const loaded = () => Object.keys(createRequire(import.meta.url).cache).filter((path) => /amqplib|nats-io/.test(path)).length
    console.log(loaded())
    await openSink({ kind: 'rabbitmq', exchange: 'x' }, { RABBITMQ_URL: 'amqp://x' })
    console.log(loaded() > 0)`
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--import',
    'tsx',
    '--input-type=module',
    '-e',
    script
  ])
  t.equal(stdout, '0\ntrue\n')
})
