import { randomUUID } from 'node:crypto'
import swagger from '@fastify/swagger'
import fastify, { type FastifyInstance } from 'fastify'
import client, { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { registerMeasure, serveMetrics } from '../../src/http/measure.js'
import { createMetrics } from '../../src/observe/metrics.js'
import { emptyGauges } from '../support/gauges.js'

async function buildApp(t: Test) {
  const app = fastify()
  t.teardown(() => app.close())
  const register = new Registry()
  const metrics = createMetrics({
    register,
    ...emptyGauges,
    topAggregates: 20,
    topTenants: 100,
    onError: (err) => t.fail('the store answers', { err })
  })
  await app.register(swagger, { openapi: { openapi: '3.1.0', info: { title: 'test', version: '0' } } })
  await registerMeasure(app, { register })
  serveMetrics(app, register)
  app.get('/users/:userId', async () => ({}))
  app.register(
    async (scope) => {
      scope.get('/inner', async () => ({}))
    },
    { prefix: '/nested' }
  )
  return { app, metrics }
}

const scrape = async (app: FastifyInstance) => (await app.inject('/metrics')).body
const routeSeries = (text: string) =>
  text.split('\n').filter((line) => line.startsWith('http_request_duration_seconds'))

t.test('/metrics holds the metrics of routes, of Node and our own', async (t) => {
  const { app, metrics } = await buildApp(t)
  metrics.saved(['UserCreated'], 0.001)
  await app.inject(`/users/${randomUUID()}`)
  await app.inject('/nested/inner')
  const response = await app.inject('/metrics')
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  t.match(response.body, 'http_request_duration_seconds_count{method="GET",route="/users/:userId",status_code="200"} 1')
  t.match(response.body, 'http_request_duration_seconds_count{method="GET",route="/nested/inner",status_code="200"} 1')
  t.match(response.body, 'http_request_duration_seconds_bucket{le="0.0005",')
  t.match(response.body, /^nodejs_eventloop_lag_seconds /m)
  t.match(response.body, /^process_cpu_seconds_total /m)
  t.match(response.body, 'event_store_save_duration_seconds_count{event_type="UserCreated"} 1')
  t.notMatch(response.body, 'summary')
})

t.test('two apps in one process count separately', async (t) => {
  const [one, two] = [await buildApp(t), await buildApp(t)]
  await one.app.inject(`/users/${randomUUID()}`)
  t.match(await scrape(one.app), 'route="/users/:userId"')
  t.notMatch(await scrape(two.app), 'route="/users/:userId"')
  t.match(await scrape(two.app), /^nodejs_eventloop_lag_seconds /m)
})

t.test('nothing lands in the global registry', async (t) => {
  await buildApp(t)
  t.strictSame(client.register.getMetricsAsArray(), [])
})

t.test('many users are one series', async (t) => {
  const { app } = await buildApp(t)
  await app.inject(`/users/${randomUUID()}`)
  const before = routeSeries(await scrape(app)).length
  for (let i = 0; i < 50; i++) await app.inject(`/users/${randomUUID()}`)
  // The first scrape is itself a route that was measured after it was answered.
  const withoutScrapes = routeSeries(await scrape(app)).filter((line) => !line.includes('route="/metrics"'))
  t.equal(withoutScrapes.length, before)
})

t.test('URLs without a route add no series', async (t) => {
  const { app } = await buildApp(t)
  for (let i = 0; i < 50; i++) t.equal((await app.inject(`/nowhere/${randomUUID()}`)).statusCode, 404)
  t.equal((await app.inject({ method: 'POST', url: `/users/${randomUUID()}` })).statusCode, 404)
  t.strictSame(
    routeSeries(await scrape(app)).filter((line) => line.includes('{')),
    []
  )
})

t.test('/metrics is not part of the OpenAPI document', async (t) => {
  const { app } = await buildApp(t)
  await app.ready()
  t.strictSame(Object.keys(app.swagger().paths ?? {}).sort(), ['/nested/inner', '/users/{userId}'])
})
