import { dataOf, HEAD, SNAPSHOT_AND_TAIL } from '../statements.js'
import { statePath } from './requests.js'
import type { Limit, Measure, Scenario } from './scenario.js'
import { MOMENT, type Small, VERSION } from './small.js'

export function states(prepare: () => Promise<Small>): Scenario[] {
  const rate =
    (server: 'service' | 'nothing'): Measure =>
    async () => {
      const { load, users } = await prepare()
      // The one user whose state the server that does nothing knows.
      const paths = (server === 'nothing' ? users.slice(1, 2) : users).map(statePath)
      return (await load({ server, connections: 64, method: 'GET', paths })).perSecond
    }
  const heads: Measure = async () => {
    const { raw, users } = await prepare()
    return (await raw({ kind: 'select', connections: 10, statement: HEAD, users })).perSecond
  }

  /** One client's reads, and its limits: a server that does nothing, and the rows by one statement. */
  function read(server: 'service' | 'cold', of: (small: Small) => string[], query: string, statement: string) {
    const asked = async (from: 'service' | 'cold' | 'nothing', pick: (ids: string[]) => string[]) => {
      const small = await prepare()
      return await small.get(
        from,
        pick(of(small)).map((id) => statePath(id) + query)
      )
    }
    const rows: Measure = async () => {
      const small = await prepare()
      return (await small.raw({ kind: 'select', connections: 1, statement, users: of(small) })).p50Ms
    }
    const limits: [Limit, Limit] = [
      { name: 'GET that does nothing', measure: () => asked('nothing', (ids) => ids.slice(0, 1)) },
      { name: 'SELECT of the rows as text', measure: rows }
    ]
    return { unit: 'ms', prepare, measure: () => asked(server, (ids) => ids), limits } as const
  }

  /** All but the one that appends were tried on. */
  const others = ({ users }: Small): string[] => users.slice(1)
  return [
    {
      name: 'state, cached, 64 clients',
      unit: 'rate',
      prepare,
      measure: rate('service'),
      limits: [
        { name: 'GET that does nothing', measure: rate('nothing'), bar: 0.85 },
        { name: 'SELECT of the head, 10 connections', measure: heads }
      ]
    },
    {
      name: 'state, snapshot + 50 events, not cached',
      ...read('cold', ({ snapshotted }) => snapshotted, '', SNAPSHOT_AND_TAIL),
      atMost: 2.5
    },
    {
      name: `time travel to version ${VERSION}, not cached`,
      ...read('cold', others, `?version=${VERSION}`, dataOf(VERSION))
    },
    { name: 'time travel to a moment', ...read('service', others, MOMENT, SNAPSHOT_AND_TAIL) }
  ]
}
