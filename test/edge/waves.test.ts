/** The order per user, with a system that takes some events and refuses others. */
import t from 'tap'
import type { StoredEvent } from '../../src/domain/event.js'
import type { Outcome } from '../../src/domain/sink.js'
import { publishInParts, publishInWaves, wavesOf } from '../../src/edge/waves.js'
import { randomOf, seedOf } from '../support/random.js'
import { logOf, never } from '../support/sinks.js'
import { storedEvent } from '../support/stored-events.js'

/** Events named by user and version: 'a1'. */
const eventsOf = (...names: string[]): StoredEvent[] =>
  names.map((name) => storedEvent({ aggregateId: name[0]!, version: Number(name.slice(1)) }))
const nameOf = ({ aggregateId, version }: StoredEvent): string => `${aggregateId}${version}`
const kindsOf = (outcomes: Outcome[]): string[] => outcomes.map(({ kind }) => kind)

/** Sends that refuse some events, and what they were asked to send. */
function receiver(refused: Record<string, Outcome> = {}) {
  const sent: string[][] = []
  const send = async (events: StoredEvent[]): Promise<Outcome[]> => {
    sent.push(events.map(nameOf))
    return events.map((event) => refused[nameOf(event)] ?? { kind: 'delivered' })
  }
  return { sent, send }
}

t.test('waves hold no two events of a user, and all events of each user in order', async (t) => {
  t.strictSame(wavesOf([]), [])
  t.strictSame(
    wavesOf(eventsOf('a1', 'b1', 'a2', 'c1', 'a3', 'b2')).map((wave) => wave.map(nameOf)),
    [['a1', 'b1', 'c1'], ['a2', 'b2'], ['a3']]
  )
  const log = logOf(randomOf(seedOf(t)), { users: 20, count: 500 })
  const waves = wavesOf(log)
  t.strictSame(new Set(waves.flat()), new Set(log))
  for (const wave of waves) t.equal(new Set(wave.map(({ aggregateId }) => aggregateId)).size, wave.length)
  for (const [i, wave] of waves.entries()) t.ok(wave.every(({ version }) => version === i + 1))
})

t.test('a wave is sent after the outcomes of the one before, and outcomes are in the order of the batch', async (t) => {
  const { sent, send } = receiver()
  let sending = 0
  const outcomes = await publishInWaves(eventsOf('a1', 'a2', 'b1', 'a3'), never(), async (events) => {
    t.equal(++sending, 1, 'one at a time')
    const results = await send(events)
    sending--
    return results
  })
  t.strictSame(kindsOf(outcomes), ['delivered', 'delivered', 'delivered', 'delivered'])
  t.strictSame(sent, [['a1', 'b1'], ['a2'], ['a3']])
})

t.test('after an event that was not delivered, later ones of its user are held and others go on', async (t) => {
  for (const refusal of [
    { kind: 'failed', reason: 'no' },
    { kind: 'unavailable', reason: 'away', retryAfterMs: 5 },
    { kind: 'gone', reason: 'never again' }
  ] as const) {
    const { sent, send } = receiver({ a2: refusal })
    const outcomes = await publishInWaves(eventsOf('a1', 'a2', 'b1', 'a3', 'b2', 'b3', 'a4'), never(), send)
    const held = { kind: 'held' } as const
    const delivered = { kind: 'delivered' } as const
    t.strictSame(outcomes, [delivered, refusal, delivered, held, delivered, delivered, held])
    t.strictSame(sent, [['a1', 'b1'], ['a2', 'b2'], ['b3']])
  }
})

t.test('a signal stops before the next wave, and what was not sent is held', async (t) => {
  const stop = new AbortController()
  const { sent, send } = receiver()
  const outcomes = await publishInWaves(eventsOf('a1', 'b1', 'a2', 'a3'), stop.signal, async (events) => {
    stop.abort()
    return send(events)
  })
  t.strictSame(kindsOf(outcomes), ['delivered', 'delivered', 'held', 'held'])
  t.strictSame(sent, [['a1', 'b1']])
})

t.test('parts may hold several events of a user; a part of blocked users alone is passed over', async (t) => {
  const batch = eventsOf('a1', 'a2', 'b1', 'a3', 'b2')
  const { sent, send } = receiver({ a1: { kind: 'failed', reason: 'no' }, a2: { kind: 'failed', reason: 'no' } })
  const parts = [batch.slice(0, 3), batch.slice(3, 4), batch.slice(4)]
  t.strictSame(kindsOf(await publishInParts(batch, parts, never(), send)), [
    'failed',
    'failed',
    'delivered',
    'held',
    'delivered'
  ])
  t.strictSame(sent, [['a1', 'a2', 'b1'], ['b2']])
})
