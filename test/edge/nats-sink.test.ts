/** The sink for NATS JetStream against a real nats-server. */
import t from 'tap'
import { openNatsSink } from '../../src/edge/nats-sink.js'
import { testNats } from '../support/nats.js'
import { freePort } from '../support/server.js'
import { claimSink, countOf, never } from '../support/sinks.js'
import { storedEvent } from '../support/stored-events.js'

const nats = await testNats(t)

/** The names of streams and subjects have no blanks. */
const nameOf = (place: string): string => place.replaceAll(' ', '_')

claimSink(t, {
  server: nats,
  async open(place) {
    const name = nameOf(place)
    await nats.addStream(name, [`${name}.>`], { duplicate_window: 120e9 })
    return openNatsSink({ subject: name, url: nats.url })
  },
  openNowhere: async () => openNatsSink({ subject: 'x', url: `nats://ada:hunter2@127.0.0.1:${await freePort()}` }),
  arrivals: (place) => nats.arrivals(nameOf(place))
})

t.test('an event arrives under its type, with its id as the mark of a message sent twice', async (t) => {
  await nats.addStream('routed', ['app.users.>'])
  const sink = openNatsSink({ subject: 'app.users', url: nats.url })
  const event = storedEvent({ eventType: 'RolesAssigned' })
  t.strictSame(await sink.publish([event], never()), [{ kind: 'delivered' }])
  t.strictSame(await sink.publish([event], never()), [{ kind: 'delivered' }], 'again')
  await sink.close()
  const found = await nats.arrivals('routed')
  t.match(found, [{ to: 'app.users.RolesAssigned', headers: { 'Nats-Msg-Id': event.id } }])
  t.equal(found.length, 1, 'JetStream dropped the second')
})

t.test('two users may have events of one id, in one batch', async (t) => {
  await nats.addStream('same', ['same.>'], { duplicate_window: 1e8 })
  const sink = openNatsSink({ subject: 'same', url: nats.url })
  const event = storedEvent()
  const batch = [event, storedEvent({ id: event.id }), storedEvent()]
  t.strictSame(countOf(await sink.publish(batch, never())), { delivered: 3 })
  await sink.close()
})

t.test('without a stream nothing is delivered, and the reason says what to create', async (t) => {
  const sink = openNatsSink({ subject: 'nobody', url: nats.url })
  const event = storedEvent()
  const reason =
    'No stream of NATS JetStream takes the subject "nobody.UserUpdated". Create a stream with the subjects "nobody.>".'
  t.strictSame(await sink.publish([event], never()), [{ kind: 'unavailable', reason }])
  await nats.addStream('nobody', ['nobody.>'])
  t.strictSame(await sink.publish([event], never()), [{ kind: 'delivered' }], 'and then it is')
  await sink.close()
})

t.test('an event that is too large is refused alone: later ones of its user are held, others arrive', async (t) => {
  await nats.addStream('large', ['large.>'], { max_msg_size: 2000 })
  const sink = openNatsSink({ subject: 'large', url: nats.url })
  for (const [what, size] of Object.entries({ stream: 3000, server: 1_200_000 })) {
    const refused = storedEvent({ eventData: { fullName: 'x'.repeat(size) } })
    const { aggregateId } = refused
    const later = storedEvent({ aggregateId, version: 2 })
    const batch = [storedEvent(), refused, storedEvent(), later, storedEvent()]
    const outcomes = await sink.publish(batch, never())
    t.strictSame(countOf(outcomes), { delivered: 3, failed: 1, held: 1 }, `larger than the ${what} takes`)
    t.match(outcomes[1], { kind: 'failed', reason: /^NATS refuses the event as too large: .*exceed.*\. Raise / })
    t.match(outcomes[3], { kind: 'held' })
  }
  await sink.close()
  t.equal((await nats.arrivals('large')).length, 6)
})

t.test('a stream that is full takes nothing for now', async (t) => {
  await nats.addStream('full', ['full.>'], { max_msgs: 1, discard: 'new' })
  const sink = openNatsSink({ subject: 'full', url: nats.url })
  t.match(await sink.publish([storedEvent()], never()), [{ kind: 'delivered' }])
  t.match(await sink.publish([storedEvent()], never()), [{ kind: 'unavailable', reason: /maximum messages exceeded/ }])
  await sink.close()
})

t.test('an answer of somebody else than JetStream is no acknowledgement', async (t) => {
  await nats.as(async (connection) => {
    connection.subscribe('taken.>', { callback: (_err, message) => void message.respond('thanks') })
    await connection.flush()
    const sink = openNatsSink({ subject: 'taken', url: nats.url })
    t.match(await sink.publish([storedEvent()], never()), [{ kind: 'unavailable', reason: /^No stream of NATS/ }])
    await sink.close()
  })
})

t.test('credentials are those of the address, and are not shown when they are wrong', async (t) => {
  const guarded = await testNats(t, { user: 'ada', pass: 'hunter:2' })
  await guarded.addStream('users', ['users.>'])
  const at = (user: string): string => guarded.url.replace('//', `//${user}@`)
  const right = openNatsSink({ subject: 'users', url: at('ada:hunter%3A2') })
  t.strictSame(await right.publish([storedEvent()], never()), [{ kind: 'delivered' }])
  await right.close()
  for (const user of ['ada:hunter3', 'hunter3']) {
    const wrong = openNatsSink({ subject: 'users', url: at(user) })
    const [outcome] = await wrong.publish([storedEvent()], never())
    t.match(outcome, { kind: 'unavailable', reason: /^NATS: .*authorization/i })
    t.notMatch(outcome, { reason: /hunter/ })
    await wrong.close()
  }
})
