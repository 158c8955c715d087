/** README says what is so: its tour is run word for word, its tables come from the code, its links lead somewhere. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Command } from 'commander'
import { type Metric, Registry } from 'prom-client'
import t from 'tap'
import { EXIT, EXIT_MEANINGS } from '../src/cli/exit-codes.js'
import { createProgram } from '../src/cli/program.js'
import { settings } from '../src/config.js'
import { createMetrics } from '../src/observe/metrics.js'
import { testDatabase } from './support/db.js'
import { emptyGauges } from './support/gauges.js'
import { findMismatch, parseDocuments } from './support/json-documents.js'
import { startProcess } from './support/process.js'

const FILE = new URL('../README.md', import.meta.url)
const readme = readFileSync(FILE, 'utf8')
const run = promisify(execFile)

type Block = { language: string; text: string }

const section = (title: string): string => readme.split(/^## /m).find((part) => part.startsWith(title)) ?? ''
const blocksOf = (text: string): Block[] =>
  [...text.matchAll(/^```(\w+)\n(.*?)^```/gms)].map(([, language = '', body = '']) => ({ language, text: body }))

t.test('every command of the tour gives the answer that stands below it', async (t) => {
  const database = await testDatabase(t)
  const { url } = await startProcess(t, { DATABASE_URL: database.url })
  const [variables, ...blocks] = blocksOf(section('Tour'))
  const preamble = variables!.text.replace('http://127.0.0.1:3000', url)
  let output = ''
  let shown = 0
  for (const { language, text } of blocks) {
    if (language === 'sh') {
      output = (await run('bash', ['-euo', 'pipefail', '-c', preamble + text])).stdout
    } else if (language === 'json') {
      const expected = parseDocuments(text)
      const found = parseDocuments(output)
      t.equal(found.length >= expected.length, true, `${expected.length} answers to:\n${output}`)
      for (const [i, document] of expected.entries()) t.equal(findMismatch(found[i], document), null)
      shown += expected.length
    } else {
      for (const line of text.trim().split('\n')) t.ok(output.includes(line), line)
      shown++
    }
  }
  t.ok(shown > 10, 'the tour shows answers')
})

t.test('the tables are those of the code', async (t) => {
  const tables = {
    settings: settingRows(),
    metrics: metricRows(),
    commands: commandRows(createProgram({}, process)),
    'exit codes': exitRows()
  }
  const written = Object.entries(tables).reduce((text, [name, rows]) => replaceTable(text, name, rows), readme)
  if (process.env.UPDATE_README) writeFileSync(FILE, written)
  else t.equal(readme, written, 'run UPDATE_README=1 npm test -- test/readme.test.ts and commit the result')
})

t.test('every link to a file of the project leads somewhere', async (t) => {
  const targets = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, target = '']) => target)
  t.ok(targets.length > 5)
  for (const target of targets) t.ok(existsSync(new URL(target, FILE)), target)
})

t.test('every script that README names exists', async (t) => {
  const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    scripts: object
  }
  const names = [...readme.matchAll(/npm run ([a-z:]+)/g)].map(([, name = '']) => name)
  t.ok(names.length > 3)
  for (const name of names) t.ok(name in scripts, name)
})

/** `text` with the rows of the table between the marks of `name` replaced. */
function replaceTable(text: string, name: string, rows: string[]): string {
  const table = new RegExp(`(<!-- ${name} -->\\n(?:\\|.*\\n){2})(?:\\|.*\\n)*(<!-- /${name} -->)`)
  return text.replace(table, (_all, head: string, foot: string) => head + rows.map((row) => `${row}\n`).join('') + foot)
}

function settingRows(): string[] {
  return Object.entries(settings.properties).map(([name, { default: value, description }]) => {
    const shown = value === undefined ? '' : `\`${value}\``
    return `| \`${name}\` | ${shown} | ${description} |`
  })
}

/** Of a group those below it. */
function commandRows(command: Command, before = ''): string[] {
  const name = `${before}${command.name()}`
  if (command.commands.length > 0)
    return command
      .createHelp()
      .visibleCommands(command)
      .flatMap((each) => (each.name() === 'help' ? [] : commandRows(each, `${name} `)))
  const usage = command.registeredArguments.map((each) => (each.required ? ` <${each.name()}>` : ` [${each.name()}]`))
  return [`| \`${name}${usage.join('')}\` | ${command.description()} |`]
}

const exitRows = (): string[] =>
  Object.entries(EXIT).map(([name, code]) => `| ${code} | ${EXIT_MEANINGS[name as keyof typeof EXIT]} |`)

function metricRows(): string[] {
  const register = new Registry()
  createMetrics({
    register,
    ...emptyGauges,
    topAggregates: 1,
    topTenants: 1,
    onError: () => {}
  })
  const metrics = register.getMetricsAsArray() as unknown as (Metric & {
    name: string
    help: string
    labelNames: string[]
  })[]
  return metrics
    .map(
      ({ name, help, labelNames }) =>
        `| \`${name}\` | ${labelNames.map((label) => `\`${label}\``).join(', ')} | ${help} |`
    )
    .sort()
}
