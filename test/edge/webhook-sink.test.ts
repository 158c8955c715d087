/** Events that a webhook sink delivers, as a real HTTP server gets them: what is in a request, in which order, how many at once. */
import { randomBytes } from 'node:crypto'
import { HTTP } from 'cloudevents'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { toCloudEvent } from '../../src/domain/cloud-event.js'
import type { StoredEvent } from '../../src/domain/event.js'
import { webhookSecretOf } from '../../src/domain/subscription.js'
import { PART_BYTES_MAX, PART_EVENTS_MAX, REQUESTS_MAX } from '../../src/edge/webhook-sink.js'
import { type Received, startReceiver } from '../support/receiver.js'
import { storedEvent, storedEvents } from '../support/stored-events.js'
import { until } from '../support/wait.js'
import { countKinds, SOURCE, webhookTo } from './webhook.js'

/** The ids of the events in a request, as the SDK of CloudEvents reads it. */
function eventIds({ headers, body }: Received): string[] {
  const parsed = HTTP.toEvent<object>({ headers: { ...headers } as Record<string, string>, body })
  return [parsed].flat().map(({ id }) => id)
}

const verified = (secret: string, { headers, body }: Received): unknown =>
  new Webhook(secret).verify(body, headers as Record<string, string>)

t.test('structured: a request per event, which the SDK of CloudEvents reads', async (t) => {
  const { url, received } = await startReceiver(t)
  const batch = storedEvents(5, 1)
  const outcomes = await webhookTo(t, url).publish(batch)
  t.strictSame(countKinds(outcomes), { delivered: 5 })
  t.strictSame(received.flatMap(eventIds).sort(), batch.map(({ id }) => id).sort())
  for (const { method, path, headers, body } of received) {
    t.equal(method, 'POST')
    t.equal(path, '/events')
    t.equal(headers['content-type'], 'application/cloudevents+json')
    const event = batch.find(({ id }) => id === headers['webhook-id'])!
    t.strictSame(JSON.parse(body), toCloudEvent(event, SOURCE))
  }
})

t.test('batched: one request for all, which the SDK of CloudEvents reads', async (t) => {
  const { url, received } = await startReceiver(t)
  const batch = storedEvents(7, 3)
  const outcomes = await webhookTo(t, url, { format: 'batched' }).publish(batch)
  t.strictSame(countKinds(outcomes), { delivered: 21 })
  t.equal(received.length, 1)
  t.equal(received[0]!.headers['content-type'], 'application/cloudevents-batch+json')
  t.strictSame(
    eventIds(received[0]!),
    batch.map(({ id }) => id)
  )
})

for (const format of ['structured', 'batched'] as const) {
  t.test(
    `${format}: the official verifier accepts the signature, and not with another key, body, id or time`,
    async (t) => {
      const { url, received } = await startReceiver(t)
      const { publish, secret } = webhookTo(t, url, { format })
      await publish([storedEvent({ eventData: { fullName: 'Ädä ☃ 🙂' } })])
      const [request] = received as [Received]
      t.strictSame(verified(secret, request), JSON.parse(request.body))
      t.throws(() => verified(webhookSecretOf(randomBytes(32)), request))
      t.throws(() => verified(secret, { ...request, body: request.body.replace('☃', '☂') }))
      for (const changed of [
        { 'webhook-id': 'other' },
        { 'webhook-timestamp': String(Number(request.headers['webhook-timestamp']) - 1) }
      ])
        t.throws(() => verified(secret, { ...request, headers: { ...request.headers, ...changed } }))
    }
  )
}

t.test('batched: the same events have the same id again, others have another', async (t) => {
  const { url, received } = await startReceiver(t)
  const { publish } = webhookTo(t, url, { format: 'batched' })
  const batch = storedEvents(3, 1)
  for (const part of [batch, batch, batch.slice(1), batch.slice(0, 2), [batch[0]!, batch[2]!]]) await publish(part)
  const ids = received.map(({ headers }) => headers['webhook-id'])
  t.equal(ids[0], ids[1])
  t.equal(new Set(ids).size, 4)
})

t.test(
  'structured: an event is sent when the one of its user before was acknowledged, and users do not wait for each other',
  async (t) => {
    const underWay = new Map<string, number>()
    const {
      url,
      received,
      underWay: requests
    } = await startReceiver(t, ({ body }, response) => {
      const { subject } = JSON.parse(body)
      underWay.set(subject, (underWay.get(subject) ?? 0) + 1)
      t.equal(underWay.get(subject), 1, 'one of a user at a time')
      setImmediate(() => {
        underWay.set(subject, 0)
        response.end()
      })
    })
    const batch = storedEvents(40, 5)
    t.strictSame(countKinds(await webhookTo(t, url).publish(batch)), { delivered: 200 })
    const versions = new Map<string, number[]>()
    for (const { body } of received) {
      const { subject, userversion } = JSON.parse(body)
      versions.set(subject, [...(versions.get(subject) ?? []), userversion])
    }
    t.equal(versions.size, 40)
    for (const seen of versions.values()) t.strictSame(seen, [1, 2, 3, 4, 5])
    t.ok(requests.most > 1, 'users at once')
  }
)

