/**
 * A real Prometheus scrapes a running service under load, with the configuration and the rules of deploy/: what rules and
 * dashboards ask for is there, and an operator is told what happens.
 */
import t from 'tap'
import { startBusyService } from '../support/busy-service.js'
import { asAdmin, testDatabase } from '../support/db.js'
import { dashboards, fillIn, readsOf, rules } from '../support/deploy.js'
import { promtool, testPrometheus } from '../support/prometheus.js'
import { until } from '../support/wait.js'

const JOB = 'user-event-store'
/** What promtool would name otherwise, and we do not. */
const ACCEPTED = {
  'event_snapshots_total non-counter metrics should not have "_total" suffix':
    'the name is promised to whoever comes from the system that this one replaces',
  'nodejs_active_handles_total non-counter metrics should not have "_total" suffix': 'named by prom-client',
  'nodejs_active_requests_total non-counter metrics should not have "_total" suffix': 'named by prom-client',
  'nodejs_active_resources_total non-counter metrics should not have "_total" suffix': 'named by prom-client'
}
/** For all waiting of this file together, ms; whoever comes later still gets a look. */
const PATIENCE_MS = 75_000
const LOOK_MS = 3_000

const database = await testDatabase(t)
const service = await startBusyService(t, database)
const prometheus = await testPrometheus(t, service.metrics)

const giveUpAt = performance.now() + PATIENCE_MS
const patiently = () => ({ timeoutMs: Math.max(LOOK_MS, giveUpAt - performance.now()), everyMs: 200 })

const variables = {
  job: JOB,
  instance: '.*',
  subscription: service.subscription,
  __rate_interval: '10s'
}
const filled = (text: string): string => fillIn(text, variables)

/** Works until nothing of `wanted` is left; tells what is. */
async function workUntilAll<T>(wanted: readonly T[], isThere: (one: T) => Promise<boolean>): Promise<T[]> {
  let left = [...wanted]
  const look = async (): Promise<boolean> => {
    await service.round()
    const found = await Promise.all(left.map(isThere))
    left = left.filter((_, i) => !found[i])
    return left.length === 0
  }
  await until(look, patiently()).catch((err: Error) => t.comment(err.message))
  return left
}

const has = (values: readonly [number, string][]): boolean => values.some(([, value]) => Number.isFinite(Number(value)))

t.test('every query of the dashboards gives data, with the labels that its legend names', async (t) => {
  const queries = dashboards().flatMap(({ file, panels }) =>
    panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr, legendFormat }) => ({ place: `${file}: ${title}`, expr: filled(expr), legendFormat }))
    )
  )
  t.ok(queries.length > 60, `${queries.length} queries`)
  const missing = await workUntilAll(queries, async ({ expr }) =>
    (await prometheus.range(expr)).some(({ values }) => has(values))
  )
  t.strictSame(missing, [])
  for (const { place, expr, legendFormat } of queries) {
    const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
    for (const { metric } of await prometheus.range(expr))
      for (const label of labels) t.ok(metric[label], `${place}: ${label}`)
  }
})

t.test('every choice that a dashboard offers has something to choose', async (t) => {
  for (const { file, templating } of dashboards()) {
    for (const { name, definition } of templating.list.filter(({ type }) => type === 'query')) {
      const [, selector = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(definition!)!
      const values = await prometheus.labelValues(label, filled(selector))
      t.ok(values.length > 0, `${file}: ${name} is one of ${values}`)
      if (name !== 'instance') t.ok(values.includes(variables[name as 'job']), `${file}: ${name}`)
    }
  }
})

t.test('every metric and label that rules and dashboards read is there', async (t) => {
  const expressions = [
    ...rules().map(({ expr }) => expr),
    ...dashboards().flatMap(({ panels }) => panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)))
  ].map(filled)
  const selectors = [...new Set(expressions.flatMap((expr) => readsOf(expr).selectors))]
  t.ok(selectors.length > 40, `${selectors.length} selectors`)
  t.strictSame(await workUntilAll(selectors, async (one) => (await prometheus.series(one)).length > 0), [])
  for (const expr of expressions) {
    const { selectors, labels } = readsOf(expr)
    const found = (await Promise.all(selectors.map(prometheus.series))).flat()
    for (const label of labels)
      t.ok(
        found.some((series) => series[label]),
        `${label} in ${expr}`
      )
  }
})

t.test('Prometheus runs all rules, and nothing is wrong with any', async (t) => {
  const states = await until(async () => {
    const found = await prometheus.rules()
    return found.every(({ health }) => health !== 'unknown') ? found : null
  }, patiently())
  t.strictSame(
    states.filter(({ health, lastError }) => health !== 'ok' || lastError),
    []
  )
  t.strictSame(new Set(states.map(({ name }) => name)), new Set(rules().map(({ alert, record }) => alert ?? record)))
})

t.test('what really happened is on its way to be an alert, and nothing else', async (t) => {
  const expected = [
    'EventStoreDeadLetters',
    'EventStoreConflictRate',
    'EventStoreErrors',
    'EventStoreReceiverUnavailable'
  ]
  t.strictSame(
    await workUntilAll(expected, async (name) =>
      (await prometheus.alerts()).some(({ labels }) => labels.alertname === name)
    ),
    []
  )
  const alerts = await prometheus.alerts()
  const dead = alerts.filter(({ labels }) => labels.alertname === 'EventStoreDeadLetters')
  t.same(dead.map(({ labels }) => labels.subscription).sort(), ['default/crm', 'default/passing'])
  t.match(dead[0], {
    state: 'pending',
    labels: { severity: 'warning' },
    annotations: { description: /given up \d+ events\.$/ }
  })
  const away = alerts.filter(({ labels }) => labels.alertname === 'EventStoreReceiverUnavailable')
  t.same(
    away.map(({ labels }) => labels.subscription),
    ['default/away'],
    'a receiver that refuses one user is not away'
  )
  // A machine that is busy with other things may make these so, or something for a moment.
  const slow = ['EventStoreEventLoopLag', 'EventStoreSaveSlow', 'EventStoreReplaySlow', 'EventStoreProjectionStalled']
  let others: string[] = []
  await until(async () => {
    const names = (await prometheus.alerts()).map(({ labels }) => labels.alertname!)
    others = names.filter((name) => ![...expected, ...slow].includes(name))
    return others.length === 0
  }, patiently()).catch(() => {})
  t.strictSame(others, [])
})

t.test('promtool has nothing against the names of metrics but what is accepted', async (t) => {
  const scrape = await (await fetch(`http://${service.metrics}/metrics`)).text()
  const { output } = await promtool(['check', 'metrics'], scrape)
  t.strictSame(output.trim().split('\n').sort(), Object.keys(ACCEPTED).sort())
})

t.test('a database that is gone, and then a process that is gone, is noticed', async (t) => {
  const pending = (alertname: string) =>
    until(async () => (await prometheus.alerts()).find(({ labels }) => labels.alertname === alertname), {
      ...patiently(),
      what: alertname
    })
  await asAdmin(`DROP DATABASE ${database.name} WITH (FORCE)`)
  const instance = service.metrics
  t.match(await pending('EventStoreNotReady'), { labels: { instance, severity: 'critical' }, state: 'pending' })
  await service.end('SIGKILL')
  t.match(await pending('EventStoreDown'), { labels: { instance, job: JOB, severity: 'critical' }, state: 'pending' })
})
