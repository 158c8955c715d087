/** What a run found, as a table and as JSON. */
import { availableParallelism, cpus, loadavg } from 'node:os'
import type { Plan, Scenario } from './scenarios/scenario.js'

export type Finding = {
  scenario: Scenario
  /** one value of each round */
  ours: number[]
  /** in the order of the scenario's limits; `ratios` are ours over theirs, round by round */
  limits: { values: number[]; ratios: number[] }[]
  /** why it was not measured to the end; what it found until then is not shown */
  failure: Error | null
}

/** Load averages of the machine over 1, 5 and 15 minutes. */
export type Load = { before: number[]; after: number[] }

/** The middle of the numbers; of an even count the mean of the two. */
export function median(numbers: number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle) - 1]!) / 2
}

/** A table for people: medians, and the least and the greatest of the rounds. */
export function tableOf(findings: Finding[], load: Load): string {
  const head = ['scenario', 'ours', 'limit', 'its value', 'ratio', 'of rounds', 'bar']
  const rows = [head, ...findings.flatMap(rowsOf)]
  const widths = head.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd()
  )
  const { before, after } = rounded(load)
  return [
    ...lines,
    '',
    `load averages of the machine: ${before.join(' ')} before, ${after.join(' ')} after; ${availableParallelism()} cores`
  ].join('\n')
}

/** All values of all rounds, for machines. */
export function resultsOf(findings: Finding[], load: Load, plan: Plan) {
  return {
    at: new Date().toISOString(),
    node: process.version,
    cpu: cpus()[0]?.model,
    cores: availableParallelism(),
    load: rounded(load),
    plan,
    results: findings.filter(({ failure }) => !failure).map(resultOf),
    failures: findings.flatMap(({ scenario: { name }, failure }) => (failure ? { name, failure: failure.message } : []))
  }
}

function resultOf({ scenario: { name, unit, atMost, atLeast, limits }, ours, limits: found }: Finding) {
  return {
    name,
    unit,
    atMost,
    atLeast,
    median: median(ours),
    ours,
    limits: found.map(({ values, ratios }, i) => {
      const { name: limit, bar } = limits[i]!
      return { name: limit, bar, median: median(values), ratio: median(ratios), values, ratios }
    })
  }
}

function rowsOf({ scenario, ours, limits, failure }: Finding): string[][] {
  const { name, unit, atMost, atLeast } = scenario
  if (failure) return [[name, 'FAILED', '', '', '', '', failure.message]]
  const shown = (number: number): string =>
    unit === 'rate' ? `${Math.round(number)}/s` : `${number.toFixed(unit === 'ms' ? 2 : 0)} ${unit}`
  const value = median(ours)
  const absolute =
    atLeast !== undefined
      ? verdict(value >= atLeast, `at least ${atLeast}/s`)
      : atMost !== undefined
        ? verdict(value <= atMost, `at most ${atMost} ${unit}`)
        : ''
  const first = [name, shown(value), '', '', '', spread(ours, shown), absolute]
  const others = limits.map(({ values, ratios }, i) => {
    const { name: limit, bar } = scenario.limits[i]!
    const ratio = median(ratios)
    const bound =
      bar === undefined
        ? ''
        : unit === 'rate'
          ? verdict(ratio >= bar, `at least ${bar}`)
          : verdict(ratio <= bar, `at most ${bar}`)
    const two = (number: number): string => number.toFixed(2)
    return ['', '', limit, shown(median(values)), two(ratio), spread(ratios, two), bound]
  })
  return [first, ...others]
}

const verdict = (kept: boolean, bar: string): string => `${kept ? 'ok' : 'MISSED'} (${bar})`

const spread = (numbers: number[], shown: (number: number) => string): string =>
  numbers.length < 2 ? '' : `${shown(Math.min(...numbers))} to ${shown(Math.max(...numbers))}`

function rounded({ before, after }: Load): Load {
  const two = (numbers: number[]): number[] => numbers.map((number) => Math.round(number * 100) / 100)
  return { before: two(before), after: two(after) }
}

export const loadNow = (): number[] => loadavg()
