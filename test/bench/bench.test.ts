/** That the benchmark measures at all: a run of a few scenarios, as short as can be. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { resultsOf } from './report.js'

const SCENARIOS = ['append 1 event, 1 client', 'full replay of 100 events', 'history, page of 100 events']

const runIn = (env: NodeJS.ProcessEnv, ...args: string[]) =>
  spawnSync(process.execPath, ['--import', 'tsx', 'test/bench/run.ts', ...args], { encoding: 'utf8', env })
const run = (...args: string[]) => runIn(process.env, ...args)

t.test('each scenario that is asked for is measured against its limits, in every round', async (t) => {
  const out = join(t.testdir(), 'results.json')
  const only = SCENARIOS.flatMap((name) => ['--only', name])
  const { status, stdout, stderr } = run('--quick', '--seconds', '0.1', '--out', out, ...only)
  t.equal(status, 0, stderr)
  for (const name of SCENARIOS) t.match(stdout, name)
  const { results } = JSON.parse(readFileSync(out, 'utf8')) as ReturnType<typeof resultsOf>
  t.strictSame(
    results.map(({ name }) => name),
    SCENARIOS
  )
  for (const { name, ours, limits } of results) {
    t.ok(ours.length === 3 && ours.every((value) => value > 0), `${name}: ${ours}`)
    t.ok(limits.length > 0)
    for (const limit of limits)
      t.ok(limit.ratios.length === 3 && limit.ratios.every((ratio) => ratio > 0), `${limit.name}: ${limit.ratios}`)
  }
})

t.test('one that fails is told, the others go on, and the exit code is 1', async (t) => {
  const sound = 'append 1 event, 1 client'
  const broken = 'deliver to NATS JetStream'
  const folder = t.testdir()
  const out = join(folder, 'results.json')
  // Where no nats-server is found.
  const env = { ...process.env, PATH: folder }
  const only = ['--only', sound, '--only', broken]
  const { status, stdout, stderr } = runIn(env, '--quick', '--seconds', '0.1', '--out', out, ...only)
  t.equal(status, 1)
  t.match(stderr, /deliver to NATS JetStream failed and is left out from here on: .*nats-server/)
  t.match(stdout, /^deliver to NATS JetStream +FAILED +There is no nats-server to test with/m)
  const { results, failures } = JSON.parse(readFileSync(out, 'utf8')) as ReturnType<typeof resultsOf>
  t.match(results, [{ name: sound, ours: { length: 3 } }])
  t.match(failures, [{ name: broken, failure: /nats-server/ }])
})

t.test('what is no argument, and a scenario that is none, are told', async (t) => {
  for (const [args, reason] of [
    [['--seconds', '0.09'], /--seconds is 0.09; expected a number from 0.1 to 3600/],
    [['--seed-events', '1'], /--seed-events is 1; expected a whole number from \d+ on, or 0/],
    [['--only', 'flying'], /No scenario has "flying" in its name. There are:\n.*append 1 event, 1 client/],
    [['--fast'], /Unknown option '--fast'[\s\S]*npm run bench/]
  ] as const) {
    const { status, stderr } = run(...args)
    t.equal(status, 1)
    t.match(stderr, reason)
  }
})
