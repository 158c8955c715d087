/** Traces of the real service, as a collector gets them over OTLP. */
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { leadOf } from '../../src/observe/tracing.js'
import { type CollectedSpan, type Collector, startCollector } from '../support/collector.js'
import { testDatabase } from '../support/db.js'
import { newUserId, updates, userCreated, userUpdated } from '../support/events.js'
import { type ServiceProcess, startProcess } from '../support/process.js'
import { testPrometheus } from '../support/prometheus.js'
import { startReceiver } from '../support/receiver.js'
import { testRedis } from '../support/redis.js'
import { partsOf, traceparent } from '../support/traces.js'
import { until } from '../support/wait.js'

const PRELOAD = fileURLToPath(new URL('../support/loaded-packages.cjs', import.meta.url))
const DEFAULT_TENANT = '00000000-0000-0000-0000-000000000000'
const SERVER = 2

/** The service with traces that leave at once, to a collector of its own unless `env` says otherwise. */
async function tracedService(t: Test, env: Record<string, string> = {}) {
  const collector = await startCollector(t)
  const database = await testDatabase(t)
  const service = await startProcess(t, {
    DATABASE_URL: database.url,
    WEBHOOK_PRIVATE_ADDRESSES: 'true',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_BSP_SCHEDULE_DELAY: '50',
    NODE_OPTIONS: `--require ${PRELOAD}`,
    ...env
  })
  return { collector, service, database }
}

async function post({ url }: ServiceProcess, path: string, body: object, headers: Record<string, string> = {}) {
  const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers } }
  const response = await fetch(url + path, { ...init, body: JSON.stringify(body) })
  return { status: response.status, data: JSON.parse(await response.text()) }
}

const append = (service: ServiceProcess, user: string, events: object[], headers: Record<string, string> = {}) =>
  post(service, `/users/${user}/events`, { events }, headers)

/** Spans of that name, and of that trace if it is given. */
const named = ({ spans }: Collector, name: string, traceId?: string): CollectedSpan[] =>
  spans.filter((span) => span.name === name && (traceId === undefined || span.traceId === traceId))

/** The one span of that name, when it has come. */
const one = (collector: Collector, name: string, traceId?: string): Promise<CollectedSpan> =>
  until(() => named(collector, name, traceId)[0], { what: `the span ${name}` })

const loadedBy = ({ output }: ServiceProcess): string[] =>
  JSON.parse(output.find((line) => line.startsWith('loaded: '))!.slice(8))

/** Shared by all that do not change how it runs. Snapshots are made soon. */
const { collector, service } = await tracedService(t, { SNAPSHOT_THRESHOLD: '10' })

t.test('an append is one trace, from the request that names it down to the statement', async (t) => {
  const user = newUserId()
  const header = traceparent()
  const { traceId, spanId } = partsOf(header)
  t.equal((await append(service, user, [userCreated(), userUpdated()], { traceparent: header })).status, 201)

  const request = await one(collector, 'POST /users/{userId}/events', traceId)
  const appended = await one(collector, 'append', traceId)
  const batch = await one(collector, 'append batch', traceId)
  const statement = await one(collector, 'SELECT append_events', traceId)
  t.strictSame(
    [request, appended, batch, statement].map((span) => span.parentSpanId),
    [spanId, request.spanId, appended.spanId, batch.spanId],
    'each is the child of the one before'
  )
  t.equal(request.kind, SERVER)
  t.match(request.attributes, {
    'http.request.method': 'POST',
    'http.route': '/users/{userId}/events',
    'http.response.status_code': 201,
    'tenant.id': DEFAULT_TENANT
  })
  t.match(appended.attributes, {
    'user.id': user,
    'tenant.id': DEFAULT_TENANT,
    'append.events': 2,
    'append.duplicate': false,
    'append.queue_wait_ms': Number,
    'user.version': 2
  })
  t.match(batch, {
    attributes: { 'batch.requests': 1, 'batch.events': 2 },
    links: [{ traceId, spanId: appended.spanId }]
  })
  t.match(statement.attributes, { 'db.system.name': 'postgresql', 'db.query.summary': 'SELECT append_events' })
  for (const span of [request, appended, batch, statement]) t.ok(span.end >= span.start, span.name)
  t.match(request.resource, { 'service.name': 'user-event-store', 'service.version': String })
  t.equal(collector.paths[0], '/v1/traces')

  const { events } = (await (await fetch(`${service.url}/users/${user}/events`)).json()) as any
  const stored = `00-${traceId}-${appended.spanId}-01`
  t.strictSame(
    events.map(({ metadata }: any) => metadata),
    [{ $traceparent: stored }, { $traceparent: stored }]
  )
})

