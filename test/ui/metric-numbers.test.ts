/** Rates, quantiles and lags out of metrics: pure, with numbers that Prometheus itself would give. */
import { Counter, Histogram, Registry } from 'prom-client'
import t from 'tap'
import { readMetrics } from '../../src/observe/read-metrics.js'
import { lagsOf } from '../../src/ui/pages/dashboard/lags.js'
import { createMetricHistory } from '../../src/ui/pages/dashboard/metric-history.js'
import {
  bucketsOf,
  hitRateOf,
  increaseOf,
  quantileOf,
  type Sample,
  secondsOf,
  totalOf
} from '../../src/ui/pages/dashboard/metric-numbers.js'

const START = Date.parse('2026-01-01T00:00:00.000Z')
const ONE = 'one'

/** What a registry gives at a second. */
const look = async (register: Registry, second: number, instance = ONE): Promise<Sample> => ({
  instance,
  at: new Date(START + second * 1000).toISOString(),
  metrics: await readMetrics(register)
})

const buckets = (...rows: [le: number, count: number][]) => rows.map(([le, count]) => ({ le, count }))
const INF = Number.POSITIVE_INFINITY

t.test('quantiles are interpolated inside a bucket, as histogram_quantile does it', async (t) => {
  const found = buckets([0.1, 10], [0.5, 30], [1, 40], [INF, 40])
  for (const [q, expected] of [
    [0.25, 0.1],
    [0.5, 0.3],
    [0.75, 0.5],
    [0.9, 0.8],
    [1, 1],
    [0.05, 0.02]
  ] as const)
    t.ok(Math.abs(quantileOf(q, found)! - expected) < 1e-12, `${q}: ${quantileOf(q, found)} is ${expected}`)
  t.equal(quantileOf(0.99, buckets([0.1, 1], [0.5, 1], [INF, 10])), 0.5, 'beyond the highest bound: that bound')
  t.equal(quantileOf(0.5, buckets([0.1, 0], [0.5, 0], [INF, 4])), 0.5)
  t.equal(quantileOf(0.5, buckets([0.25, 0], [0.75, 4], [INF, 4])), 0.5, 'empty buckets below')
  t.equal(quantileOf(0.5, buckets([0.1, 0], [INF, 0])), null, 'nothing was observed')
  t.equal(quantileOf(0.5, []), null)
})

t.test('what a histogram counted between two looks, over some labels or all', async (t) => {
  const register = new Registry()
  const histogram = new Histogram({
    name: 'replay_seconds',
    help: 'How long.',
    labelNames: ['path', 'size'],
    buckets: [0.1, 1],
    registers: [register]
  })
  histogram.observe({ path: 'full', size: 's' }, 5)
  const from = await look(register, 0)
  histogram.observe({ path: 'full', size: 's' }, 0.05)
  histogram.observe({ path: 'full', size: 'm' }, 0.5)
  histogram.observe({ path: 'short', size: 's' }, 0.05)
  const span = { from, to: await look(register, 4) }
  t.strictSame(bucketsOf(span, 'replay_seconds', { path: 'full' }), buckets([0.1, 1], [1, 2], [INF, 2]))
  t.strictSame(bucketsOf(span, 'replay_seconds'), buckets([0.1, 2], [1, 3], [INF, 3]))
  t.strictSame(bucketsOf(span, 'nothing_seconds'), [])
  t.equal(secondsOf(span), 4)
})

t.test('a counter rises by its sum, whatever series it has', async (t) => {
  const register = new Registry()
  const series = new Map([['ada', 5]])
  new Counter({
    name: 'conflicts_total',
    help: 'Conflicts.',
    labelNames: ['user'],
    registers: [register],
    collect() {
      this.reset()
      for (const [user, count] of series) this.inc({ user }, count)
    }
  })
  const from = await look(register, 0)
  series.delete('ada')
  series.set('_other', 5).set('bob', 2)
  const span = { from, to: await look(register, 1) }
  t.equal(increaseOf(span, 'conflicts_total'), 2, 'what was counted for ada moved')
  t.equal(totalOf(span.to, 'conflicts_total', { user: 'bob' }), 2)
  t.equal(totalOf(span.to, 'nothing_total'), 0)
})

