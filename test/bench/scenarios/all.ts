/** All that is measured, in the order of the table. */
import { appends } from './appends.js'
import { archive } from './archive.js'
import { delivery } from './delivery.js'
import { directory } from './directory.js'
import { growth } from './growth.js'
import { histories } from './histories.js'
import { imports } from './imports.js'
import { memory } from './memory.js'
import { rebuilds } from './rebuilds.js'
import { replays } from './replays.js'
import type { Bench, Scenario } from './scenario.js'
import { sharedCache } from './shared-cache.js'
import { createSmall } from './small.js'
import { states } from './states.js'
import { tenants } from './tenants.js'

/** Nothing is started or filled before a scenario is prepared. */
export function allScenarios(bench: Bench): Scenario[] {
  const small = createSmall(bench)
  return [
    ...[appends, states, replays, histories].flatMap((scenarios) => scenarios(small)),
    ...[sharedCache, imports, growth, memory, directory, tenants, rebuilds, delivery, archive].flatMap((scenarios) =>
      scenarios(bench)
    )
  ]
}