t.test('a body that comes in many parts is of the same request', async (t) => {
  const header = traceparent()
  const { traceId } = partsOf(header)
  const large = Array.from({ length: 15 }, () => userUpdated({ attributes: { note: 'x'.repeat(50_000) } }))
  t.equal((await append(service, newUserId(), [userCreated(), ...large], { traceparent: header })).status, 201)
  const request = await one(collector, 'POST /users/{userId}/events', traceId)
  t.equal((await one(collector, 'append', traceId)).parentSpanId, request.spanId)
})

t.test('a request whose client does not wait for the answer has no status', async (t) => {
  const header = traceparent()
  const leaving = new AbortController()
  const headers = { traceparent: header }
  const asking = fetch(`${service.url}/events?eventType=PasswordChanged&waitMs=20000`, {
    headers,
    signal: leaving.signal
  })
  await until(async () => {
    const text = await (await fetch(`${service.url}/metrics`)).text()
    return text.includes('event_store_feed_streams 1')
  })
  leaving.abort()
  await t.rejects(asking)
  const request = await one(collector, 'GET /events', partsOf(header).traceId)
  t.match(request.attributes, { 'request.client_left': true })
  t.notOk('http.response.status_code' in request.attributes)
})

t.test('a batch is linked to all its members, and part of the trace of one', async (t) => {
  const headers = Array.from({ length: 40 }, traceparent)
  await Promise.all(headers.map((header) => append(service, newUserId(), [userCreated()], { traceparent: header })))
  const traces = new Set(headers.map((header) => partsOf(header).traceId))
  const mine = (name: string) => named(collector, name).filter(({ traceId }) => traces.has(traceId))
  const linked = () => mine('append batch').flatMap(({ links }) => links)
  await until(() => linked().length === headers.length && mine('append').length === headers.length)
  const idsOf = (spans: readonly { spanId: string }[]) => new Set(spans.map(({ spanId }) => spanId))
  t.strictSame(idsOf(linked()), idsOf(mine('append')))
  t.ok(mine('append batch').length < headers.length, 'some went together')
  for (const { attributes, links, parentSpanId } of mine('append batch')) {
    t.equal(attributes['batch.requests'], links.length)
    t.equal(parentSpanId, links[0]!.spanId)
  }
})

t.test('of the members of a batch one whose trace is kept leads', async (t) => {
  const [kept, other] = [traceparent(), traceparent()]
  const dropped = other.replace(/01$/, '00')
  t.equal(leadOf([dropped, kept, other]), kept)
  t.equal(leadOf([null, dropped]), null)
  t.equal(leadOf([dropped, null]), dropped)
  t.equal(leadOf([]), null)
})

t.test(
  'what fails is marked, with its code and nothing else; what a client did wrong is not a fault of the request',
  async (t) => {
    const header = traceparent()
    const { traceId } = partsOf(header)
    t.equal((await append(service, newUserId(), [userUpdated()], { traceparent: header })).status, 422)
    const appended = await one(collector, 'append', traceId)
    t.match(appended, { status: 2, attributes: { 'error.type': 'USER_NOT_CREATED' } })
    const request = await one(collector, 'POST /users/{userId}/events', traceId)
    t.match(request, { status: 0, attributes: { 'http.response.status_code': 422 } })
    t.notOk('error.type' in request.attributes)
  }
)

