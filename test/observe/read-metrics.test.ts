/** Metrics as data: no number is null, all labels are text, and what is not asked for is not read. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import t from 'tap'
import { readMetrics } from '../../src/observe/read-metrics.js'

t.test('where there is no number there is null, and bounds of buckets are text', async (t) => {
  const register = new Registry()
  new Gauge({ name: 'lag', help: 'How late.', registers: [register] }).set(Number.NaN)
  new Histogram({ name: 'wait_seconds', help: 'How long.', buckets: [0.5], registers: [register] }).observe(0.25)
  t.strictSame(await readMetrics(register), [
    { name: 'lag', type: 'gauge', help: 'How late.', values: [{ labels: {}, value: null, metricName: 'lag' }] },
    {
      name: 'wait_seconds',
      type: 'histogram',
      help: 'How long.',
      values: [
        { labels: { le: '0.5' }, value: 1, metricName: 'wait_seconds_bucket' },
        { labels: { le: '+Inf' }, value: 1, metricName: 'wait_seconds_bucket' },
        { labels: {}, value: 0.25, metricName: 'wait_seconds_sum' },
        { labels: {}, value: 1, metricName: 'wait_seconds_count' }
      ]
    }
  ])
})

t.test('what is not asked for is not read, and nothing twice', async (t) => {
  const register = new Registry()
  const read: string[] = []
  for (const name of ['one_total', 'two_total'])
    new Counter({ name, help: name, registers: [register], collect: () => void read.push(name) })
  const found = await readMetrics(register, ['two_total', 'three_total', 'two_total', 'constructor'])
  t.strictSame(
    found.map(({ name }) => name),
    ['two_total']
  )
  t.strictSame(read, ['two_total'])
})
