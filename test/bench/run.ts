/** `npm run bench`: see USAGE in options.ts. */
import { writeFileSync } from 'node:fs'
import { lazily } from './lazily.js'
import { bringMachine, type Machine } from './machine.js'
import { chosen, listOf, readOptions, USAGE, UsageError } from './options.js'
import { type Finding, loadNow, resultsOf, tableOf } from './report.js'
import { allScenarios } from './scenarios/all.js'
import type { Scenario } from './scenarios/scenario.js'

const note = (text: string): void => console.error(`[load ${loadNow()[0]!.toFixed(1)}] ${text}`)

/** One measurement of everything after the other, and that again in every round. */
async function measure(scenarios: Scenario[], rounds: number): Promise<Finding[]> {
  const findings: Finding[] = scenarios.map((scenario) => ({
    scenario,
    ours: [],
    limits: scenario.limits.map(() => ({ values: [], ratios: [] }))
  }))
  for (const { prepare } of scenarios) await prepare()
  // Round 0 warms everything up and does not count.
  for (let round = 0; round <= rounds + 1; round++) {
    for (const { scenario, ours, limits } of findings) {
      const isDue = scenario.lastly ? round === rounds + 1 : round <= (scenario.rounds ?? rounds)
      if (!isDue || (round === 0 && scenario.rounds !== undefined)) continue
      note(`round ${round} of ${Math.min(rounds, scenario.rounds ?? rounds)}: ${scenario.name}`)
      const value = await scenario.measure()
      const found: number[] = []
      for (const limit of scenario.limits) found.push(await limit.measure())
      if (round === 0) continue
      ours.push(value)
      for (const [i, { values, ratios }] of limits.entries()) {
        values.push(found[i]!)
        ratios.push(value / found[i]!)
      }
    }
  }
  return findings
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2))
  const { plan } = options
  let machine: Machine | undefined
  const bring = lazily(async () => {
    machine = await bringMachine()
    return machine
  })
  const all = allScenarios({ bring, plan, note })
  if (options.help) {
    console.log(`${USAGE}\n${listOf(all)}`)
    return
  }
  const scenarios = chosen(all, options)
  try {
    const before = loadNow()
    const findings = await measure(scenarios, plan.rounds)
    const load = { before, after: loadNow() }
    console.log(tableOf(findings, load))
    writeFileSync(options.out, JSON.stringify(resultsOf(findings, load, plan), null, 2))
  } finally {
    await machine?.stop()
  }
}

try {
  await main()
} catch (err) {
  console.error(err instanceof UsageError ? err.message : err)
  process.exitCode = 1
}