t.test('no more requests are under way at once than the limit, and connections are used again', async (t) => {
  const waiting: (() => void)[] = []
  const { url, received, underWay } = await startReceiver(t, (_request, response) => {
    waiting.push(() => response.end())
    // All that come at once are there when the limit is reached; then one goes for each that comes.
    if (waiting.length >= REQUESTS_MAX || received.length === 40) for (const go of waiting.splice(0)) go()
  })
  const { publish } = webhookTo(t, url)
  const publishing = publish(storedEvents(40, 1))
  await until(() => {
    if (received.length === 40) for (const go of waiting.splice(0)) go()
    return received.length === 40
  })
  t.strictSame(countKinds(await publishing), { delivered: 40 })
  t.equal(underWay.most, REQUESTS_MAX)
  t.ok(Math.max(...received.map(({ connection }) => connection)) <= REQUESTS_MAX, 'connections')
})

t.test('batched: a request has at most so many events', async (t) => {
  const { url, received } = await startReceiver(t)
  const { publish } = webhookTo(t, url, { format: 'batched' })
  const sizes = async (count: number): Promise<number[]> => {
    received.length = 0
    await publish(storedEvents(count, 1))
    return received.map((request) => eventIds(request).length)
  }
  t.strictSame(await sizes(PART_EVENTS_MAX - 1), [PART_EVENTS_MAX - 1])
  t.strictSame(await sizes(PART_EVENTS_MAX), [PART_EVENTS_MAX])
  t.strictSame(await sizes(PART_EVENTS_MAX + 1), [PART_EVENTS_MAX, 1])
})

t.test('batched: a request has at most so many bytes, but an event is always sent', async (t) => {
  const { url, received } = await startReceiver(t)
  const { publish } = webhookTo(t, url, { format: 'batched' })
  const sizeOf = (batch: StoredEvent[]): number =>
    Buffer.byteLength(JSON.stringify(batch.map((event) => toCloudEvent(event, SOURCE))))
  /** Two events that make a body of `bytes`; the character of two bytes is in every one of them. */
  function pair(bytes: number): StoredEvent[] {
    const events = [0, 1].map(() => storedEvent({ eventData: { fullName: 'ä' } }))
    events[0]!.eventData = { fullName: `ä${'x'.repeat(bytes - sizeOf(events))}` }
    t.equal(sizeOf(events), bytes)
    return events
  }
  async function requests(batch: StoredEvent[]): Promise<number[]> {
    received.length = 0
    t.strictSame(countKinds(await publish(batch)), { delivered: batch.length })
    return received.map((request) => eventIds(request).length)
  }
  t.strictSame(await requests(pair(PART_BYTES_MAX - 1)), [2])
  t.strictSame(await requests(pair(PART_BYTES_MAX)), [2])
  t.strictSame(await requests(pair(PART_BYTES_MAX + 1)), [1, 1])
  const huge = storedEvent({ eventData: { fullName: 'x'.repeat(PART_BYTES_MAX) } })
  t.strictSame(await requests([storedEvent(), huge, storedEvent()]), [1, 1, 1])
})

t.test('nothing to publish is no request', async (t) => {
  const { url, received } = await startReceiver(t)
  for (const format of ['structured', 'batched'] as const)
    t.strictSame(await webhookTo(t, url, { format }).publish([]), [])
  t.equal(received.length, 0)
})

t.test('after the signal no further event is sent; what is under way is waited for', async (t) => {
  const stop = new AbortController()
  const waiting: (() => void)[] = []
  const { url, received } = await startReceiver(t, (_request, response) => waiting.push(() => response.end()))
  const publishing = webhookTo(t, url).publish(storedEvents(40, 2), stop.signal)
  await until(() => received.length === REQUESTS_MAX)
  stop.abort()
  for (const go of waiting) go()
  t.strictSame(countKinds(await publishing), { delivered: REQUESTS_MAX, held: 80 - REQUESTS_MAX })
  t.equal(received.length, REQUESTS_MAX)
  t.strictSame(countKinds(await webhookTo(t, url, { format: 'batched' }).publish(storedEvents(3, 1), stop.signal)), {
    held: 3
  })
})

t.test('closing ends requests under way and every connection', async (t) => {
  const { url, received, open } = await startReceiver(t, (request, response) => {
    if (request.body.includes('Ada')) response.end()
  })
  const { publish, close } = webhookTo(t, url)
  t.strictSame(countKinds(await publish(storedEvents(3, 1))), { delivered: 3 })
  t.ok(open() > 0, 'connections are kept')
  const publishing = publish(storedEvents(3, 1, { eventData: { fullName: 'Grace' } }))
  await until(() => received.length === 6)
  await close()
  t.strictSame(countKinds(await publishing), { unavailable: 3 })
  await until(() => open() === 0)
})