t.test('without a header a request begins a trace; probes and scrapes make none', async (t) => {
  for (const path of ['/livez', '/readyz', '/metrics']) await (await fetch(service.url + path)).text()
  t.equal((await fetch(`${service.url}/nothing/here?x=1`)).status, 404)
  await append(service, newUserId(), [userCreated()], { 'x-request-id': 'the-one' })
  const ofRequest = () => collector.spans.find(({ attributes }) => attributes['request.id'] === 'the-one')
  t.equal((await until(ofRequest)).parentSpanId, '')
  t.match(named(collector, 'GET'), [{ attributes: { 'http.response.status_code': 404 } }])
  t.strictSame(
    collector.spans.filter(({ name }) => /livez|readyz|metrics/.test(name)),
    []
  )
})

t.test('an event that goes to a webhook stays in the trace of its append, and so does whoever takes it', async (t) => {
  const receiver = await startReceiver(t)
  const sink = { kind: 'webhook', url: receiver.url }
  t.equal((await post(service, '/admin/subscriptions', { name: 'crm', start: 'now', sink })).status, 201)
  const user = newUserId()
  const header = traceparent()
  const { traceId, spanId } = partsOf(header)
  await append(service, user, [userCreated()], { traceparent: header })
  const published = await one(collector, 'publish', traceId)
  const appended = await one(collector, 'append', traceId)
  t.equal(published.parentSpanId, appended.spanId)
  t.match(published.attributes, {
    'user.id': user,
    'tenant.id': DEFAULT_TENANT,
    'event.type': 'UserCreated',
    'event.position': Number,
    'user.version': 1,
    'sink.kind': 'webhook',
    'subscription.id': /^[0-9a-f-]{36}$/,
    'publish.again': false,
    'publish.outcome': 'delivered'
  })
  const [{ headers, body }] = receiver.received as [any]
  const sent = `00-${traceId}-${published.spanId}-01`
  t.equal(headers.traceparent, sent)
  t.equal(JSON.parse(body).traceparent, sent, 'as CloudEvents wants of an event that goes one way only')
  const batch = await until(() =>
    named(collector, 'publish batch').find(({ links }) => links.some((link) => link.spanId === appended.spanId))
  )
  t.match(batch, { parentSpanId: '', attributes: { 'batch.events': 1, 'sink.kind': 'webhook' } })

  for (const name of ['POST /users/{userId}/events', 'append', 'append batch', 'publish'])
    t.ok(await one(collector, name, traceId))
  const spans = collector.spans.filter((span) => span.traceId === traceId)
  const parents = new Set([spanId, ...spans.map((span) => span.spanId)])
  t.strictSame(
    spans.filter(({ parentSpanId }) => !parents.has(parentSpanId)),
    [],
    'all of it hangs together below the header'
  )
  await fetch(`${service.url}/admin/subscriptions/crm`, { method: 'DELETE' })
})

t.test('an event that is refused and sent again is another span of its trace, the refused one marked', async (t) => {
  let refusals = 1
  const receiver = await startReceiver(t, (_request, response) => {
    response.writeHead(refusals-- > 0 ? 500 : 204).end()
  })
  const sink = { kind: 'webhook', url: receiver.url }
  const retry = { baseDelayMs: 10 }
  t.equal((await post(service, '/admin/subscriptions', { name: 'again', start: 'now', sink, retry })).status, 201)
  const header = traceparent()
  const { traceId } = partsOf(header)
  await append(service, newUserId(), [userCreated()], { traceparent: header })
  await until(() => named(collector, 'publish', traceId).length === 2)
  const [first, second] = named(collector, 'publish', traceId)
  t.match(first, { status: 2, attributes: { 'publish.outcome': 'failed', 'publish.again': false } })
  t.match(second, { status: 0, attributes: { 'publish.outcome': 'delivered', 'publish.again': true } })
  t.strictSame(
    receiver.received.map(({ headers }) => partsOf(String(headers.traceparent)).spanId),
    [first!.spanId, second!.spanId]
  )
  await fetch(`${service.url}/admin/subscriptions/again`, { method: 'DELETE' })
})

