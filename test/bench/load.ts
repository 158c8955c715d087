/**
 * Load on one URL from a process of its own, which answers every LoadPlan that is sent to it with a LoadResult.
 * Every connection has its own share of the paths, so that no two ask for the same user at once unless there is one path.
 */
import autocannon from 'autocannon'

export type LoadPlan = {
  url: string
  connections: number
  durationMs: number
  method: 'GET' | 'POST'
  paths: string[]
  headers?: Record<string, string>
  body?: string
}

export type LoadResult = { perSecond: number; p50Ms: number; p95Ms: number; p99Ms: number; failed: number }

async function load(plan: LoadPlan): Promise<LoadResult> {
  let next = 0
  const latenciesMs: number[] = []
  const result = await new Promise<autocannon.Result>((resolve, reject) => {
    const instance = autocannon(
      {
        url: plan.url,
        connections: plan.connections,
        duration: plan.durationMs / 1000,
        setupClient(client) {
          const index = next++
          const share = plan.paths.filter((_, i) => i % plan.connections === index % plan.connections)
          const paths = share.length > 0 ? share : plan.paths
          client.setRequests(
            paths.map((path) => ({
              method: plan.method,
              path,
              headers: plan.headers ?? {},
              ...(plan.body === undefined ? {} : { body: plan.body })
            }))
          )
        }
      },
      (err, done) => (err ? reject(err) : resolve(done))
    )
    instance.on('response', (_client, _status, _bytes, ms) => latenciesMs.push(ms))
  })
  latenciesMs.sort((a, b) => a - b)
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)] ?? Number.NaN
  return {
    perSecond: result['2xx'] / result.duration,
    p50Ms: at(0.5),
    p95Ms: at(0.95),
    p99Ms: at(0.99),
    failed: result.non2xx + result.errors
  }
}

process.on('message', async (plan: LoadPlan) => process.send!(await load(plan)))
