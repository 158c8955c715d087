/** `npm run bench`: see USAGE in options.ts. */
import { writeFileSync } from 'node:fs'
import { lazily } from './lazily.js'
import { bringMachine, type Machine } from './machine.js'
import { measure } from './measure.js'
import { chosen, listOf, readOptions, USAGE, UsageError } from './options.js'
import { loadNow, resultsOf, tableOf } from './report.js'
import { allScenarios } from './scenarios/all.js'

const note = (text: string): void => console.error(`[load ${loadNow()[0]!.toFixed(1)}] ${text}`)

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
    const findings = await measure(scenarios, plan.rounds, note)
    const load = { before, after: loadNow() }
    console.log(tableOf(findings, load))
    writeFileSync(options.out, JSON.stringify(resultsOf(findings, load, plan), null, 2))
    if (findings.some(({ failure }) => failure)) process.exitCode = 1
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
