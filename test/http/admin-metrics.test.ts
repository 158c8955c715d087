/** The metrics of one process as JSON: the same numbers as for Prometheus, and who may see them. */
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { refused } from '../support/problem.js'
import { type TestService, testService } from '../support/service.js'

type Value = { labels: Record<string, string>; value: number | null; metricName: string }
type Metric = { name: string; type: string; help: string; values: Value[] }

const read = async ({ get }: Pick<TestService, 'get'>, query = '') => (await get(`/admin/metrics${query}`)).data
const find = (metrics: Metric[], name: string): Metric => {
  const found = metrics.find((each) => each.name === name)
  if (!found) throw new Error(`There is no ${name}.`)
  return found
}

t.test('counters, gauges and histograms of this process, as on /metrics', async (t) => {
  const service = await testService(t)
  const userId = newUserId()
  await service.append(userId, [userCreated(), ...updates(2)])
  t.equal((await service.append(userId, updates(1), { expectedVersion: 1 })).statusCode, 409)
  await service.get(`/users/${userId}/state`)
  const before = Date.now()
  const { instance, at, metrics } = await read(service)
  t.equal(instance, service.service.instance)
  t.ok(Date.parse(at) >= before && Date.parse(at) <= Date.now())
  t.strictSame(find(metrics, 'event_store_conflicts_total'), {
    name: 'event_store_conflicts_total',
    type: 'counter',
    help: 'Appends refused because of their expected version since this process started, by user.',
    values: [{ labels: { aggregate_id: userId }, value: 1, metricName: 'event_store_conflicts_total' }]
  })
  const replay = find(metrics, 'event_replay_duration_seconds')
  t.equal(replay.type, 'histogram')
  const labels = { use_snapshot: 'false', event_count: '0-10' }
  t.match(replay.values.at(-1), { labels, value: 1, metricName: 'event_replay_duration_seconds_count' })
  t.match(
    replay.values.find(({ labels }) => labels.le === '+Inf'),
    { labels: { ...labels, le: '+Inf' }, value: 1, metricName: 'event_replay_duration_seconds_bucket' },
    'bounds are text'
  )
  t.equal(find(metrics, 'event_store_ready').type, 'gauge')

  const text = (await service.get('/metrics')).body
  const declared = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name).sort()
  t.strictSame(metrics.map(({ name }: Metric) => name).sort(), declared, 'all that Prometheus gets')
})

t.test('only those that are asked for, as far as there are such', async (t) => {
  const service = await testService(t)
  const names = ['event_store_feed_polls_total', 'nobody_total', 'event_cache_requests_total']
  const { metrics } = await read(service, `?${names.map((name) => `name=${name}`).join('&')}`)
  t.strictSame(metrics.map(({ name }: Metric) => name).sort(), [
    'event_cache_requests_total',
    'event_store_feed_polls_total'
  ])
  t.strictSame((await read(service, '?name=nobody_total')).metrics, [])
  for (const query of ['?name=', '?names=x'])
    refused(t, await service.get(`/admin/metrics${query}`), '400 VALIDATION_FAILED')
})

t.test('they name users and tenants: only who may see all of them does', async (t) => {
  const service = await testService(t, { env: GUARDED })
  for (const scopes of [['events:admin'], ['tenants:all'], ['events:read']] as const)
    refused(t, await service.get('/admin/metrics', await keyOf(service, scopes)), '403 SCOPE_MISSING')
  refused(t, await service.get('/admin/metrics'), '401 UNAUTHENTICATED')
  t.equal((await service.get('/admin/metrics', bearing(ADMIN_KEY))).statusCode, 200)
})

t.test('also where Prometheus has a port of its own', async (t) => {
  const service = await testService(t, { env: { METRICS_PORT: '0' } })
  t.equal((await service.get('/metrics')).statusCode, 404)
  t.ok(find((await read(service)).metrics, 'event_store_ready'))
})
