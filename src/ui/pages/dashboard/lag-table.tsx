/** Who follows the log, and how far each is behind. */
import { Radio } from 'lucide'
import { Badge } from '../../components/badge.js'
import { Card } from '../../components/card.js'
import { Empty } from '../../components/empty.js'
import { brief, grouped } from '../../components/numbers.js'
import { type Column, Table } from '../../components/table.js'
import { type Lag, lagsOf } from './lags.js'
import type { Sample } from './metric-numbers.js'

/** Metrics count no further. */
const COUNTED_TO = 10_000
const counted = (count: number): string => (count >= COUNTED_TO ? `${grouped(COUNTED_TO)} or more` : grouped(count))

export function Lags({ sample }: { sample: Sample }) {
  const lags = lagsOf(sample)
  return (
    <Card title="Lag of subscriptions and projections" flush>
      {lags.length === 0 ? (
        <Empty icon={Radio} title="Nobody follows the log yet.">
          <p>
            Projections do once the service is started; a subscription is made with{' '}
            <code>POST /admin/subscriptions</code>.
          </p>
        </Empty>
      ) : (
        <Table
          caption="Lag of subscriptions and projections"
          columns={columns}
          rows={lags}
          keyOf={({ kind, name }) => `${kind} ${name}`}
        />
      )}
    </Card>
  )
}

const columns: readonly Column<Lag>[] = [
  { name: 'Follower', cell: ({ name }) => <span class="breakable strong">{name}</span> },
  { name: 'Kind', cell: ({ kind }) => <a href={`/ui/${kind}s`}>{kind}</a> },
  {
    name: 'Behind',
    cell: ({ events }) => (
      <span class="badges">{events === 0 ? <Badge tone="good">up to date</Badge> : `${grouped(events)} events`}</span>
    ),
    number: true
  },
  {
    name: 'Oldest',
    cell: ({ events, seconds }) => (seconds === null || events === 0 ? '–' : `${brief(seconds)} s`),
    number: true
  },
  { name: 'Waiting', cell: ({ waiting }) => counted(waiting), number: true },
  {
    name: 'Dead',
    cell: ({ dead }) => {
      if (dead === null) return '–'
      return dead > 0 ? <Badge tone="bad">{counted(dead)}</Badge> : 0
    },
    number: true
  }
]
