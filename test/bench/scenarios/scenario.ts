/** What a scenario is: one thing that is measured, against limits of the same run. */
import type { Machine } from '../machine.js'

/** One number: `rate` is better when larger (per second), `ms` and `MB` when smaller. */
export type Measure = () => Promise<number>

export type Limit = {
  name: string
  measure: Measure
  /** ours over the limit; at least this for a rate, at most this for what is better when smaller */
  bar?: number
}

export type Scenario = {
  name: string
  unit: 'rate' | 'ms' | 'MB'
  /** Fills databases and starts servers, once for all scenarios that share them; called before the first round. */
  prepare: () => Promise<unknown>
  measure: Measure
  /** at least one */
  limits: [Limit, ...Limit[]]
  /** absolute bar: at most this */
  atMost?: number
  /** absolute bar of a rate: at least this, per second */
  atLeast?: number
  /** rounds it is measured in, when fewer than all; then it needs no round to warm up */
  rounds?: number
  /** measured once, after all rounds: it ends what others measure */
  lastly?: boolean
  /** takes long, so `--quick` leaves it out unless `--only` names it */
  slow?: boolean
}

export type Plan = {
  /** how long what is not counted is measured, ms */
  durationMs: number
  quick: boolean
  /** rounds that count */
  rounds: number
  /** events of the large database; 0: leave growth out */
  growTo: number
}

/** What scenarios are made of. The machine is brought when the first of them prepares. */
export type Bench = { bring: () => Promise<Machine>; plan: Plan; note: (text: string) => void }
