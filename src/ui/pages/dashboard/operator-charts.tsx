/** For operators: conflicts, latencies and caches of the process that answers, and who is how far behind. */
import type { ComponentChildren } from 'preact'
import { Card } from '../../components/card.js'
import { Chart, type Line } from '../../components/chart.js'
import { ErrorBox } from '../../components/error-box.js'
import { Loading } from '../../components/loading.js'
import { brief, grouped } from '../../components/numbers.js'
import { Lags } from './lag-table.js'
import { POINT_SECONDS, type Point, type Quantiles } from './metric-history.js'
import { type Sample, totalOf } from './metric-numbers.js'
import { useMetrics, WINDOW_SECONDS } from './use-metrics.js'

const RECENTLY = `in the last ${POINT_SECONDS} s`

/** 0.0012 is `1.2 ms`. */
const duration = (seconds: number): string => (seconds < 1 ? `${brief(seconds * 1000)} ms` : `${brief(seconds)} s`)
const percent = (share: number): string => share.toLocaleString('en', { style: 'percent', maximumFractionDigits: 0 })

export function OperatorCharts() {
  const { latest, points, instances, error, reload } = useMetrics()
  return (
    <>
      <Card title="Process" actions={latest && <Instance id={latest.instance} instances={instances} />}>
        {error !== undefined && <ErrorBox error={error} onRetry={reload} />}
        {!latest && error === undefined && <Loading what="Loading metrics" />}
        {latest && (
          <div class="charts">
            <Conflicts latest={latest} points={points} />
            <AppendLatency points={points} />
            <ReplayLatency points={points} />
            <CacheHits latest={latest} points={points} />
          </div>
        )}
      </Card>
      {latest && <Lags sample={latest} />}
    </>
  )
}

/** What is counted is counted by each process for itself. */
const Instance = ({ id, instances }: { id: string; instances: number }) => (
  <span class="fine">
    instance <code title={id}>{id.slice(0, 8)}</code>
    {instances > 1 && `, one of ${instances} that answer in turn`}
  </span>
)

type Drawn = { points: readonly Point[] }

function Conflicts({ latest, points }: Drawn & { latest: Sample }) {
  const sinceStart = `${grouped(totalOf(latest, 'event_store_conflicts_total'))} since the process started`
  const now = points.at(-1)
  return (
    <Over
      title="Conflicts per second"
      summary={now ? `${brief(now.conflicts)} per second ${RECENTLY}, ${sinceStart}` : sinceStart}
      points={points}
      lines={[{ label: 'appends refused', tone: 'bad', filled: true, of: ({ conflicts }) => conflicts }]}
      format={brief}
    />
  )
}

const AppendLatency = ({ points }: Drawn) => (
  <Over
    title="Append latency"
    summary={sayQuantiles(points.at(-1)?.append) ?? `No append ${RECENTLY}`}
    points={points}
    lines={[
      { label: 'p99', tone: 'accent', of: ({ append }) => append.p99 },
      { label: 'p50', tone: 'accent', dashed: true, of: ({ append }) => append.p50 }
    ]}
    format={duration}
  />
)

function ReplayLatency({ points }: Drawn) {
  const now = points.at(-1)?.replay
  const said = [
    ['cache or snapshot', sayQuantiles(now?.shortened)],
    ['all events', sayQuantiles(now?.full)]
  ].flatMap(([path, quantiles]) => (quantiles ? [`from ${path} ${quantiles}`] : []))
  return (
    <Over
      title="Replay latency by path"
      summary={said.length > 0 ? said.join(', ') : `No replay ${RECENTLY}`}
      points={points}
      lines={[
        { label: 'cache or snapshot p99', tone: 'accent', of: ({ replay }) => replay.shortened.p99 },
        { label: 'cache or snapshot p50', tone: 'accent', dashed: true, of: ({ replay }) => replay.shortened.p50 },
        { label: 'all events p99', tone: 'good', of: ({ replay }) => replay.full.p99 },
        { label: 'all events p50', tone: 'good', dashed: true, of: ({ replay }) => replay.full.p50 }
      ]}
      format={duration}
    />
  )
}

/** The shared cache is shown where there is one. */
function CacheHits({ latest, points }: Drawn & { latest: Sample }) {
  const shared = totalOf(latest, 'event_cache_requests_total', { tier: 'shared' }) > 0
  const now = points.at(-1)?.cache
  const said = [
    ['process', now?.process],
    ['shared', now?.shared]
  ].flatMap(([tier, share]) => (typeof share === 'number' ? [`${tier} ${percent(share)}`] : []))
  return (
    <Over
      title="Cache hits by tier"
      summary={said.length > 0 ? `${said.join(', ')} ${RECENTLY}` : `No look into a cache ${RECENTLY}`}
      points={points}
      lines={[
        { label: 'process', tone: 'accent', of: ({ cache }) => cache.process },
        ...(shared
          ? [{ label: 'shared', tone: 'good', dashed: true, of: ({ cache }: Point) => cache.shared } as const]
          : [])
      ]}
      format={percent}
    />
  )
}

const sayQuantiles = (quantiles: Quantiles | undefined): string | null =>
  quantiles && quantiles.p50 !== null && quantiles.p99 !== null
    ? `p50 ${duration(quantiles.p50)}, p99 ${duration(quantiles.p99)}`
    : null

type LineOver = Omit<Line, 'values'> & { of: (point: Point) => number | null }

/** A chart over the whole window, also before it is full. */
function Over({
  points,
  lines,
  ...rest
}: {
  title: string
  summary: string
  points: readonly Point[]
  lines: readonly LineOver[]
  format: (value: number) => string
}): ComponentChildren {
  const end = points.at(-1)?.second ?? 0
  const begin = end - WINDOW_SECONDS
  const padded = points[0]?.second === begin ? 0 : 1
  return (
    <Chart
      {...rest}
      seconds={[...(padded ? [begin] : []), ...points.map(({ second }) => second)]}
      lines={lines.map(({ of, ...line }) => ({ ...line, values: [...(padded ? [null] : []), ...points.map(of)] }))}
    />
  )
}
