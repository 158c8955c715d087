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
  /** measured once, not in every round */
  once?: boolean
}

export type Plan = {
  durationMs: number
  quick: boolean /** events of the large database; 0: leave growth out */
  growTo: number
}
