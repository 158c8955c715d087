/** That nothing is sent which could be on its way when the lease has ended. */
import t from 'tap'
import type { Db } from '../../src/db/client.js'
import type { StoredEvent } from '../../src/domain/event.js'
import type { Sink } from '../../src/domain/sink.js'
import { publishInWaves } from '../../src/edge/waves.js'
import { createSender } from '../../src/services/sender.js'
import { createWorker, LEASE_MS } from '../../src/services/worker.js'
import { testDb } from '../support/db.js'
import { storedEvent } from '../support/stored-events.js'

/** A sender over a sink that takes everything, or that `openSink` opens; `onSent` is called for each event. */
function testSender(onSent: () => void = () => {}, openSink?: () => Promise<Sink>) {
  const sent: StoredEvent[] = []
  const sink: Sink = {
    publish: (batch, signal) =>
      publishInWaves(batch, signal, async (wave) => {
        sent.push(...wave)
        onSent()
        return wave.map(() => ({ kind: 'delivered' }))
      }),
    close: async () => {}
  }
  const sender = createSender({
    db: {} as Db,
    subscription: { definition: {}, state: 'active' } as never,
    label: 'test',
    sink: openSink ?? (async () => sink),
    eventTypes: {
      of: () => ({ upcast: (event: StoredEvent) => event }) as never,
      withTypes: async (work) => work()
    },
    metrics: { handled: () => {}, delivered: () => {}, retried: () => {} },
    onTrouble: () => {}
  })
  const send = (events: StoredEvent[], leftMs: number) => {
    const lease = { epoch: 1, position: 0, until: performance.now() + leftMs }
    return sender.send(events, { worker: 'w', lease, signal: new AbortController().signal, again: false })
  }
  return { send, sent }
}

const first = storedEvent()
const second = storedEvent({ aggregateId: first.aggregateId, version: 2 })

t.test(
  'when nothing can be sent, only the first event of each user is to be tried again: the others wait for it',
  async (t) => {
    const other = storedEvent()
    const away = () => Promise.reject(new Error('away'))
    const whole: Sink = {
      publish: async (batch) => batch.map(() => ({ kind: 'unavailable', reason: 'away' })),
      close: async () => {}
    }
    for (const open of [away, async () => whole]) {
      const { sent } = await testSender(undefined, open).send([first, other, second], 10_000)
      t.match(
        sent.map(({ outcome }) => outcome.kind),
        ['unavailable', 'unavailable', 'held']
      )
    }
  }
)

t.test('in the last 4.5 seconds of a lease nothing is sent', async (t) => {
  for (const [leftMs, kind] of [
    [-1000, 'held'],
    [4499, 'held'],
    [5500, 'delivered']
  ] as const) {
    const { send, sent } = testSender()
    const { sent: outcomes, cut } = await send([first], leftMs)
    t.match(outcomes, [{ outcome: { kind } }], `${leftMs} ms left`)
    t.equal(cut, kind === 'held')
    t.equal(sent.length, kind === 'held' ? 0 : 1)
  }
})

t.test('nor is an event after one whose answer came late, though no timer has told yet', async (t) => {
  const freezeUntil = performance.now() + 600
  const { send, sent } = testSender(() => {
    while (performance.now() < freezeUntil);
  })
  const { sent: outcomes, cut } = await send([first, second], 5000)
  t.match(outcomes, [{ outcome: { kind: 'delivered' } }, { outcome: { kind: 'held' } }])
  t.equal(cut, true)
  t.strictSame(sent, [first])
})

t.test('a lease counts from when it was asked for, however late the answer comes', async (t) => {
  const { db } = await testDb(t)
  let askedAt = 0
  const slow = {
    ...db,
    async query(...args: Parameters<Db['query']>) {
      askedAt = performance.now()
      const rows = await db.query(...args)
      while (performance.now() < askedAt + 300);
      return rows
    }
  } as Db
  let ends = 0
  const worker = createWorker({
    db: slow,
    metrics: { handled: () => {} },
    name: 'late',
    bucket: 0,
    holder: '00000000-0000-4000-8000-000000000001',
    step: async ({ until }) => {
      ends = until
      return { position: 0, worked: false, more: false }
    }
  })
  await worker.once(new AbortController().signal)
  t.ok(ends > 0 && ends <= askedAt + LEASE_MS, 'until then nobody else can have it')
})
