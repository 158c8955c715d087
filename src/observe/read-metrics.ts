/** The metrics of this process as data, for those who do not read the text format of Prometheus. */
import type { Registry } from 'prom-client'

export type MetricNumbers = {
  name: string
  type: string
  help: string
  /** `value` is null where there is no number; the upper bound of a bucket is its label `le` */
  values: { labels: Record<string, string>; value: number | null; metricName: string }[]
}

/** All metrics of `register`, or those of `names` that there are; asks for the values of no others. */
export async function readMetrics(register: Registry, names?: readonly string[]): Promise<MetricNumbers[]> {
  // Only names that are declared are looked up: the registry would find a `constructor`.
  const declared = register.getMetricsAsArray().map(({ name }) => name)
  const asked = names ? declared.filter((name) => names.includes(name)) : declared
  const found = await Promise.all(asked.map((name) => register.getSingleMetric(name)!.get()))
  return found.map(({ name, type, help, values }) => ({
    name,
    type: String(type),
    help,
    values: values.map((each) => ({
      labels: Object.fromEntries(Object.entries(each.labels).map(([label, value]) => [label, String(value)])),
      value: Number.isFinite(each.value) ? each.value : null,
      metricName: (each as { metricName?: string }).metricName ?? name
    }))
  }))
}
