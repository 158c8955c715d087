import { copyOf, pageOf, STATISTICS } from '../statements.js'
import { appendTo, EVENT_DATA, eventsPath, NDJSON, snapshot } from './requests.js'
import type { Measure, Scenario } from './scenario.js'
import { PAGE_EVENTS, type Small } from './small.js'

const SNAPSHOTS = 21

export function histories(prepare: () => Promise<Small>): Scenario[] {
  const userOf = ({ replayed }: Small): string => replayed.get(5000)!
  const get =
    (server: 'service' | 'nothing', pathOf: (small: Small) => string, headers = {}): Measure =>
    async () => {
      const small = await prepare()
      return await small.get(server, [pathOf(small)], headers)
    }
  const page = (small: Small): string => `${eventsPath(userOf(small))}?limit=${PAGE_EVENTS}`
  const history = (small: Small): string => eventsPath(userOf(small))
  const statistics = (): string => '/stats/events'
  const select =
    (statement: string, of?: (small: Small) => string): Measure =>
    async () => {
      const small = await prepare()
      const users = of ? { users: [of(small)] } : {}
      return (await small.raw({ kind: 'select', connections: 1, statement, ...users })).p50Ms
    }
  const copy: Measure = async () => {
    const small = await prepare()
    return (await small.raw({ kind: 'copy', connections: 1, statement: copyOf(userOf(small)) })).p50Ms
  }
  const commit: Measure = async () => {
    const { raw } = await prepare()
    return (await raw({ kind: 'insert', connections: 1, rows: 1, eventData: JSON.stringify(EVENT_DATA) })).p50Ms
  }
  /** Median time of a snapshot that has one event to fold. */
  const snapshots =
    (server: 'service' | 'nothing'): Measure =>
    async () => {
      const { servers, replayed } = await prepare()
      const userId = [...replayed.values()].at(-1)!
      const times: number[] = []
      for (let i = 0; i < SNAPSHOTS; i++) {
        await appendTo(servers[server], [userId], 1)
        times.push(await snapshot(servers[server], userId))
      }
      return times.sort((a, b) => a - b)[Math.floor(SNAPSHOTS / 2)]!
    }
  const common = { unit: 'ms', prepare } as const

  return [
    {
      ...common,
      name: `history, page of ${PAGE_EVENTS} events`,
      measure: get('service', page),
      limits: [
        { name: 'GET that does nothing', measure: get('nothing', page) },
        { name: 'SELECT of the rows as text', measure: select(pageOf(PAGE_EVENTS), userOf) }
      ]
    },
    {
      ...common,
      name: 'history, 5,000 events as NDJSON',
      measure: get('service', history, NDJSON),
      limits: [
        { name: 'stream that reads nothing', measure: get('nothing', history, NDJSON) },
        { name: 'COPY of the rows out', measure: copy }
      ]
    },
    {
      ...common,
      name: 'snapshot of a long user after 1 event',
      measure: snapshots('service'),
      atMost: 5,
      limits: [
        { name: 'POST that does nothing', measure: snapshots('nothing') },
        { name: 'one-row commit', measure: commit }
      ]
    },
    {
      ...common,
      name: 'statistics of events',
      measure: get('service', statistics),
      limits: [
        { name: 'GET that does nothing', measure: get('nothing', statistics) },
        { name: 'SELECT of the counts', measure: select(STATISTICS) }
      ]
    }
  ]
}
