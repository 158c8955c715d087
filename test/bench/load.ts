/**
 * Load on one URL from a process of its own, which answers every LoadPlan that is sent to it with a LoadResult.
 * Every connection has its own share of the paths, so that no two ask for the same user at once unless there is one path.
 */
import autocannon from 'autocannon'

export type LoadPlan = {
  url: string
  /** at most as many as there are requests, if these are counted */
  connections: number
  /** how long, or how many requests in all; as many as there are paths ask for each once */
  amount: { durationMs: number } | { requests: number }
  method: 'GET' | 'POST'
  paths: string[]
  headers?: Record<string, string>
  body?: string
  /** answers at the start that the times do not count; 0 when absent */
  warmUp?: number
}

export type LoadResult = {
  perSecond: number
  p50Ms: number
  p95Ms: number
  p99Ms: number
  /** null when every answer was a success; else what there was besides */
  failures: string | null
}

/** The load generator ends a run only at the end of such a span, ms. */
const SAMPLE_MS = 50

async function load({ amount, ...plan }: LoadPlan): Promise<LoadResult> {
  let next = 0
  let lastAt = 0
  const latenciesMs: number[] = []
  const startedAt = performance.now()
  const result = await new Promise<autocannon.Result>((resolve, reject) => {
    const instance = autocannon(
      {
        url: plan.url,
        connections: plan.connections,
        sampleInt: SAMPLE_MS,
        ...('requests' in amount ? { amount: amount.requests } : { duration: amount.durationMs / 1000 }),
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
    instance.on('response', (_client, _status, _bytes, ms) => {
      latenciesMs.push(ms)
      lastAt = performance.now()
    })
  })
  // A busy machine may answer nothing in a short time, of which no median can be told.
  if (latenciesMs.length === 0 && result.errors === 0 && 'durationMs' in amount)
    return await load({ ...plan, amount: { durationMs: 2 * amount.durationMs } })
  const counted = latenciesMs.slice(plan.warmUp ?? 0).sort((a, b) => a - b)
  const at = (share: number) => counted[Math.floor(counted.length * share)] ?? Number.NaN
  return {
    perSecond: result['2xx'] / ((lastAt - startedAt) / 1000),
    p50Ms: at(0.5),
    p95Ms: at(0.95),
    p99Ms: at(0.99),
    failures: failuresOf(result)
  }
}

function failuresOf({ non2xx, errors, timeouts, statusCodeStats = {} }: autocannon.Result): string | null {
  if (non2xx + errors === 0) return null
  const statuses = Object.entries(statusCodeStats).map(([status, { count }]) => `${count} of status ${status}`)
  return [...statuses, `${errors - timeouts} broken connections`, `${timeouts} without an answer`].join(', ')
}

process.on('message', async (plan: LoadPlan) => process.send!(await load(plan)))