t.test('a batch of a projection begins a trace, linked to those of its events', async (t) => {
  const headers = [traceparent(), traceparent()]
  const user = newUserId()
  await append(service, user, [userCreated(), userUpdated()], { traceparent: headers[0]! })
  await append(service, user, [userUpdated()], { traceparent: headers[1]! })
  for (const header of headers) {
    const { traceId } = partsOf(header)
    const appended = await one(collector, 'append', traceId)
    const batch = await until(() =>
      named(collector, 'projection batch').find(({ links }) => links.some((link) => link.traceId === traceId))
    )
    t.strictSame(
      batch.links.filter((link) => link.traceId === traceId),
      [{ traceId, spanId: appended.spanId }]
    )
    t.equal(batch.parentSpanId, '')
    t.match(batch.attributes, { 'projection.name': 'users', 'projection.rebuilds': false, 'batch.events': Number })
    t.ok(
      collector.spans.some(({ parentSpanId }) => parentSpanId === batch.spanId),
      'with its statements'
    )
  }
})

t.test('a state says where it began and how much was folded; a snapshot is part of who asked for it', async (t) => {
  const user = newUserId()
  await append(service, user, [userCreated(), ...updates(4)])
  const stateOf = async (query: string) => {
    const header = traceparent()
    await (await fetch(`${service.url}/users/${user}/state${query}`, { headers: { traceparent: header } })).text()
    return await one(collector, 'state', partsOf(header).traceId)
  }
  const about = { 'user.id': user, 'tenant.id': DEFAULT_TENANT, 'user.version': 5 }
  t.match((await stateOf('')).attributes, { ...about, 'state.tier': 'full', 'state.events_folded': 5 })
  t.match((await stateOf('')).attributes, { ...about, 'state.tier': 'cache', 'state.events_folded': 0 })

  const header = traceparent()
  const { traceId } = partsOf(header)
  const made = await post(service, `/admin/users/${user}/snapshots`, { reason: 'canary' }, { traceparent: header })
  t.equal(made.status, 201)
  const snapshot = await one(collector, 'snapshot', traceId)
  const request = await one(collector, 'POST /admin/users/{userId}/snapshots', traceId)
  t.equal(snapshot.parentSpanId, request.spanId)
  t.match(snapshot.attributes, { ...about, 'snapshot.created': true, 'snapshot.by_itself': false })
  const folded = await one(collector, 'state', traceId)
  t.equal(folded.parentSpanId, snapshot.spanId)
  t.match(folded.attributes, { 'state.tier': 'full' })

  const later = await stateOf('?at=2999-01-01T00:00:00Z')
  t.match(later.attributes, { ...about, 'state.tier': 'snapshot', 'state.events_folded': 0 })
  const statements = collector.spans.filter(({ parentSpanId }) => parentSpanId === later.spanId)
  t.ok(statements.length > 0 && statements.every(({ name }) => /^SELECT \w+$/.test(name)), 'with its statements')
})

t.test('a snapshot that is due begins a trace; looking for work makes none', async (t) => {
  const user = newUserId()
  await append(service, user, [userCreated(), ...updates(12)])
  const snapshot = await until(() =>
    named(collector, 'snapshot').find(({ attributes }) => attributes['user.id'] === user)
  )
  t.match(snapshot, { parentSpanId: '', attributes: { 'snapshot.by_itself': true, 'user.version': 13 } })
  const statements = collector.spans.filter(({ attributes }) => 'db.query.summary' in attributes)
  t.strictSame(
    statements.filter(({ parentSpanId }) => parentSpanId === ''),
    []
  )
})

