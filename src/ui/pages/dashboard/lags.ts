/** How far each of those is behind who follow the log, out of the gauges of a process. */
import { type Sample, valuesOf } from './metric-numbers.js'

export type Lag = {
  name: string
  kind: 'subscription' | 'projection'
  events: number
  /** age of the oldest event that it has not passed; null: not known of projections */
  seconds: number | null
  /** what it owes: events to try again and users put aside */
  waiting: number
  /** given up; null: a projection gives up nothing */
  dead: number | null
}

/** Who is the furthest behind first. */
export function lagsOf(sample: Sample): Lag[] {
  const gauge = (series: string, where: Record<string, string>) => valuesOf(sample, series, where)[0]?.value ?? 0
  const subscriptions = valuesOf(sample, 'event_subscription_lag_events').map(({ labels, value }): Lag => {
    const where = { subscription: labels.subscription! }
    return {
      name: where.subscription,
      kind: 'subscription',
      events: value,
      seconds: gauge('event_subscription_lag_seconds', where),
      waiting: gauge('event_outbox_pending', where),
      dead: gauge('event_outbox_dead_letters', where)
    }
  })
  const projections = valuesOf(sample, 'event_projection_lag_events').map(({ labels, value }): Lag => {
    const where = { projection: labels.projection! }
    return {
      name: where.projection,
      kind: 'projection',
      events: value,
      seconds: null,
      waiting: gauge('event_projection_parked_users', where),
      dead: null
    }
  })
  return [...subscriptions, ...projections].sort((a, b) => b.events - a.events || a.name.localeCompare(b.name))
}
