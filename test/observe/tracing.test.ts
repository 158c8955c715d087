/** Traces of the real service, as a collector gets them over OTLP. */
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { type CollectedSpan, type Collector, startCollector } from '../support/collector.js'
import { testDatabase } from '../support/db.js'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { type ServiceProcess, startProcess } from '../support/process.js'
import { startReceiver } from '../support/receiver.js'
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

t.test('an append is one trace, from the request that names it down to the statement', async (t) => {
  const { collector, service } = await tracedService(t)
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

t.test('a batch is linked to all its members, and part of the trace of one', async (t) => {
  const { collector, service } = await tracedService(t)
  const headers = Array.from({ length: 40 }, traceparent)
  await Promise.all(headers.map((header) => append(service, newUserId(), [userCreated()], { traceparent: header })))
  await until(() => named(collector, 'append').length === headers.length)
  const members = named(collector, 'append')
  const linked = () => named(collector, 'append batch').flatMap(({ links }) => links)
  await until(() => linked().length === headers.length)
  t.strictSame(new Set(linked().map(({ spanId }) => spanId)), new Set(members.map(({ spanId }) => spanId)))
  t.ok(named(collector, 'append batch').length < headers.length, 'some went together')
  for (const batch of named(collector, 'append batch')) {
    t.equal(batch.attributes['batch.requests'], batch.links.length)
    t.equal(batch.parentSpanId, batch.links[0]!.spanId)
  }
})

t.test(
  'what fails is marked, with its code and nothing else; what a client did wrong is not a fault of the request',
  async (t) => {
    const { collector, service } = await tracedService(t)
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
  const { collector, service } = await tracedService(t)
  for (const path of ['/livez', '/readyz', '/metrics']) await (await fetch(service.url + path)).text()
  t.equal((await fetch(`${service.url}/nothing/here?x=1`)).status, 404)
  await append(service, newUserId(), [userCreated()])
  const request = await one(collector, 'POST /users/{userId}/events')
  t.equal(request.parentSpanId, '')
  t.match(named(collector, 'GET'), [{ attributes: { 'http.response.status_code': 404 } }])
  t.strictSame(
    [...new Set(collector.spans.map(({ name }) => name))].filter((name) => /^GET \/(livez|readyz|metrics)/.test(name)),
    []
  )
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
