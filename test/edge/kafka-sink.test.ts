/** The sink for Kafka. There is no Kafka here: it speaks to librdkafka's mock cluster, of which support/kafka.ts says what it proves. */
import t from 'tap'
import { openKafkaSink, PIECE_BYTES, piecesOf } from '../../src/edge/kafka-sink.js'
import { testKafka } from '../support/kafka.js'
import { randomOf, seedOf } from '../support/random.js'
import { freePort } from '../support/server.js'
import { checkArrivals, claimSink, countOf, logOf, never, relay } from '../support/sinks.js'
import { storedEvent } from '../support/stored-events.js'

const kafka = await testKafka(t)

/** The names of topics have no blanks. */
const topicOf = (place: string): string => place.replaceAll(' ', '-')

claimSink(t, {
  server: kafka.front,
  async open(place) {
    await kafka.addTopic(topicOf(place))
    return openKafkaSink({ topic: topicOf(place), brokers: kafka.brokers })
  },
  openNowhere: async () => openKafkaSink({ topic: 'x', brokers: `127.0.0.1:${await freePort()}` }),
  arrivals: (place) => kafka.arrivals(topicOf(place)),
  count: async (place) => kafka.acknowledged(topicOf(place)),
  many: 8000
})

t.test('the user is the key, and all of a user is in one partition', async (t) => {
  await kafka.addTopic('keyed')
  const log = logOf(randomOf(seedOf(t)), { users: 40, count: 400 })
  const sink = openKafkaSink({ topic: 'keyed', brokers: kafka.brokers })
  t.equal(await relay(sink, log, 100), 0)
  await sink.close()
  const found = await kafka.arrivals('keyed')
  const places = new Map<string, Set<number>>()
  for (const { key, partition, headers } of found) {
    t.equal(key, headers['user-id'])
    places.set(key, (places.get(key) ?? new Set()).add(partition))
  }
  t.ok([...places.values()].every((partitions) => partitions.size === 1))
  t.equal(new Set(found.map(({ partition }) => partition)).size, 4, 'users are spread over all partitions')
})

t.test('without its topic nothing is delivered, and the reason says what to create', async (t) => {
  const sink = openKafkaSink({ topic: 'nobody', brokers: kafka.brokers })
  const event = storedEvent()
  const reason = 'Kafka: there is no topic "nobody". Create it.'
  t.strictSame(await sink.publish([event], never()), [{ kind: 'unavailable', reason }])
  await kafka.addTopic('nobody')
  t.strictSame(await sink.publish([event], never()), [{ kind: 'delivered' }], 'and then it is')
  await sink.close()
})

t.test('an event that is too large is refused alone: later ones of its user are held, others arrive', async (t) => {
  await kafka.addTopic('large')
  const sink = openKafkaSink({ topic: 'large', brokers: kafka.brokers })
  t.teardown(() => kafka.refuseAbove(Number.POSITIVE_INFINITY))
  kafka.refuseAbove(10_000)
  const refused = storedEvent({ eventData: { fullName: 'x'.repeat(20_000) } })
  const later = storedEvent({ aggregateId: refused.aggregateId, version: 2 })
  const others = [storedEvent(), storedEvent(), storedEvent()]
  const batch = [others[0]!, refused, others[1]!, later, others[2]!]
  const reason = 'Kafka refuses the event as too large. Raise max.message.bytes of the topic "large".'
  t.strictSame(await sink.publish(batch, never()), [
    { kind: 'delivered' },
    { kind: 'failed', reason },
    { kind: 'delivered' },
    { kind: 'held' },
    { kind: 'delivered' }
  ])
  checkArrivals(t, await kafka.arrivals('large'), others)
  kafka.refuseAbove(Number.POSITIVE_INFINITY)
  t.strictSame(countOf(await sink.publish([refused, later], never())), { delivered: 2 })
  await sink.close()
  checkArrivals(t, await kafka.arrivals('large'), [...others, refused, later])
})

t.test('a cluster that was lost with all it had, and is there anew, is found by the same sink', async (t) => {
  await kafka.addTopic('anew')
  const log = logOf(randomOf(seedOf(t)), { users: 5, count: 40 })
  const sink = openKafkaSink({ topic: 'anew', brokers: kafka.brokers })
  t.strictSame(countOf(await sink.publish(log.slice(0, 10), never())), { delivered: 10 })
  await kafka.mock.kill()
  t.match((await sink.publish(log.slice(10), never()))[0], { kind: 'unavailable', reason: /^Kafka: \w/ })
  await kafka.mock.start()
  await relay(sink, log, 40)
  await sink.close()
  checkArrivals(t, await kafka.arrivals('anew'), log)
})

t.test(
  'a batch is cut into pieces that Kafka takes as one, in order, an event of any size in one of its own',
  async (t) => {
    t.strictSame(piecesOf([]), [])
    const ofSize = (size: number) => storedEvent({ eventData: { fullName: 'x'.repeat(size) } })
    const batch = [
      ofSize(10),
      ofSize(PIECE_BYTES),
      ...Array.from({ length: 9 }, () => ofSize(PIECE_BYTES / 4 - 1000)),
      ofSize(1)
    ]
    const pieces = piecesOf(batch)
    t.strictSame(pieces.flat(), batch)
    t.strictSame(
      pieces.map(({ length }) => length),
      [1, 1, 4, 4, 2]
    )
  }
)
