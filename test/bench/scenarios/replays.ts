import { dataOf } from '../statements.js'
import { statePath } from './requests.js'
import type { Scenario } from './scenario.js'
import { REPLAYED, type Small } from './small.js'

export function replays(prepare: () => Promise<Small>): Scenario[] {
  return REPLAYED.map((events) => ({
    name: `full replay of ${events} events`,
    unit: 'ms',
    prepare,
    slow: events === 1000 || events === 50_000,
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
