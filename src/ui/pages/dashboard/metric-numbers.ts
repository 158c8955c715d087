/** Rates and quantiles out of what a process counts from its start on: always the difference of two looks at the same process. */

type Labels = Readonly<Record<string, string>>

/** The metrics of a process at a moment, as GET /admin/metrics gives them. */
export type Sample = {
  instance: string
  at: string
  metrics: readonly {
    name: string
    values: readonly { labels: Labels; value: number | null; metricName: string }[]
  }[]
}

/** Two looks at one process, the earlier first. */
export type Span = { from: Sample; to: Sample }

/** How many observations were at most `le`, as the histograms of Prometheus count. */
export type Bucket = { le: number; count: number }

/** The values of one series of a metric, of those labels. */
export function valuesOf({ metrics }: Sample, series: string, where: Labels = {}): { labels: Labels; value: number }[] {
  return metrics.flatMap(({ values }) =>
    values.flatMap(({ labels, value, metricName }) =>
      metricName === series && value !== null && Object.entries(where).every(([label, of]) => labels[label] === of)
        ? [{ labels, value }]
        : []
    )
  )
}

/** The sum over all labels; 0 where there is none. */
export const totalOf = (sample: Sample, series: string, where: Labels = {}): number =>
  valuesOf(sample, series, where).reduce((sum, { value }) => sum + value, 0)

/**
 * By how much the sum of a counter rose. Not series by series: which users have one of their own changes, and what those who lose
 * it counted moves to `_other`.
 */
export const increaseOf = ({ from, to }: Span, series: string, where: Labels = {}): number =>
  totalOf(to, series, where) - totalOf(from, series, where)

export const secondsOf = ({ from, to }: Span): number => (Date.parse(to.at) - Date.parse(from.at)) / 1000

/** What a histogram counted meanwhile, the lowest bound first. */
export function bucketsOf({ from, to }: Span, histogram: string, where: Labels = {}): Bucket[] {
  const counts = new Map<number, number>()
  for (const [sample, sign] of [
    [to, 1],
    [from, -1]
  ] as const)
    for (const { labels, value } of valuesOf(sample, `${histogram}_bucket`, where)) {
      const le = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le)
      counts.set(le, (counts.get(le) ?? 0) + sign * value)
    }
  return [...counts].map(([le, count]) => ({ le, count })).sort((a, b) => a.le - b.le)
}

/**
 * The value that the share `q` of the observations does not exceed; null when there were none. As histogram_quantile of Prometheus
 * does it: inside a bucket observations are taken to be spread evenly, the lowest begins at 0, and of what lies beyond the
 * highest bound nothing is known but that bound.
 */
export function quantileOf(q: number, buckets: readonly Bucket[]): number | null {
  const total = buckets.at(-1)?.count ?? 0
  if (total <= 0) return null
  const rank = q * total
  const index = buckets.findIndex(({ count }) => count >= rank)
  const { le, count } = buckets[index]!
  const below = buckets[index - 1] ?? { le: 0, count: 0 }
  if (le === Number.POSITIVE_INFINITY) return below.le
  return count === below.count ? le : below.le + (le - below.le) * ((rank - below.count) / (count - below.count))
}

/** The share of hits; null when nobody looked. */
export function hitRateOf(span: Span, tier: string): number | null {
  const hits = increaseOf(span, 'event_cache_requests_total', { tier, result: 'hit' })
  const misses = increaseOf(span, 'event_cache_requests_total', { tier, result: 'miss' })
  return hits + misses === 0 ? null : hits / (hits + misses)
}
