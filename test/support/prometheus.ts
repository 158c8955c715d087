/** A real Prometheus of its own for a test, with the scrape configuration and the rules of deploy/. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { PROMETHEUS, ruleFiles, yamlOf } from './deploy.js'
import { freePort, testServer } from './server.js'

export type Series = { metric: Record<string, string>; values: [seconds: number, value: string][] }
export type RuleState = { name: string; type: 'alerting' | 'recording'; health: string; lastError?: string }
export type AlertState = { labels: Record<string, string>; annotations: Record<string, string>; state: string }

export type Prometheus = {
  /** What an expression gave from the start on until now, a value a second. Throws when Prometheus refuses it. */
  range(expr: string): Promise<Series[]>
  /** The series that a selector finds, as their labels. */
  series(selector: string): Promise<Record<string, string>[]>
  /** Labels of the exemplars of a selector since the start. */
  exemplars(selector: string): Promise<Record<string, string>[]>
  labelValues(label: string, selector: string): Promise<string[]>
  rules(): Promise<RuleState[]>
  /** Those that are pending or firing. */
  alerts(): Promise<AlertState[]>
}

/** Such that a test need not wait long, and a scrape, which may take no longer, is in time. */
const INTERVAL = '1s'

/** One that is running and scrapes `target` (host:port); killed when the test ends. Fails when there is no prometheus to run. */
export async function testPrometheus(t: Test, target: string): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'user-event-store-prometheus-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const config = yamlOf(`${PROMETHEUS}prometheus.yml`)
  config.global = { scrape_interval: INTERVAL, evaluation_interval: INTERVAL }
  config.rule_files = ruleFiles()
  config.scrape_configs[0].static_configs = [{ targets: [target] }]
  await writeFile(join(folder, 'prometheus.yml'), stringify(config))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const startedAt = Date.now() / 1000
  await testServer(t, {
    command: 'prometheus',
    args: [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--enable-feature=exemplar-storage',
      '--log.level=error'
    ],
    debian: { package: 'prometheus', check: ['prometheus', '--version'] },
    isUp: async () => (await fetch(`${url}/-/ready`)).ok
  })

  async function ask<T>(path: string, params: Record<string, string> = {}): Promise<T> {
    const answer = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(params)}`)
    const { status, data, error } = (await answer.json()) as { status: string; data: T; error?: string }
    if (status !== 'success') throw new Error(`Prometheus refuses ${JSON.stringify(params)}: ${error}`)
    return data
  }
  return {
    async range(expr) {
      const span = { start: String(startedAt), end: String(Date.now() / 1000), step: '1' }
      return (await ask<{ result: Series[] }>('query_range', { query: expr, ...span })).result
    },
    series: (selector) => ask('series', { 'match[]': selector, start: String(startedAt) }),
    async exemplars(selector) {
      const span = { start: String(startedAt - 60), end: String(Date.now() / 1000 + 60) }
      const found = await ask<{ exemplars: { labels: Record<string, string> }[] }[]>('query_exemplars', {
        query: selector,
        ...span
      })
      return found.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels))
    },
    labelValues: (label, selector) => ask(`label/${label}/values`, { 'match[]': selector, start: String(startedAt) }),
    async rules() {
      return (await ask<{ groups: { rules: RuleState[] }[] }>('rules')).groups.flatMap((group) => group.rules)
    },
    alerts: async () => (await ask<{ alerts: AlertState[] }>('alerts')).alerts
  }
}

/** Runs promtool and tells how it ended; `input` is what it reads. */
export async function promtool(args: string[], input = ''): Promise<{ code: number; output: string }> {
  const child = execFile('promtool', args, { cwd: PROMETHEUS, maxBuffer: 2 ** 24 })
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (text: string) => (output += text))
  child.on(
    'error',
    (err) => (output += `There is no promtool to test with. Install it: apt-get install prometheus. ${err}`)
  )
  child.stdin!.on('error', () => {})
  child.stdin!.end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code: code ?? 1, output }
}
