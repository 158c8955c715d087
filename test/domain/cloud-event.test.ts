/** Events as CloudEvents, read by the SDK of that standard. */
import { HTTP } from 'cloudevents'
import t from 'tap'
import { toCloudEvent } from '../../src/domain/cloud-event.js'
import type { JsonObject, StoredEvent } from '../../src/domain/event.js'
import { sentUnder } from '../../src/domain/sink.js'
import { storedEvent } from '../support/stored-events.js'
import { traceparent } from '../support/traces.js'

/** What a receiver that uses the SDK gets; the SDK throws for what is no CloudEvent. */
function received(event: StoredEvent, source = '/test-store'): Record<string, unknown> {
  const body = JSON.stringify(toCloudEvent(event, source))
  const parsed = HTTP.toEvent({ headers: { 'content-type': 'application/cloudevents+json' }, body })
  t.notOk(Array.isArray(parsed))
  return JSON.parse(JSON.stringify(parsed))
}

t.test('every attribute says what the contract says', async (t) => {
  const trace = traceparent()
  const event = storedEvent({
    position: 4711,
    version: 3,
    schemaVersion: 2,
    occurredAt: '2026-11-21T23:59:59.999Z',
    metadata: { correlationId: 'checkout-7', causationId: 'click-1', ipAddress: '203.0.113.7', $traceparent: trace }
  })
  t.strictSame(received(event), {
    specversion: '1.0',
    id: event.id,
    source: '/test-store',
    type: 'UserUpdated',
    subject: event.aggregateId,
    time: event.createdAt,
    datacontenttype: 'application/json',
    data: event.eventData,
    tenantid: event.tenantId,
    userversion: 3,
    schemaversion: 2,
    sequence: '0000000000000004711',
    partitionkey: event.aggregateId,
    occurredat: '2026-11-21T23:59:59.999Z',
    correlationid: 'checkout-7',
    causationid: 'click-1',
    traceparent: trace
  })
})

t.test('an event that is sent as part of another span says that one, and is else the same', async (t) => {
  const event = storedEvent({ metadata: { $traceparent: traceparent() } })
  const trace = traceparent()
  const sent = sentUnder(event, trace)
  t.equal(JSON.stringify(sent), JSON.stringify(event))
  t.equal(received(sent).traceparent, trace)
  t.strictSame({ ...received(sent), traceparent: event.metadata!.$traceparent }, received(event))
  t.equal(sentUnder(event, null), event)
})

t.test('what is not known is left out, for an attribute cannot be null', async (t) => {
  const found = received(storedEvent())
  for (const name of ['occurredat', 'correlationid', 'causationid', 'traceparent']) t.notOk(name in found, name)
})

t.test('the sequence sorts as text the way positions do, up to the greatest of them', async (t) => {
  const positions = [1, 2, 9, 10, 99, 100, 12_345_678, Number.MAX_SAFE_INTEGER]
  const texts = positions.map((position) => toCloudEvent(storedEvent({ position }), '/').sequence)
  t.strictSame([...texts].sort(), texts)
  t.strictSame(
    texts.map((text) => text.length),
    positions.map(() => String(2n ** 63n - 1n).length)
  )
})

t.test('of metadata only texts that an attribute may hold go out', async (t) => {
  const correlationOf = (correlationId: unknown) =>
    received(storedEvent({ metadata: { correlationId } as JsonObject })).correlationid
  for (const text of ['a', 'ä ☃ 🙂', 'x'.repeat(256)]) t.equal(correlationOf(text), text)
  for (const value of ['', 'x'.repeat(257), 'a\nb', '\u0085', '\ufffe', 7, true, null, {}, ['a']]) {
    t.equal(correlationOf(value), undefined, JSON.stringify(value))
  }
})

t.test('data of any shape arrives as it is', async (t) => {
  const eventData = { attributes: { deep: [{ a: [1, 2.5, null, true, 'ä ☃'] }], empty: {} }, data_base64: 'x' }
  t.strictSame(received(storedEvent({ eventData })).data, eventData)
})
