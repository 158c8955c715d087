/** A process whose event loop lags refuses requests, but for those that ask whether it lives. */
import t from 'tap'
import { verdict } from '../support/problem.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

/** From now on the event loop takes `ms` for each turn, until what it returns is called. */
function lag(ms: number): () => void {
  let next: NodeJS.Immediate
  const turn = () => {
    const until = performance.now() + ms
    while (performance.now() < until);
    next = setImmediate(turn)
  }
  turn()
  return () => clearImmediate(next)
}

t.test('with a lagging loop requests get 503, and probes do not, with or without a query', async (t) => {
  const { get } = await testService(t)
  const stop = lag(1200)
  t.teardown(stop)
  const refused = async () => verdict(await get('/users/x/state')) === '503 OVERLOADED'
  await until(refused, { what: 'the lag to be noticed' })
  stop()
  // What was measured last counts for a second.
  const probes = ['/livez', '/livez?from=balancer', '/readyz', '/readyz?from=balancer', '/metrics?x=1']
  const [request, ...operations] = await Promise.all(['/users/x/state', ...probes].map((url) => get(url)))
  t.equal(verdict(request!), '503 OVERLOADED')
  t.strictSame(
    operations.map(({ statusCode }) => statusCode),
    probes.map(() => 200)
  )
  t.match(
    (await get('/metrics')).body,
    /^http_request_duration_seconds_count\{method="GET",route="\/users\/:userId\/state",status_code="503"\} \d/m,
    'what is refused is measured'
  )
})