t.test('no span says what a user is: neither data nor metadata, nor texts of requests or errors', async (t) => {
  const canary = 'canary4711x'
  const user = newUserId()
  const metadata = { correlationId: canary, ipAddress: canary }
  const created = { ...userCreated(canary, { fullName: canary, attributes: { [canary]: canary } }), metadata }
  const telling = { 'idempotency-key': canary, 'user-agent': canary, referer: `http://${canary}/` }
  const before = collector.bodies.length
  t.equal((await append(service, user, [created], telling)).status, 201)
  t.equal((await append(service, user, [{ eventType: canary, eventData: {} }], telling)).status, 422)
  t.equal((await append(service, user, [userUpdated({ [canary]: canary })], telling)).status, 422)
  t.equal((await append(service, `${canary}@example.com`, [created])).status, 400)
  await post(service, `/admin/users/${user}/snapshots`, { reason: canary })
  for (const path of [
    `/users/${canary}@example.com/state`,
    `/${canary}?${canary}=${canary}`,
    `/users?q=${canary}`,
    `/users/${user}/events?cursor=${canary}`,
    `/users/${user}/state`
  ])
    await (await fetch(service.url + path, { headers: { 'user-agent': canary } })).text()
  const last = traceparent()
  await append(service, newUserId(), [userCreated()], { traceparent: last })
  await one(collector, 'POST /users/{userId}/events', partsOf(last).traceId)
  const sent = Buffer.concat(collector.bodies.slice(before))
  t.ok(sent.includes(user), 'while ids are there')
  t.notOk(sent.includes(canary))
  t.notOk(sent.includes('@example.com'))
  const names = [...new Set(collector.spans.map(({ name }) => name))]
  t.strictSame(
    names.filter((name) => /[0-9a-f]{8}-/.test(name)),
    []
  )
  t.ok(names.length < 60, `${names.length} names`)
  t.comment(names.sort().join(', '))
})

t.test('the standard variables count: name and attributes of the service, headers, sampler', async (t) => {
  const { collector, service } = await tracedService(t, {
    OTEL_SERVICE_NAME: 'accounts',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
    OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=secret',
    OTEL_TRACES_SAMPLER: 'parentbased_always_off'
  })
  const header = traceparent()
  const [kept, dropped] = [newUserId(), newUserId()]
  await append(service, dropped, [userCreated()])
  await append(service, kept, [userCreated()], { traceparent: header })
  const read = async (user: string) => (await fetch(`${service.url}/users/${user}/events/1`)).json()
  t.match(await read(dropped), { metadata: null }, 'a trace that nobody keeps is nothing to continue')
  t.match(await read(kept), { metadata: { $traceparent: RegExp(partsOf(header).traceId) } })
  const span = await one(collector, 'append', partsOf(header).traceId)
  t.match(span.resource, { 'service.name': 'accounts', 'deployment.environment.name': 'test' })
  t.match(collector.headers[0], { 'x-collector-key': 'secret' })
  t.equal(await service.end('SIGTERM'), 0)
  t.strictSame([...new Set(collector.spans.map(({ traceId }) => traceId))], [partsOf(header).traceId])
})

t.test('what is under way at the end is sent before the process ends', async (t) => {
  const { collector, service } = await tracedService(t, { OTEL_BSP_SCHEDULE_DELAY: '60000' })
  await append(service, newUserId(), [userCreated()])
  t.strictSame(collector.spans, [])
  t.equal(await service.end('SIGTERM'), 0)
  t.equal(named(collector, 'append').length, 1)
})

t.test('a collector that is away is told once in the log, and costs no request and no long end', async (t) => {
  const { collector, service } = await tracedService(t, { OTEL_EXPORTER_OTLP_TIMEOUT: '200' })
  collector.status = 400
  const told = () => service.output.filter((line) => line.includes('traces cannot be sent'))
  for (let round = 0; round < 3; round++) {
    t.equal((await append(service, newUserId(), [userCreated()])).status, 201)
    const sent = collector.bodies.length
    await until(() => collector.bodies.length > sent && told().length > 0)
  }
  t.equal(told().length, 1)
  const startedAt = performance.now()
  t.equal(await service.end('SIGTERM'), 0)
  t.ok(performance.now() - startedAt < 10_000)
})

