/** What all sinks share, over a broker whose connections do what the test says. */
import t from 'tap'
import type { StoredEvent } from '../../src/domain/event.js'
import type { Outcome } from '../../src/domain/sink.js'
import { brokerSink, GOODBYE_MS, PUBLISH_MS } from '../../src/edge/broker-sink.js'
import { countOf, never, timed } from '../support/sinks.js'
import { storedEvent } from '../support/stored-events.js'

type Connection = { number: number; lost: (why: unknown) => void }
const delivered: Outcome = { kind: 'delivered' }
const forever = new Promise<never>(() => {})

/** A sink, and the connections that it opened and ended. */
function testSink(
  deliver: (connection: Connection, events: StoredEvent[]) => Promise<Outcome>[],
  opening: (connection: Connection) => Promise<unknown> = async () => {}
) {
  const opened: Connection[] = []
  const ended: number[] = []
  const sink = brokerSink<Connection>({
    name: 'Broker',
    async connect(lost) {
      const connection = { number: opened.length + 1, lost }
      opened.push(connection)
      await opening(connection)
      return connection
    },
    disconnect: ({ number }) => void ended.push(number),
    deliver
  })
  return { sink, opened, ended }
}

t.test('a connection is opened for the first publish and kept while all goes well', async (t) => {
  const { sink, opened, ended } = testSink((_connection, events) => events.map(async () => delivered))
  t.equal(opened.length, 0)
  t.strictSame(await sink.publish([], never()), [])
  t.equal(opened.length, 0, 'not for an empty batch')
  for (let i = 0; i < 3; i++) t.strictSame(await sink.publish([storedEvent()], never()), [delivered])
  t.equal(opened.length, 1)
  t.strictSame(ended, [])
  await sink.close()
  t.strictSame(ended, [1])
})

t.test('it is given up when anything was unavailable, and kept after a refusal', async (t) => {
  for (const [outcome, connections] of [
    [{ kind: 'failed', reason: 'no' }, 1],
    [{ kind: 'unavailable', reason: 'away' }, 2]
  ] as const) {
    const { sink, opened } = testSink((_connection, events) => events.map(async () => outcome))
    for (let i = 0; i < 2; i++) t.strictSame(await sink.publish([storedEvent()], never()), [outcome])
    t.equal(opened.length, connections, outcome.kind)
    await sink.close()
  }
})

t.test('a connection that is lost while nothing is published is replaced without a fault', async (t) => {
  const { sink, opened, ended } = testSink((_connection, events) => events.map(async () => delivered))
  await sink.publish([storedEvent()], never())
  opened[0]!.lost('gone')
  t.strictSame(await sink.publish([storedEvent()], never()), [delivered])
  t.equal(opened.length, 2)
  opened[0]!.lost('heard of too late')
  t.strictSame(await sink.publish([storedEvent()], never()), [delivered])
  t.equal(opened.length, 2, 'the new one stays')
  t.strictSame(ended, [1])
  await sink.close()
})

t.test(
  'of a connection that is lost amid a publish, what was acknowledged is delivered, the rest unavailable or held',
  async (t) => {
    const { sink, opened } = testSink((connection, events) => {
      if (connection.number === 1 && events.length === 2) setImmediate(() => connection.lost(new Error('reset')))
      return events.map((_, i) => (connection.number === 1 && i === 1 ? forever : Promise.resolve(delivered)))
    })
    const [first, second] = [storedEvent(), storedEvent()]
    const batch = [first, second, storedEvent({ aggregateId: second.aggregateId, version: 2 })]
    t.strictSame(await sink.publish(batch, never()), [
      delivered,
      { kind: 'unavailable', reason: 'Broker: reset' },
      { kind: 'held' }
    ])
    t.strictSame(countOf(await sink.publish(batch.slice(1), never())), { delivered: 2 })
    t.equal(opened.length, 2)
    await sink.close()
  }
)

t.test('whatever a client throws is unavailable, without the credentials in it', async (t) => {
  const failures: [unknown, RegExp][] = [
    [new Error('cannot reach amqp://ada:hunter2@host'), /^Broker: cannot reach amqp:\/\/…@host$/],
    [new AggregateError([new Error('first'), new Error('last')]), /^Broker: last$/],
    [Object.assign(new Error(''), { code: 'ECONNRESET' }), /^Broker: ECONNRESET$/],
    ['text', /^Broker: text$/],
    [new Error('x'.repeat(1000)), /^Broker: x{492}$/]
  ]
  for (const [failure, reason] of failures) {
    const fail = () => {
      throw failure
    }
    for (const { sink } of [
      testSink(fail),
      testSink(
        () => [],
        async () => fail()
      )
    ]) {
      t.match(await sink.publish([storedEvent()], never()), [{ kind: 'unavailable', reason }])
      await sink.close()
    }
  }
})

t.test(
  'a connection that takes too long is waited for within the limit, and ended when it comes after all',
  async (t) => {
    let open: (value?: unknown) => void = () => {}
    const slow = new Promise((resolve) => {
      open = resolve
    })
    const { sink, ended } = testSink(
      () => [],
      () => slow
    )
    const { result, ms } = await timed(sink.publish([storedEvent()], never()))
    t.strictSame(result, [{ kind: 'unavailable', reason: `Broker: no answer within ${PUBLISH_MS} ms` }])
    t.ok(ms >= PUBLISH_MS - 50 && ms < PUBLISH_MS + 1000, `${ms} ms`)
    t.strictSame(ended, [])
    open()
    await slow
    await new Promise((resolve) => setImmediate(resolve))
    t.strictSame(ended, [1])
    await sink.close()
  }
)

t.test('told to stop or closed while it connects, it answers at once', async (t) => {
  const stop = new AbortController()
  const stopped = testSink(
    () => [],
    () => forever
  ).sink.publish([storedEvent()], stop.signal)
  stop.abort()
  t.match(await stopped, [{ kind: 'unavailable', reason: /stopped before there was a connection/ }])
  const { sink } = testSink(
    () => [],
    () => forever
  )
  const closed = sink.publish([storedEvent()], never())
  const { ms } = await timed(sink.close())
  t.ok(ms < 2 * GOODBYE_MS, `and is closed after ${ms} ms, whatever becomes of the connection`)
  t.match(await closed, [{ kind: 'unavailable', reason: /closed/ }])
})
