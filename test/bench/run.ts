/**
 * `npm run bench [-- --quick] [-- --seed-events N] [-- --only NAME] [-- --seconds N]`: measures the service against limits of the same run, interleaved,
 * and prints medians. `--seed-events N` adds a database of N events to see how growth is borne. Writes bench-results.json.
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { bringMachine } from './machine.js'
import { prepare } from './scenarios/prepare.js'
import type { Plan, Scenario } from './scenarios/scenario.js'

type Finding = {
  ours: number[]
  limits: { name: string; bar?: number | undefined; values: number[]; ratios: number[] }[]
}

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    'seed-events': { type: 'string', default: '0' },
    only: { type: 'string' },
    seconds: { type: 'string' }
  }
})
const plan: Plan = {
  quick: values.quick,
  only: values.only,
  durationMs: values.seconds ? Number(values.seconds) * 1000 : values.quick ? 900 : 4000,
  growTo: Number(values['seed-events'])
}
const rounds = values.quick ? 3 : 5

const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!
const note = (text: string): void => console.error(`[load ${loadavg()[0]!.toFixed(1)}] ${text}`)

async function measure(scenarios: Scenario[]): Promise<Map<Scenario, Finding>> {
  const findings = new Map(
    scenarios.map((scenario): [Scenario, Finding] => [
      scenario,
      { ours: [], limits: scenario.limits.map(({ name, bar }) => ({ name, bar, values: [], ratios: [] })) }
    ])
  )
  // Round 0 warms everything up and does not count.
  for (let round = 0; round <= rounds; round++) {
    for (const [scenario, finding] of findings) {
      if (scenario.once && round !== 1) continue
      note(`round ${round} of ${rounds}: ${scenario.name}`)
      const ours = await scenario.measure()
      if (round > 0) finding.ours.push(ours)
      for (const [i, limit] of scenario.limits.entries()) {
        const value = await limit.measure()
        if (round === 0) continue
        finding.limits[i]!.values.push(value)
        finding.limits[i]!.ratios.push(ours / value)
      }
    }
  }
  return findings
}

function rowsOf({ name, unit, atMost, atLeast }: Scenario, { ours, limits }: Finding): string[][] {
  const value = median(ours)
  const shown = (number: number) =>
    unit === 'rate' ? `${Math.round(number)}/s` : `${number.toFixed(unit === 'ms' ? 2 : 0)} ${unit}`
  const absolute =
    atLeast !== undefined
      ? `${value >= atLeast ? 'ok' : 'MISSED'} (at least ${atLeast}/s)`
      : atMost !== undefined
        ? `${value <= atMost ? 'ok' : 'MISSED'} (at most ${atMost} ${unit})`
        : ''
  const first = [name, shown(value), '', '', '', absolute]
  const others = limits.map(({ name: limit, bar, values: found, ratios }) => {
    const ratio = median(ratios)
    const kept = unit === 'rate' ? ratio >= (bar ?? 0) : ratio <= (bar ?? Number.POSITIVE_INFINITY)
    const verdict =
      bar === undefined ? '' : `${kept ? 'ok' : 'MISSED'} (${unit === 'rate' ? 'at least' : 'at most'} ${bar})`
    return ['', '', limit, shown(median(found)), ratio.toFixed(2), verdict]
  })
  return [first, ...others]
}

function print(rows: string[][]): void {
  const head = ['scenario', 'ours', 'limit', 'its value', 'ratio', 'bar']
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  for (const row of [head, ...rows])
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd()
    )
}

const machine = await bringMachine()
try {
  const all = await prepare(machine, plan, note)
  const findings = await measure(all.filter(({ name }) => !values.only || name.includes(values.only)))
  print([...findings].flatMap(([scenario, finding]) => rowsOf(scenario, finding)))
  const { model } = cpus()[0]!
  const results = [...findings].map(([{ name, unit, atMost, atLeast }, finding]) => ({
    name,
    unit,
    atMost,
    atLeast,
    ...finding
  }))
  writeFileSync(
    'bench-results.json',
    JSON.stringify(
      {
        at: new Date().toISOString(),
        node: process.version,
        cpu: model,
        cores: availableParallelism(),
        plan,
        rounds,
        results
      },
      null,
      2
    )
  )
} finally {
  await machine.stop()
}
