/**
 * What the dashboard keeps of the metrics of a process: a point for each look at it, made of the time just before. Where several
 * instances answer in turn, each look is compared with one at the same instance.
 */
import { bucketsOf, hitRateOf, increaseOf, quantileOf, type Sample, type Span, secondsOf } from './metric-numbers.js'

export type Quantiles = { p50: number | null; p99: number | null }

export type Point = {
  /** Unix time */
  second: number
  /** per second */
  conflicts: number
  /** seconds */
  append: Quantiles
  /** seconds; of replays that began at a snapshot or in the cache, and of those from all events */
  replay: { shortened: Quantiles; full: Quantiles }
  /** shares */
  cache: { process: number | null; shared: number | null }
}

/** Time of which a point is made, s. */
export const POINT_SECONDS = 30

/** `windowSeconds`: age of the oldest point that is kept. */
export function createMetricHistory({ windowSeconds }: { windowSeconds: number }) {
  let samples: Sample[] = []
  let points: Point[] = []
  return {
    /** Adds a look, later than those before, and gives all points, the earliest first. The first look at an instance makes none. */
    add(to: Sample): readonly Point[] {
      const now = Date.parse(to.at)
      const before = samples.filter(({ instance }) => instance === to.instance)
      const within = before.find(({ at }) => isRecent(at, now))
      // After a pause, such as that of a page that was hidden, there is only an older one.
      const from = within ?? before.at(-1)
      samples = [...samples.filter(({ at }) => isRecent(at, now)), to]
      if (from && now > Date.parse(from.at)) points = [...points, pointOf({ from, to })]
      points = points.filter(({ second }) => second > now / 1000 - windowSeconds)
      return points
    }
  }
}

const isRecent = (at: string, nowMs: number): boolean => nowMs - Date.parse(at) <= POINT_SECONDS * 1000

function pointOf(span: Span): Point {
  const replay = (useSnapshot: boolean) =>
    quantilesOf(span, 'event_replay_duration_seconds', { use_snapshot: String(useSnapshot) })
  return {
    second: Math.round(Date.parse(span.to.at) / 1000),
    conflicts: increaseOf(span, 'event_store_conflicts_total') / secondsOf(span),
    append: quantilesOf(span, 'event_store_save_duration_seconds'),
    replay: { shortened: replay(true), full: replay(false) },
    cache: { process: hitRateOf(span, 'process'), shared: hitRateOf(span, 'shared') }
  }
}

function quantilesOf(span: Span, histogram: string, where: Record<string, string> = {}): Quantiles {
  const buckets = bucketsOf(span, histogram, where)
  return { p50: quantileOf(0.5, buckets), p99: quantileOf(0.99, buckets) }
}