const sampleOf = (
  second: number,
  values: [series: string, labels: Record<string, string>, value: number][]
): Sample => ({
  instance: ONE,
  at: new Date(START + second * 1000).toISOString(),
  metrics: values.map(([name, labels, value]) => ({ name, values: [{ labels, value, metricName: name }] }))
})
const conflicts = (second: number, count: number, instance = ONE): Sample => ({
  ...sampleOf(second, [['event_store_conflicts_total', {}, count]]),
  instance
})

t.test('the share of hits is that of the time between', async (t) => {
  const looks = (hit: number, miss: number) =>
    sampleOf(0, [
      ['event_cache_requests_total', { tier: 'process', result: 'hit' }, hit],
      ['event_cache_requests_total', { tier: 'process', result: 'miss' }, miss]
    ])
  t.equal(hitRateOf({ from: looks(100, 0), to: looks(103, 1) }, 'process'), 0.75)
  t.equal(hitRateOf({ from: looks(100, 0), to: looks(100, 0) }, 'process'), null, 'nobody looked')
  t.equal(hitRateOf({ from: looks(100, 0), to: looks(103, 1) }, 'shared'), null)
})

t.test('points are made of the last 30 seconds, or of what there is', async (t) => {
  const history = createMetricHistory({ windowSeconds: 100 })
  const rates = (sample: Sample) => history.add(sample).map((point) => [point.second - START / 1000, point.conflicts])
  t.strictSame(rates(conflicts(0, 7)), [], 'one look makes none')
  t.strictSame(rates(conflicts(10, 17)), [[10, 1]])
  t.strictSame(rates(conflicts(30, 37)).at(-1), [30, 1])
  t.strictSame(rates(conflicts(40, 77)).at(-1), [40, 2], 'from 10 on')
  t.strictSame(rates(conflicts(90, 87)).at(-1), [90, 0.2], 'after a pause from the look before')
  t.strictSame(
    rates(conflicts(141, 87)).map(([second]) => second),
    [90, 141],
    'older ones are dropped'
  )
})

t.test('a look at another instance is not compared, and each with its own', async (t) => {
  const history = createMetricHistory({ windowSeconds: 100 })
  history.add(conflicts(0, 1000))
  t.strictSame(history.add(conflicts(1, 5, 'two')), [], 'a restart, or another one')
  t.strictSame(
    history.add(conflicts(2, 1004)).map((point) => point.conflicts),
    [2]
  )
  t.strictSame(
    history.add(conflicts(3, 6, 'two')).map((point) => point.conflicts),
    [2, 0.5]
  )
  t.match(history.add(conflicts(4, 1004)).at(-1), {
    append: { p50: null, p99: null },
    replay: { shortened: { p50: null }, full: { p99: null } },
    cache: { process: null, shared: null }
  })
})

t.test('lags: who is the furthest behind first', async (t) => {
  t.strictSame(lagsOf(sampleOf(0, [])), [])
  const crm = { subscription: 'default/crm' }
  t.strictSame(
    lagsOf(
      sampleOf(0, [
        ['event_projection_lag_events', { projection: 'users' }, 0],
        ['event_projection_parked_users', { projection: 'users' }, 3],
        ['event_subscription_lag_events', crm, 12],
        ['event_subscription_lag_seconds', crm, 1.5],
        ['event_outbox_pending', crm, 4],
        ['event_outbox_dead_letters', crm, 2],
        ['event_subscription_lag_events', { subscription: 'audit' }, 0]
      ])
    ),
    [
      { name: 'default/crm', kind: 'subscription', events: 12, seconds: 1.5, waiting: 4, dead: 2 },
      { name: 'audit', kind: 'subscription', events: 0, seconds: 0, waiting: 0, dead: 0 },
      { name: 'users', kind: 'projection', events: 0, seconds: null, waiting: 3, dead: null }
    ]
  )
})
