import { dataOf } from '../statements.js'
import { statePath } from './requests.js'
import type { Bench, Scenario } from './scenario.js'
import { replayLengths, type Small } from './small.js'

export function replays(prepare: () => Promise<Small>, { plan }: Bench): Scenario[] {
  return replayLengths(plan.quick).map((events) => ({
    name: `full replay of ${events} events`,
    unit: 'ms',
    prepare,
    measure: async () => {
      const { get, replayed } = await prepare()
      return await get('service', [`${statePath(replayed.get(events)!)}?useSnapshot=false`])
    },
    limits: [
      {
        name: 'SELECT of their data as text',
        ...(events === 5000 ? { bar: 2.5 } : {}),
        measure: async () => {
          const { raw, replayed } = await prepare()
          const plan = { kind: 'select', connections: 1, statement: dataOf(events) } as const
          return (await raw({ ...plan, users: [replayed.get(events)!] })).p50Ms
        }
      }
    ],
    ...(events === 5000 ? { atMost: 12 } : {})
  }))
}
