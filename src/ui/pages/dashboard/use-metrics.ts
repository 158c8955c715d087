/** The metrics of the instance that answers, asked for every few seconds, and what became of them since the page was opened. */
import { useEffect, useRef, useState } from 'preact/hooks'
import { answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useEvery } from '../../api/use-every.js'
import { useLoaded } from '../../api/use-loaded.js'
import { createMetricHistory, type Point } from './metric-history.js'
import type { Sample } from './metric-numbers.js'

const LOOK_MS = 3000
export const WINDOW_SECONDS = 300

/** All that the dashboard shows: no others are asked of the database. */
const NAMES = [
  'event_store_conflicts_total',
  'event_store_save_duration_seconds',
  'event_replay_duration_seconds',
  'event_cache_requests_total',
  'event_subscription_lag_events',
  'event_subscription_lag_seconds',
  'event_outbox_pending',
  'event_outbox_dead_letters',
  'event_projection_lag_events',
  'event_projection_parked_users'
]

export type Metrics = {
  /** the newest look; undefined before the first */
  latest: Sample | undefined
  points: readonly Point[]
  /** how many instances have answered */
  instances: number
  error: unknown
  reload(): void
}

export function useMetrics(): Metrics {
  const { api } = useSession()
  const { data, error, reload } = useLoaded('metrics', (signal) =>
    answerOf<Sample>(api.GET('/admin/metrics', { params: { query: { name: NAMES } }, signal }))
  )
  useEvery(LOOK_MS, reload)
  const history = useRef(createMetricHistory({ windowSeconds: WINDOW_SECONDS }))
  const known = useRef(new Set<string>())
  const [shown, setShown] = useState<Pick<Metrics, 'latest' | 'points' | 'instances'>>({
    latest: undefined,
    points: [],
    instances: 0
  })
  useEffect(() => {
    if (!data) return
    known.current.add(data.instance)
    setShown({ latest: data, points: history.current.add(data), instances: known.current.size })
  }, [data])
  return { ...shown, error, reload }
}
