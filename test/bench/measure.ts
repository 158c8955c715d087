/** Takes the measurements of scenarios, interleaved in rounds. */
import type { Finding } from './report.js'
import type { Scenario } from './scenarios/scenario.js'

/**
 * One measurement of everything after the other, and that again in every round. A scenario that fails is told and left out from then
 * on; the others go on.
 */
export async function measure(
  scenarios: readonly Scenario[],
  rounds: number,
  note: (text: string) => void
): Promise<Finding[]> {
  const findings: Finding[] = scenarios.map((scenario) => ({
    scenario,
    ours: [],
    limits: scenario.limits.map(() => ({ values: [], ratios: [] })),
    failure: null
  }))
  for (const finding of findings) await attempt(finding, () => finding.scenario.prepare(), note)
  // Round 0 warms everything up and does not count.
  for (let round = 0; round <= rounds + 1; round++) {
    for (const finding of findings) {
      const { scenario, failure } = finding
      const isDue = scenario.lastly ? round === rounds + 1 : round <= (scenario.rounds ?? rounds)
      if (failure || !isDue || (round === 0 && scenario.rounds !== undefined)) continue
      note(`round ${round} of ${Math.min(rounds, scenario.rounds ?? rounds)}: ${scenario.name}`)
      await attempt(finding, () => measureOnce(finding, { counts: round > 0 }), note)
    }
  }
  return findings
}

async function measureOnce({ scenario, ours, limits }: Finding, { counts }: { counts: boolean }): Promise<void> {
  const value = await scenario.measure()
  const found: number[] = []
  for (const limit of scenario.limits) found.push(await limit.measure())
  if (!counts) return
  ours.push(value)
  for (const [i, { values, ratios }] of limits.entries()) {
    values.push(found[i]!)
    ratios.push(value / found[i]!)
  }
}

async function attempt(finding: Finding, work: () => Promise<unknown>, note: (text: string) => void): Promise<void> {
  try {
    await work()
  } catch (err) {
    finding.failure = err as Error
    note(`${finding.scenario.name} failed and is left out from here on: ${(err as Error).stack}`)
  }
}
