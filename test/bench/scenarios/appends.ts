import { bodyOf, EVENT_DATA, eventsPath, JSON_BODY } from './requests.js'
import type { Measure, Scenario } from './scenario.js'
import type { Small } from './small.js'

export function appends(prepare: () => Promise<Small>): Scenario[] {
  const post =
    (server: 'service' | 'nothing', connections: number, events: number, users?: number): Measure =>
    async () => {
      const small = await prepare()
      const paths = small.users.slice(0, users).map(eventsPath)
      const plan = { server, connections, method: 'POST', paths, headers: JSON_BODY, body: bodyOf(events) } as const
      return (await small.load(plan)).perSecond * events
    }
  const inserts =
    (connections: number, rows: number): Measure =>
    async () => {
      const { raw } = await prepare()
      return (await raw({ kind: 'insert', connections, rows, eventData: JSON.stringify(EVENT_DATA) })).perSecond * rows
    }
  const common = { unit: 'rate', prepare } as const

  return [
    {
      ...common,
      name: 'append 1 event, 1 client',
      measure: post('service', 1, 1),
      limits: [
        { name: 'one-row commits, 1 connection', measure: inserts(1, 1), bar: 0.5 },
        { name: 'POST that does nothing', measure: post('nothing', 1, 1) }
      ]
    },
    {
      ...common,
      name: 'append 1 event, 16 clients',
      slow: true,
      measure: post('service', 16, 1),
      limits: [
        { name: 'POST that does nothing', measure: post('nothing', 16, 1) },
        { name: 'one-row commits, 16 connections', measure: inserts(16, 1) }
      ]
    },
    {
      ...common,
      name: 'append 1 event, 64 clients',
      measure: post('service', 64, 1),
      limits: [
        { name: 'POST that does nothing', measure: post('nothing', 64, 1), bar: 0.8 },
        { name: 'one-row commits, 64 connections', measure: inserts(64, 1), bar: 1.6 }
      ]
    },
    {
      ...common,
      name: 'append 1 event, 256 clients',
      measure: post('service', 256, 1),
      limits: [{ name: 'POST that does nothing', measure: post('nothing', 256, 1), bar: 0.85 }]
    },
    {
      ...common,
      name: 'append 100 events, 16 clients (events)',
      measure: post('service', 16, 100),
      limits: [
        { name: 'inserts of 100 rows, 16 connections', measure: inserts(16, 100), bar: 0.5 },
        { name: 'POST that does nothing', measure: post('nothing', 16, 100) }
      ]
    },
    {
      ...common,
      name: 'append to one user, 64 clients',
      measure: post('service', 64, 1, 1),
      limits: [{ name: 'POST that does nothing', measure: post('nothing', 64, 1, 1) }]
    }
  ]
}
