/** What a scenario is: one thing that is measured, against limits of the same run. */
/** One number: `rate` is better when larger (per second), `ms` when smaller. */
export type Measure = () => Promise<number>

export type Limit = {
  name: string
  measure: Measure /** ours over the limit; at least this for a rate, at most this for a time */
  bar?: number
}

export type Scenario = {
  name: string
  unit: 'rate' | 'ms' | 'MB'
  measure: Measure
  limits: Limit[]
  /** absolute bar: at most this */
  atMost?: number
  /** absolute bar of a rate: at least this, per second */
  atLeast?: number
  /** measured once, not in every round */
  once?: boolean
}

export type Plan = {
  durationMs: number
  quick: boolean
  /** part of the names of the scenarios that are wanted; all when absent */
  only?: string | undefined
  /** events of the large database; 0: leave growth out */
  growTo: number
}
