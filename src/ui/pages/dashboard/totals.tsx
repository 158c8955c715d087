/** How many events there are of each type, and how much room they take. */
import { type AnswerOf, answerOf } from '../../api/client.js'
import { OPERATOR, useSession } from '../../api/session.js'
import { useEvery } from '../../api/use-every.js'
import { type Loaded, useLoaded } from '../../api/use-loaded.js'
import { Answer } from '../../components/answer.js'
import { Card } from '../../components/card.js'
import { grouped, mebibytes } from '../../components/numbers.js'
import { RelativeTime } from '../../components/relative-time.js'
import { type Column, Table } from '../../components/table.js'

type Statistics = AnswerOf<'/stats/events'>
type OfType = { eventType: string; count: number; share: number }

const LOOK_MS = 5000
/** Counting the archive is more work. */
const LOOK_AT_ARCHIVE_MS = 30_000

export function Totals() {
  const { api, can } = useSession()
  const found = useLoaded('statistics', (signal) => answerOf<Statistics>(api.GET('/stats/events', { signal })))
  // After an error as well: what is shown here may hang on a wall.
  useEvery(LOOK_MS, found.reload)
  return (
    <div class="side-by-side">
      <ByType of={found} />
      <Card title="Storage" actions={can(OPERATOR) && <a href="/ui/archive">Archive</a>}>
        <Answer of={found} what="the storage">
          {({ totalEvents, totalUsers, newestEvent, storageBytes }) => (
            <dl class="facts">
              <dt>Events</dt>
              <dd>{grouped(totalEvents)}</dd>
              <dt>Users</dt>
              <dd>{grouped(totalUsers)} ever created</dd>
              {newestEvent !== null && (
                <>
                  <dt>Newest</dt>
                  <dd>
                    <RelativeTime at={newestEvent} />
                  </dd>
                </>
              )}
              <dt>Room</dt>
              <dd>{mebibytes(storageBytes)}, all tenants together</dd>
            </dl>
          )}
        </Answer>
        {can(OPERATOR) ? (
          <Tiers />
        ) : (
          <p class="soft below">
            How much of it is archived takes the scopes <code>events:admin</code> and <code>tenants:all</code>.
          </p>
        )}
      </Card>
    </div>
  )
}

function ByType({ of }: { of: Loaded<Statistics> }) {
  return (
    <Card title="Events by type" flush>
      <Answer of={of} what="counts">
        {({ eventsByType, totalEvents }) => {
          const rows = Object.entries(eventsByType)
            .map(([eventType, count]): OfType => ({ eventType, count, share: count / totalEvents }))
            .sort((a, b) => b.count - a.count || a.eventType.localeCompare(b.eventType))
          return rows.length === 0 ? (
            <p class="card-body soft">There are no events yet.</p>
          ) : (
            <Table caption="Events by type" columns={columns} rows={rows} keyOf={({ eventType }) => eventType} />
          )
        }}
      </Answer>
    </Card>
  )
}

const sayShare = (share: number): string =>
  share < 0.001 ? '< 0.1%' : share.toLocaleString('en', { style: 'percent', maximumFractionDigits: 1 })

const columns: readonly Column<OfType>[] = [
  { name: 'Type', cell: ({ eventType }) => <span class="breakable">{eventType}</span> },
  { name: 'Events', cell: ({ count }) => grouped(count), number: true },
  {
    name: 'Share',
    cell: ({ share }) => (
      <span class="share">
        <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
          <rect class="share-all" width={100} height={6} />
          <rect class="share-part" width={100 * share} height={6} />
        </svg>
        <span class="share-number">{sayShare(share)}</span>
      </span>
    ),
    number: true
  }
]

function Tiers() {
  const { api } = useSession()
  const found = useLoaded('tiers', (signal) =>
    answerOf<AnswerOf<'/admin/archive'>>(api.GET('/admin/archive', { signal }))
  )
  useEvery(LOOK_AT_ARCHIVE_MS, found.reload)
  return (
    <Answer of={found} what="the archive">
      {({ hot, cold, offline }) => (
        <dl class="facts below">
          <dt>Hot</dt>
          <dd>
            {grouped(hot.events)} events, {mebibytes(hot.bytes)}
          </dd>
          <dt>Cold</dt>
          <dd>
            {grouped(cold.events)} events, {mebibytes(cold.bytes)}
          </dd>
          {offline.events > 0 && (
            <>
              <dt>Offline</dt>
              <dd>{grouped(offline.events)} events</dd>
            </>
          )}
        </dl>
      )}
    </Answer>
  )
}
