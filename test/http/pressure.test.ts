/** A process whose event loop lags refuses requests, but for those that ask whether it lives. */
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED } from '../support/access.js'
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
  const { get } = await testService(t, { env: GUARDED })
  const stop = lag(1200)
  t.teardown(stop)
  // Without a key, which would be asked for next: refused is what comes, not only who may come.
  const read = async () => verdict(await get('/users/x/state'))
  await until(async () => (await read()) === '503 OVERLOADED', { what: 'the lag to be noticed' })
  stop()
  // What was measured last counts for a second.
  const probes = ['/livez', '/livez?from=balancer', '/readyz', '/readyz?from=balancer', '/metrics?x=1']
  const [refused, ...operations] = await Promise.all([
    read(),
    ...probes.map((url) => get(url, bearing(ADMIN_KEY)).then(({ statusCode }) => statusCode))
  ])
  t.equal(refused, '503 OVERLOADED')
  t.strictSame(
    operations,
    probes.map(() => 200)
  )
  t.match(
    (await get('/metrics', bearing(ADMIN_KEY))).body,
    /^http_request_duration_seconds_count\{method="GET",route="\/users\/:userId\/state",status_code="503"\} \d/m,
    'what is refused is measured'
  )
  await until(async () => (await read()) !== '503 OVERLOADED', { what: 'the lag to be over' })
  t.match(await read(), /^401 /, 'and then it goes on')
})
