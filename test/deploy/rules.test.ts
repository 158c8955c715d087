/** The rules of deploy/prometheus: valid, tested by promtool at and above their bars, and explained in README. */
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import t from 'tap'
import { createProgram } from '../../src/cli/program.js'
import { PROMETHEUS, readsOf, ruleFiles, rules, ruleTestFiles, yamlOf } from '../support/deploy.js'
import { promtool } from '../support/prometheus.js'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const alerts = rules().flatMap(({ alert, ...rest }) => (alert ? [{ alert, ...rest }] : []))

t.test('promtool finds nothing wrong with the configuration and the rules', async (t) => {
  for (const args of [
    ['check', 'config', 'prometheus.yml'],
    ['check', 'rules', '--lint=all', '--lint-fatal', ...ruleFiles()]
  ]) {
    const { code, output } = await promtool(args)
    t.equal(code, 0, output)
  }
})

t.test('the configuration with the lines that are commented out is one, too', async (t) => {
  const lines = readFileSync(`${PROMETHEUS}prometheus.yml`, 'utf8').replace(/^( *)#(?! \S)/gm, '$1')
  t.match(lines, /^alerting:\n {2}alertmanagers:/m)
  t.match(lines, /^ {4}authorization:\n {6}credentials_file: /m)
  const folder = await mkdtemp(join(tmpdir(), 'user-event-store-rules-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'prometheus.yml')
  await writeFile(file, lines)
  const { code, output } = await promtool(['check', 'config', '--syntax-only', file])
  t.equal(code, 0, output)
})

t.test('the tests of the rules pass', async (t) => {
  const { code, output } = await promtool(['test', 'rules', ...ruleTestFiles()])
  t.equal(code, 0, output)
})

type RuleTest = { tests: { alert_rule_test?: { alertname: string; exp_alerts: object[] }[] }[] }

t.test('each alert is tested while it fires and while it does not', async (t) => {
  const tested = ruleTestFiles()
    .flatMap((path) => (yamlOf(path) as RuleTest).tests)
    .flatMap((each) => each.alert_rule_test ?? [])
  for (const { alert } of alerts) {
    const of = tested.filter(({ alertname }) => alertname === alert)
    t.ok(
      of.some(({ exp_alerts }) => exp_alerts.length > 0),
      `${alert} fires`
    )
    t.ok(
      of.some(({ exp_alerts }) => exp_alerts.length === 0),
      `${alert} does not fire`
    )
  }
  const known = new Set(alerts.map(({ alert }) => alert))
  t.strictSame(
    tested.filter(({ alertname }) => !known.has(alertname)),
    []
  )
})

t.test('each alert waits, has a severity, says what it found, and leads to what to do', async (t) => {
  t.ok(alerts.length > 10)
  const anchors = new Set([...readme.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => anchorOf(title)))
  for (const { alert, for: wait, labels, annotations } of alerts) {
    t.match(wait, /^\d+[mh]$/, alert)
    t.ok(['critical', 'warning'].includes(labels?.severity ?? ''), alert)
    t.match(annotations, { summary: /^[A-Z].*[^.]$/, description: /\{\{ \$value.*\.$/ }, alert)
    const [file, anchor = ''] = annotations!.runbook_url!.split('#')
    t.equal(file, 'README.md')
    t.equal(anchor, anchorOf(alert))
    t.ok(anchors.has(anchor), `README has #${anchor}`)
  }
  const headings = [...readme.matchAll(/^#### (EventStore\w+)$/gm)].map(([, name]) => name)
  t.strictSame(
    headings,
    alerts.map(({ alert }) => alert),
    'README explains them in the same order, and no others'
  )
})

t.test('what a person is told to do can be done', async (t) => {
  const runbook = readme.split('\n### Alerts\n')[1]!.split('\n## ')[0]!
  const commands = commandsOf(createProgram({}, process))
  const asked = [...runbook.matchAll(/`user-events ([^`]+)`/g)].map(([, words = '']) => words.replace(/ --.*/, ''))
  t.ok(asked.length > 10)
  for (const words of asked) t.ok(commands.includes(words), words)

  const { paths } = yamlOf(new URL('../../openapi/openapi.yaml', import.meta.url).pathname)
  const routes = [...runbook.matchAll(/`(GET|POST|PUT|DELETE) (\/[^`?\s]*)`/g)]
  t.ok(routes.length > 5)
  for (const [, method = '', path = ''] of routes) t.ok(paths[path]?.[method.toLowerCase()], `${method} ${path}`)

  const links = [...runbook.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor)
  for (const anchor of links) t.match(runbook, new RegExp(`^#### ${anchor}$`, 'im'))
})

t.test('what an expression reads is found in it', async (t) => {
  const expr = `sum by (job, le) (rate(a_total{x=~"5..|by (y)", z!="}"}[5m])) / (max(b) > 0) unless on (c)
    label_replace(d:e:f_5m, "n", "$1", "m", "g/(.*)") > scalar(h) and i offset 5m # j`
  t.strictSame(readsOf(expr), {
    selectors: ['a_total{x=~"5..|by (y)", z!="}"}', 'b', 'd:e:f_5m', 'h', 'i'],
    labels: ['job', 'le', 'c']
  })
})

/** As GitHub makes anchors of headings. */
const anchorOf = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

/** The names of all commands, without that of the program. */
function commandsOf(command: Command, before = ''): string[] {
  return command.commands.flatMap((each) => {
    const name = `${before}${each.name()}`
    return each.commands.length > 0 ? commandsOf(each, `${name} `) : [name]
  })
}
