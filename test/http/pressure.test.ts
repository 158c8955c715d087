/** A process whose event loop lags refuses requests, but for those that ask whether it lives. */
import t from 'tap'
import { verdict } from '../support/problem.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

/** Holds the event loop for so long. */
function block(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

t.test('with a lagging loop requests get 503, and probes do not, with or without a query', async (t) => {
  const { get } = await testService(t)
  const probes = ['/livez', '/livez?from=balancer', '/readyz', '/readyz?from=balancer', '/metrics?x=1']
  const answers = await until(
    async () => {
      block(1500)
      const [request, ...operations] = await Promise.all(['/users/x/state', ...probes].map((url) => get(url)))
      return request!.statusCode === 503 ? { request: request!, operations } : null
    },
    { what: 'the lag to be noticed' }
  )
  t.equal(verdict(answers.request), '503 OVERLOADED')
  t.strictSame(
    answers.operations.map(({ statusCode }) => statusCode),
    probes.map(() => 200)
  )
  t.match(
    (await get('/metrics')).body,
    /^http_request_duration_seconds_count\{method="GET",route="\/users\/:userId\/state",status_code="503"\} \d/m,
    'what is refused is measured'
  )
})
