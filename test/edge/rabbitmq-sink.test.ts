/** The sink for RabbitMQ against a real node. */
import type { ConfirmChannel } from 'amqplib'
import t from 'tap'
import { openRabbitmqSink } from '../../src/edge/rabbitmq-sink.js'
import { testRabbit } from '../support/rabbitmq.js'
import { freePort } from '../support/server.js'
import { claimSink, countOf, never, timed } from '../support/sinks.js'
import { storedEvent } from '../support/stored-events.js'

const rabbit = await testRabbit(t)

/** An exchange, and a queue of its name that gets what is published there with these keys. */
const declare = (name: string, keys = ['#'], settings: Record<string, unknown> = {}): Promise<void> =>
  rabbit.as(async (channel: ConfirmChannel) => {
    await channel.assertExchange(name, 'topic', { durable: true })
    await channel.assertQueue(name, { durable: true, arguments: settings })
    for (const key of keys) await channel.bindQueue(name, name, key)
  })

claimSink(t, {
  server: rabbit,
  async open(place) {
    await declare(place)
    return openRabbitmqSink({ exchange: place, url: rabbit.url })
  },
  openNowhere: async () => openRabbitmqSink({ exchange: 'x', url: `amqp://ada:hunter2@127.0.0.1:${await freePort()}` }),
  arrivals: (place) => rabbit.arrivals(place)
})

t.test('a message has its properties: routing key, id, type, time, persistence', async (t) => {
  await declare('properties')
  const sink = openRabbitmqSink({ exchange: 'properties', url: rabbit.url })
  const event = storedEvent({ eventType: 'RolesAssigned', createdAt: '2026-11-22T08:00:00.999Z' })
  t.strictSame(await sink.publish([event], never()), [{ kind: 'delivered' }])
  await sink.close()
  const message = await rabbit.as(async (channel) => channel.get('properties'))
  if (!message) throw new Error('nothing arrived')
  t.equal(message.fields.routingKey, 'RolesAssigned')
  t.match(message.properties, {
    messageId: event.id,
    type: 'RolesAssigned',
    contentType: 'application/json',
    deliveryMode: 2,
    timestamp: Date.parse('2026-11-22T08:00:00Z') / 1000
  })
})

t.test('without its exchange nothing is delivered, and the reason says what to declare', async (t) => {
  const sink = openRabbitmqSink({ exchange: 'nobody', url: rabbit.url })
  const event = storedEvent()
  const reason = 'RabbitMQ: there is no exchange "nobody". Declare it and bind queues to it.'
  t.strictSame(await sink.publish([event], never()), [{ kind: 'unavailable', reason }])
  await declare('nobody')
  t.strictSame(await sink.publish([event], never()), [{ kind: 'delivered' }], 'and then it is')
  await rabbit.as((channel) => channel.deleteExchange('nobody'))
  t.strictSame(await sink.publish([event], never()), [{ kind: 'unavailable', reason }], 'deleted amid, it is not')
  await sink.close()
})

t.test('a type that no queue gets is refused alone: later events of its user are held, others arrive', async (t) => {
  await declare('bound', ['UserUpdated'])
  const sink = openRabbitmqSink({ exchange: 'bound', url: rabbit.url })
  const refused = storedEvent({ eventType: 'UserDeleted' })
  const later = storedEvent({ aggregateId: refused.aggregateId, version: 2 })
  const reason =
    'No queue of RabbitMQ gets "UserDeleted" from the exchange "bound". Bind one, or leave the type out of the subscription.'
  t.strictSame(await sink.publish([storedEvent(), refused, storedEvent(), later, storedEvent()], never()), [
    { kind: 'delivered' },
    { kind: 'failed', reason },
    { kind: 'delivered' },
    { kind: 'held' },
    { kind: 'delivered' }
  ])
  t.equal((await rabbit.arrivals('bound')).length, 3)
  await rabbit.as((channel) => channel.bindQueue('bound', 'bound', 'UserDeleted'))
  t.strictSame(countOf(await sink.publish([refused, later], never())), { delivered: 2 }, 'bound, it is delivered')
  await sink.close()
})

t.test('what comes back is told from another event in flight that has the same id', async (t) => {
  // A queue that is not durable confirms at once.
  await rabbit.as(async (channel) => {
    await channel.assertExchange('same-id', 'topic', { durable: true })
    await channel.assertQueue('same-id', { durable: false })
    await channel.bindQueue('same-id', 'same-id', 'UserUpdated')
  })
  const sink = openRabbitmqSink({ exchange: 'same-id', url: rabbit.url })
  // The broker confirms many at once, and then in the order in which they were sent.
  const batch = Array.from({ length: 300 }, () => storedEvent()).flatMap((wanted) => [
    wanted,
    storedEvent({ id: wanted.id, eventType: 'UserDeleted' })
  ])
  const outcomes = await sink.publish(batch, never())
  t.strictSame(
    outcomes.map(({ kind }) => kind),
    batch.map(({ eventType }) => (eventType === 'UserUpdated' ? 'delivered' : 'failed'))
  )
  await sink.close()
})

t.test('an event that a full queue rejects is refused', async (t) => {
  await declare('full', ['#'], { 'x-max-length': 2, 'x-overflow': 'reject-publish' })
  const sink = openRabbitmqSink({ exchange: 'full', url: rabbit.url })
  const event = storedEvent()
  const later = storedEvent({ aggregateId: event.aggregateId, version: 2 })
  let outcomes = await sink.publish([event, later], never())
  for (let i = 0; i < 10 && outcomes[0]!.kind === 'delivered'; i++)
    outcomes = await sink.publish([event, later], never())
  t.match(outcomes, [
    { kind: 'failed', reason: /^RabbitMQ did not take "UserUpdated": a queue that gets it is full/ },
    { kind: 'held' }
  ])
  await sink.close()
})

t.test('a broker that is short of memory takes nothing for now, and says so', async (t) => {
  await declare('short')
  const sink = openRabbitmqSink({ exchange: 'short', url: rabbit.url })
  const event = storedEvent()
  t.strictSame(await sink.publish([event], never()), [{ kind: 'delivered' }])
  await rabbit.control('set_vm_memory_high_watermark', '0.000001')
  const { result, ms } = await timed(sink.publish([event], never()))
  t.match(result, [{ kind: 'unavailable', reason: 'RabbitMQ: it takes nothing for now (low on memory)' }])
  t.ok(ms < 2000, `${ms} ms`)
  await rabbit.control('set_vm_memory_high_watermark', '0.4')
  t.strictSame(await sink.publish([event], never()), [{ kind: 'delivered' }])
  await sink.close()
})
