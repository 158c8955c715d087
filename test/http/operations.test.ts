/** Routes for whoever runs the service. */
import t from 'tap'
import { newUserId, userCreated } from '../support/events.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const { append, get, database } = await testService(t, { background: true })

t.test('/livez answers without the database', async (t) => {
  const answer = await get('/livez')
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.data, { live: true })
})

t.test('/readyz names each part and its reason', async (t) => {
  const answer = await until(async () => {
    const found = await get('/readyz')
    return found.data.checks.projections.ok && found
  })
  t.equal(answer.statusCode, 200)
  t.equal(answer.data.ready, true)
  t.strictSame(Object.keys(answer.data.checks), ['process', 'database', 'migrations', 'durability', 'projections'])
  for (const { ok, detail } of Object.values<{ ok: boolean; detail: string }>(answer.data.checks)) {
    t.equal(ok, true)
    t.ok(detail)
  }
})

t.test('/readyz says when the database is at another migration', async (t) => {
  await database.run(
    `INSERT INTO schema_migrations SELECT number + 1000, name || '-newer', hash FROM schema_migrations ORDER BY number DESC LIMIT 1`
  )
  const answer = await get('/readyz')
  t.equal(answer.statusCode, 503)
  t.hasStrict(answer.data, { ready: false, checks: { database: { ok: true }, migrations: { ok: false } } })
  await database.run('DELETE FROM schema_migrations WHERE number >= 1000')
  t.equal((await get('/readyz')).statusCode, 200)
})

t.test('/metrics is text for Prometheus and counts what was done', async (t) => {
  await append(newUserId(), [userCreated()])
  const answer = await get('/metrics')
  t.equal(answer.statusCode, 200)
  t.match(answer.headers['content-type'], 'text/plain; version=0.0.4')
  t.match(answer.body, 'event_store_events_total{event_type="UserCreated",tenant_id="default"} 1')
})

t.test('/docs is a page whose parts are all there', async (t) => {
  let page = await get('/docs')
  let base = '/docs/'
  if (page.statusCode === 302) {
    base = String(page.headers.location)
    page = await get(base)
  }
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], 'text/html')
  const assets = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!)
  t.ok(assets.length >= 3)
  for (const asset of assets) {
    const { pathname, host } = new URL(asset, `http://service${base}`)
    t.equal(host, 'service', 'nothing is fetched from elsewhere')
    const answer = await get(pathname)
    t.equal(answer.statusCode, 200, pathname)
    t.ok(answer.rawPayload.length > 0)
  }
  t.equal((await get('/docs/static/nothing.js')).statusCode, 404)
  t.equal((await get('/docs/static/..%2f..%2fpackage.json')).statusCode, 404)
})
