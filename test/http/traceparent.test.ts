/** The trace that a request says it is part of is kept with its events, and travels with them; nobody else can write it there. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED } from '../support/access.js'
import { loggedIn, newUserId, userCreated, userUpdated } from '../support/events.js'
import { refused } from '../support/problem.js'
import { startReceiver } from '../support/receiver.js'
import { type TestService, testService } from '../support/service.js'
import { traceparent } from '../support/traces.js'
import { until } from '../support/wait.js'

const metadataOf = async ({ get }: TestService, user: string, headers = {}): Promise<unknown[]> =>
  (await get(`/users/${user}/events`, headers)).data.events.map(({ metadata }: { metadata: unknown }) => metadata)

t.test('it stands in the metadata of every event of the request, beside what the client said', async (t) => {
  const service = await testService(t)
  const user = newUserId()
  const $traceparent = traceparent()
  const events = [
    userCreated(),
    { ...userUpdated(), metadata: {} },
    { ...loggedIn(), metadata: { correlationId: 'c' } }
  ]
  await service.append(user, events, { headers: { traceparent: $traceparent } })
  await service.append(user, [userUpdated()])
  t.strictSame(await metadataOf(service, user), [
    { $traceparent },
    { $traceparent },
    { correlationId: 'c', $traceparent },
    null
  ])
})

t.test('it stands beside who appended the event', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const user = newUserId()
  const $traceparent = traceparent()
  await service.append(user, [userCreated()], { headers: { ...bearing(ADMIN_KEY), traceparent: $traceparent } })
  t.match(await metadataOf(service, user, bearing(ADMIN_KEY)), [{ $principal: /^key:/, $traceparent }])
})

t.test('a header that cannot be read counts as none, and refuses nothing', async (t) => {
  const service = await testService(t)
  for (const header of ['', 'x', `${traceparent()}-more`, traceparent().replace(/^00/, 'ff')]) {
    const user = newUserId()
    t.equal((await service.append(user, [userCreated()], { headers: { traceparent: header } })).statusCode, 201)
    t.strictSame(await metadataOf(service, user), [null], header)
  }
})

t.test('a client that writes it itself is refused', async (t) => {
  const { append, get } = await testService(t)
  const user = newUserId()
  for (const $traceparent of [traceparent(), null]) {
    const answer = await append(user, [userCreated(), { ...userUpdated(), metadata: { $traceparent } }])
    refused(t, answer, '422 METADATA_RESERVED', { pointer: '/events/1/metadata/$traceparent' })
  }
  t.equal((await get(`/users/${user}/state`)).statusCode, 404, 'nothing is stored')
})

t.test(
  'a request that is repeated in another trace, or in none, is the same request; other metadata make it another',
  async (t) => {
    const service = await testService(t)
    const { append } = service
    for (const metadata of [undefined, {}, { correlationId: 'c-1' }]) {
      for (const [first, second] of [
        [traceparent(), traceparent()],
        [traceparent(), ''],
        ['', traceparent()]
      ] as const) {
        const user = newUserId()
        const events = [{ id: randomUUID(), ...userCreated(), ...(metadata && { metadata }) }]
        t.equal((await append(user, events, { headers: { traceparent: first } })).statusCode, 201)
        const before = await metadataOf(service, user)
        const again = await append(user, events, { headers: { traceparent: second } })
        t.equal(again.statusCode, 200, again.body)
        t.strictSame(await metadataOf(service, user), before, 'and stays in the trace of the first')
        const other = [{ ...events[0]!, metadata: { correlationId: 'c-2' } }]
        refused(t, await append(user, other, { headers: { traceparent: second } }), '409 EVENT_ID_REUSED')
      }
    }
  }
)

t.test('what is exported is imported with its traces', async (t) => {
  const from = await testService(t)
  const to = await testService(t)
  const user = newUserId()
  await from.append(user, [userCreated(), userUpdated()], { headers: { traceparent: traceparent() } })
  const lines = (await from.get('/events/export?upcast=false')).body
  const headers = { 'content-type': 'application/x-ndjson' }
  const bring = () => to.ask({ method: 'POST', url: '/events/import', headers, payload: lines })
  t.hasStrict((await bring()).data, { imported: 2 })
  t.strictSame(await metadataOf(to, user), await metadataOf(from, user))
  t.hasStrict((await bring()).data, { imported: 0, duplicates: 2 })
})

t.test('a webhook gets it as a header and in the event, one that many events go to in the events alone', async (t) => {
  const env = { WEBHOOK_PRIVATE_ADDRESSES: 'true' }
  const service = await testService(t, { background: true, env })
  const user = newUserId()
  const traces = [traceparent(), '', traceparent()]
  for (const [i, header] of traces.entries())
    await service.append(user, [i === 0 ? userCreated() : userUpdated()], { headers: { traceparent: header } })
  const expected = traces.map((text) => text || undefined)
  for (const format of ['structured', 'batched'] as const) {
    const receiver = await startReceiver(t)
    const sink = { kind: 'webhook', url: receiver.url, format }
    await service.post('/admin/subscriptions', { name: format, sink, start: 'beginning' })
    const events = () => receiver.received.flatMap(({ body }) => [JSON.parse(body)].flat())
    await until(() => events().length === traces.length)
    t.strictSame(
      events().map((event) => event.traceparent),
      expected
    )
    t.strictSame(
      receiver.received.map(({ headers }) => headers.traceparent),
      format === 'structured' ? expected : receiver.received.map(() => undefined)
    )
  }
})