t.test('a state of another instance comes out of Redis', async (t) => {
  const redis = await testRedis(t)
  const env = { REDIS_URL: redis.url }
  const first = await tracedService(t, env)
  const second = await tracedService(t, { ...env, DATABASE_URL: first.database.url })
  const user = newUserId()
  await append(first.service, user, [userCreated()])
  const path = `/users/${user}/state`
  await (await fetch(first.service.url + path)).text()
  await until(async () => Number(await redis.command('DBSIZE')) > 0)
  await (await fetch(second.service.url + path)).text()
  t.match((await one(second.collector, 'state')).attributes, { 'state.tier': 'redis', 'state.events_folded': 0 })
})

t.test('a duration leads to the trace that took it, for a real Prometheus as well', async (t) => {
  const user = newUserId()
  const header = traceparent()
  const { traceId } = partsOf(header)
  await append(service, user, [userCreated()], { traceparent: header })
  const appended = await one(collector, 'append', traceId)
  const query = `/users/${user}/state?useSnapshot=false`
  await (await fetch(service.url + query, { headers: { traceparent: header } })).text()
  const replayed = await one(collector, 'state', traceId)
  const metrics = await fetch(`${service.url}/metrics`)
  t.match(metrics.headers.get('content-type'), /^application\/openmetrics-text; version=1\.0\.0/)
  const text = await metrics.text()
  const exemplarOf = (span: CollectedSpan) => `# {trace_id="${traceId}",span_id="${span.spanId}"}`
  const lineOf = (span: CollectedSpan) => text.split('\n').find((line) => line.includes(exemplarOf(span)))
  t.match(lineOf(appended), /^event_store_save_duration_seconds_bucket\{le="[\d.]+",event_type="UserCreated"\} /)
  t.match(lineOf(replayed), /^event_replay_duration_seconds_bucket\{/)
  t.notMatch(text, '# {trace_id=""')

  const prometheus = await testPrometheus(t, new URL(service.url).host)
  const kept = await until(
    async () => {
      const found = await prometheus.exemplars('event_store_save_duration_seconds_bucket')
      return found.some(({ trace_id }) => trace_id === traceId) ? found : null
    },
    { what: 'exemplars in Prometheus' }
  )
  t.ok(kept.some(({ span_id }) => span_id === appended.spanId))
})

t.test(
  'nothing of OpenTelemetry is loaded unless the settings ask for it, and traces pass through all the same',
  async (t) => {
    /** prom-client asks for it by itself, and does nothing with it. */
    const always = ['@opentelemetry/api']
    const offs = [{ OTEL_EXPORTER_OTLP_ENDPOINT: '' }, { OTEL_SDK_DISABLED: 'true' }, { OTEL_TRACES_EXPORTER: 'none' }]
    for (const env of offs) {
      const { collector, service } = await tracedService(t, env)
      const receiver = await startReceiver(t)
      const header = traceparent()
      await append(service, newUserId(), [userCreated()], { traceparent: header })
      const sink = { kind: 'webhook', url: receiver.url }
      await post(service, '/admin/subscriptions', { name: 'crm', start: 'beginning', sink })
      await until(() => receiver.received.length === 1)
      const [{ headers, body }] = receiver.received as [any]
      t.equal(headers.traceparent, header)
      t.equal(JSON.parse(body).traceparent, header)
      t.equal(await service.end('SIGTERM'), 0)
      t.strictSame(loadedBy(service), always)
      t.strictSame(collector.bodies, [])
    }
    const { service } = await tracedService(t)
    t.equal(await service.end('SIGTERM'), 0)
    t.ok(loadedBy(service).includes('@opentelemetry/sdk-trace-base'), 'and so it is seen when it is loaded')
  }
)
