/** What is served where: metrics on a port of their own, and no documents when they are not wanted. */
import t from 'tap'
import { testDatabase } from '../support/db.js'
import { newUserId, userCreated } from '../support/events.js'
import { request } from '../support/http.js'
import { refused } from '../support/problem.js'
import { startProcess } from '../support/process.js'
import { freePort } from '../support/server.js'
import { testService } from '../support/service.js'

const DOCUMENTS = [
  '/docs',
  '/docs/',
  '/docs/json',
  '/openapi.json',
  '/openapi.yaml',
  '/asyncapi.json',
  '/asyncapi.yaml'
]

t.test('without METRICS_PORT there is one port, and it serves all', async (t) => {
  const { service, get } = await testService(t)
  t.equal(service.metricsApp, null)
  for (const url of ['/metrics', '/docs/', '/openapi.json']) t.equal((await get(url)).statusCode, 200, url)
})

t.test('with METRICS_PORT metrics are there, and nowhere else', async (t) => {
  const { service, append, get } = await testService(t, { env: { METRICS_PORT: '0' } })
  refused(t, await get('/metrics'), '404 ROUTE_NOT_FOUND')
  const metricsApp = service.metricsApp!
  await append(newUserId(), [userCreated()])
  const scrape = await metricsApp.inject('/metrics')
  t.equal(scrape.statusCode, 200)
  t.match(scrape.headers['content-type'], 'text/plain; version=0.0.4')
  t.match(scrape.headers, { 'x-content-type-options': 'nosniff', 'x-request-id': /./ })
  t.match(scrape.body, 'event_store_events_total{event_type="UserCreated",tenant_id="default"} 1')
  t.match(scrape.body, 'http_request_duration_seconds_count{method="POST",route="/users/:userId/events"')
  for (const url of ['/', '/livez', '/users', '/events', '/docs', '/ui', '/ui/users']) {
    const answer = await metricsApp.inject(url)
    t.equal(answer.statusCode, 404, url)
    t.match(answer.json(), { code: 'ROUTE_NOT_FOUND', instance: url })
  }
})

t.test('with DOCS=false neither page nor documents are served, and no answer leads to them', async (t) => {
  const { app, get } = await testService(t, { env: { DOCS: 'false' } })
  for (const url of DOCUMENTS) {
    const answer = await get(url)
    refused(t, answer, '404 ROUTE_NOT_FOUND')
    t.notMatch(answer.data.detail, '/docs')
  }
  t.equal((await get('/livez')).statusCode, 200)
  const shown = await testService(t)
  for (const url of DOCUMENTS) t.match((await shown.get(url)).statusCode, /200|302/, url)
  t.strictSame(app.swagger(), shown.app.swagger(), 'the contract is the same')
})

t.test('a process has both ports from its start to the end of its shutdown', async (t) => {
  const database = await testDatabase(t)
  const METRICS_PORT = String(await freePort())
  const env = { DATABASE_URL: database.url, METRICS_PORT, METRICS_HOST: '127.0.0.2' }
  const service = await startProcess(t, env)
  const metrics = `http://127.0.0.2:${METRICS_PORT}/metrics`
  t.match(JSON.parse(service.output.find((line) => line.includes('"ready"'))!), { metrics })
  t.match(await (await fetch(metrics)).text(), 'event_store_events_total')
  t.equal((await request(`${service.url}/metrics`)).status, 404)
  t.equal(await service.end('SIGTERM'), 0)
  t.equal(service.output.filter((line) => line.includes('"stopped"')).length, 1)
  await t.rejects(fetch(metrics))

  const again = await startProcess(t, env)
  t.equal((await fetch(metrics)).status, 200, 'the port is free again')
  await t.rejects(startProcess(t, env), /EADDRINUSE/, 'a port that is taken ends the start')
  t.equal((await request(`${again.url}/livez`)).status, 200)
})
