/** The command line of the benchmark. */
import { parseArgs } from 'node:util'
import { GROWTH_EVENTS_MIN } from './scenarios/growth.js'
import type { Plan, Scenario } from './scenarios/scenario.js'

export const USAGE = `npm run bench [-- OPTIONS]

Measures the service against limits of the same run, interleaved in several rounds; prints medians and the spread of the
rounds, and writes all values to a file.

  --quick           short measurements, 3 rounds instead of 5, without what takes long to prepare; under 2 minutes
  --only TEXT       the scenarios whose names have TEXT in them; can be given several times. Nothing else is prepared
  --seconds N       how long a measurement takes, 0.1 to 3600 (4 when absent, 0.3 with --quick). Those of a fixed amount of
                    work go on until it is done: import, delivery, memory, finding users, cold processes, users not read
                    before, snapshots
  --seed-events N   fills a database of N events, at least ${GROWTH_EVENTS_MIN}, to see how growth is borne; 0 when absent: none
  --out FILE        where all values are written as JSON (bench-results.json)
  --help            shows this, and the names of all scenarios (* not in --quick unless --only names it)
`

export class UsageError extends Error {
  override name = 'UsageError'
}

export type Options = { help: boolean; only: string[]; out: string; plan: Plan }

/** Throws a UsageError that says what is wrong with an argument. */
export function readOptions(args: string[]): Options {
  const values = parse(args)
  const { quick, only, out, help } = values
  const seconds = values.seconds === undefined ? (quick ? 0.3 : 4) : Number(values.seconds)
  if (!(seconds >= 0.1 && seconds <= 3600))
    throw new UsageError(`--seconds is ${values.seconds}; expected a number from 0.1 to 3600.`)
  const growTo = Number(values['seed-events'])
  if (!Number.isInteger(growTo) || (growTo !== 0 && growTo < GROWTH_EVENTS_MIN))
    throw new UsageError(
      `--seed-events is ${values['seed-events']}; expected a whole number from ${GROWTH_EVENTS_MIN} on, or 0.`
    )
  return { help, only, out, plan: { durationMs: seconds * 1000, quick, rounds: quick ? 3 : 5, growTo } }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        quick: { type: 'boolean', default: false },
        only: { type: 'string', multiple: true, default: [] },
        seconds: { type: 'string' },
        out: { type: 'string', default: 'bench-results.json' },
        'seed-events': { type: 'string', default: '0' },
        help: { type: 'boolean', default: false }
      }
    }).values
  } catch (err) {
    throw new UsageError(
      `${(err as Error).message}

${USAGE}`,
      { cause: err }
    )
  }
}

/** Those that are asked for. Throws a UsageError, with the names that there are, when one text is in none of them. */
export function chosen(scenarios: Scenario[], { only, plan }: Options): Scenario[] {
  for (const text of only) {
    if (!scenarios.some(({ name }) => name.includes(text)))
      throw new UsageError(`No scenario has "${text}" in its name. There are:\n${listOf(scenarios)}`)
  }
  if (only.length === 0) return scenarios.filter(({ slow }) => !(plan.quick && slow))
  return scenarios.filter(({ name }) => only.some((text) => name.includes(text)))
}

/** The names, one in a line. */
export const listOf = (scenarios: Scenario[]): string =>
  scenarios.map(({ name, slow }) => `  ${slow ? '*' : ' '} ${name}`).join('\n')
