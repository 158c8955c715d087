/** Events per second, and the newest events, as they come. */
import { Inbox, Pause, Play } from 'lucide'
import { useState } from 'preact/hooks'
import type { Event } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { Badge } from '../../components/badge.js'
import { Button } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { Chart } from '../../components/chart.js'
import { Empty } from '../../components/empty.js'
import { ErrorBox } from '../../components/error-box.js'
import { Icon } from '../../components/icon.js'
import { Loading } from '../../components/loading.js'
import { brief, grouped } from '../../components/numbers.js'
import { RelativeTime } from '../../components/relative-time.js'
import { type Column, Table } from '../../components/table.js'
import { userPath } from '../user-id.js'
import { peakOf, type Recent, rateOf } from './recent-events.js'
import { type Live, type LiveState, useLiveEvents, WINDOW_SECONDS } from './use-live-events.js'

/** Over which the rate of now is taken. */
const NOW_SECONDS = 10

export function LiveEvents() {
  const { can } = useSession()
  const live = useLiveEvents()
  const [held, setHeld] = useState<Recent<Event> | null>(null)
  const { newest, seconds, counts } = held ?? live
  const columns = can(['state:read']) ? linked : plain
  return (
    <Card
      title="Live events"
      actions={
        <>
          <Connection state={live.state} held={held !== null} />
          <Button onClick={() => setHeld(held ? null : live)} aria-pressed={held !== null}>
            <Icon of={held ? Play : Pause} /> Pause
          </Button>
        </>
      }
      flush
    >
      <Trouble live={live} />
      <div class="card-body">
        <Chart
          title="Events per second"
          summary={sayRate(counts)}
          seconds={seconds}
          lines={[{ label: 'events per second', tone: 'accent', filled: true, values: counts }]}
          format={brief}
        />
      </div>
      {newest.length > 0 && <Table caption="Newest events" columns={columns} rows={newest} keyOf={({ id }) => id} />}
      {newest.length === 0 && live.state.at === 'connecting' && live.state.error === null && (
        <Loading what="Connecting" />
      )}
      {newest.length === 0 && live.state.at === 'live' && (
        <Empty icon={Inbox} title="There are no events yet.">
          <p>
            They show here as they come. The first is a <code>UserCreated</code>, sent to{' '}
            <code>POST /users/&#123;id&#125;/events</code>.
          </p>
        </Empty>
      )}
    </Card>
  )
}

function Connection({ state, held }: { state: LiveState; held: boolean }) {
  const [tone, word] = held ? (['neutral', 'paused'] as const) : WORDS[state.at]
  return (
    <span role="status">
      <Badge tone={tone}>{word}</Badge>
    </span>
  )
}

const WORDS = {
  connecting: ['neutral', 'connecting'],
  live: ['good', 'live'],
  waiting: ['warn', 'reconnecting'],
  failed: ['bad', 'stopped']
} as const

/** Why nothing comes. A connection that was just cut is no trouble yet: it is made anew. */
function Trouble({ live: { state, retry } }: { live: Live }) {
  if (state.at === 'live' || state.error === null) return null
  return (
    <div class="card-body">
      <ErrorBox error={state.error} onRetry={retry} />
    </div>
  )
}

function sayRate(counts: readonly (number | null)[]): string {
  const [now, peak] = [rateOf(counts, NOW_SECONDS), peakOf(counts)]
  if (now === null || peak === null) return 'Nothing is counted yet.'
  return `${brief(now)} per second in the last ${NOW_SECONDS} s, at most ${grouped(peak)} in the last ${WINDOW_SECONDS / 60} min`
}

const time: Column<Event> = { name: 'Recorded', cell: ({ createdAt }) => <RelativeTime at={createdAt} /> }
const type: Column<Event> = { name: 'Type', cell: ({ eventType }) => <span class="breakable">{eventType}</span> }
const version: Column<Event> = { name: 'Version', cell: ({ version }) => grouped(version), number: true }

const plain: readonly Column<Event>[] = [
  time,
  type,
  { name: 'User', cell: ({ aggregateId }) => <code>{aggregateId}</code> },
  version
]
const linked: readonly Column<Event>[] = [
  time,
  type,
  {
    name: 'User',
    cell: ({ aggregateId }) => (
      <a href={userPath(aggregateId)}>
        <code>{aggregateId}</code>
      </a>
    )
  },
  version
]
