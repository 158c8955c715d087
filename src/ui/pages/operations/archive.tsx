/** Where the events are, how runs of the archive went, and starting one. */
import { Archive as ArchiveIcon } from 'lucide'
import { useState } from 'preact/hooks'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useEvery } from '../../api/use-every.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Allowed } from '../../components/allowed.js'
import { Answer } from '../../components/answer.js'
import { Badge, type Tone } from '../../components/badge.js'
import { Button } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { Empty } from '../../components/empty.js'
import { grouped, mebibytes } from '../../components/numbers.js'
import { Page } from '../../components/page.js'
import { RelativeTime } from '../../components/relative-time.js'
import { type Column, Table } from '../../components/table.js'
import { ArchiveRunDialog } from './archive-run-dialog.js'

type Archive = AnswerOf<'/admin/archive'>
type Run = Archive['runs'][number]
type Partition = Archive['partitions'][number]
type HeldBack = Archive['heldBackBy'][number]

const LOOK_MS = 10_000
/** While a run waits or is under way. */
const LOOK_CLOSELY_MS = 1000
const TONES: Record<Run['status'], Tone> = { waiting: 'neutral', running: 'info', done: 'good', failed: 'bad' }

export const ArchivePage = () => (
  <Page title="Archive" lead="Old events are moved out of the way; all reads answer as before.">
    <Allowed scopes={['events:admin', 'tenants:all']} what="see the archive">
      <ArchiveDetails />
    </Allowed>
  </Page>
)

function ArchiveDetails() {
  const { api } = useSession()
  const [asking, setAsking] = useState<'dry' | 'real' | null>(null)
  const found = useLoaded('archive', (signal) => answerOf<Archive>(api.GET('/admin/archive', { signal })))
  const busy = found.data?.runs.some(({ status }) => status === 'waiting' || status === 'running') ?? false
  useEvery(busy ? LOOK_CLOSELY_MS : LOOK_MS, found.reload)
  return (
    <Answer of={found} what="the archive">
      {({ hot, cold, offline, afterDays, nextRun, runs, partitions, heldBackBy }) => (
        <>
          <Card
            title="Where events are"
            actions={
              <>
                <Button disabled={busy} onClick={() => setAsking('dry')}>
                  Dry run
                </Button>
                <Button disabled={busy} onClick={() => setAsking('real')}>
                  Run now
                </Button>
              </>
            }
          >
            <dl class="facts">
              <dt>Hot</dt>
              <dd>
                {grouped(hot.events)} events, {mebibytes(hot.bytes)}
              </dd>
              <dt>Archived</dt>
              <dd>
                {grouped(cold.events)} events, {mebibytes(cold.bytes)}
              </dd>
              <dt>Offline</dt>
              <dd>{grouped(offline.events)} events</dd>
              <dt>Moved</dt>
              <dd>
                {afterDays === 0 ? 'only on request' : `after ${grouped(afterDays)} days`}
                {nextRun !== null && (
                  <>
                    , next <RelativeTime at={nextRun} exact />
                  </>
                )}
              </dd>
            </dl>
          </Card>
          <Card title="Runs" flush>
            {runs.length === 0 ? (
              <Empty icon={ArchiveIcon} title="There was no run yet.">
                <p>A dry run counts what would be moved, and moves nothing.</p>
              </Empty>
            ) : (
              <Table caption="Runs of the archive" columns={runColumns} rows={runs} keyOf={({ id }) => id} />
            )}
          </Card>
          {partitions.length > 0 && (
            <Card title="Partitions" flush>
              <Table caption="Partitions" columns={partitionColumns} rows={partitions} keyOf={({ name }) => name} />
            </Card>
          )}
          {heldBackBy.length > 0 && (
            <Card title="Furthest behind" flush>
              <Table
                caption="Followers beyond whose position nothing is moved"
                columns={heldColumns}
                rows={heldBackBy}
                keyOf={({ bucket }) => String(bucket)}
              />
            </Card>
          )}
          {asking && (
            <ArchiveRunDialog
              dryRun={asking === 'dry'}
              afterDays={afterDays}
              onDone={found.reload}
              onClose={() => setAsking(null)}
            />
          )}
        </>
      )}
    </Answer>
  )
}

const runColumns: readonly Column<Run>[] = [
  { name: 'Asked for', cell: ({ requestedAt }) => <RelativeTime at={requestedAt} /> },
  { name: 'Kind', cell: ({ dryRun, origin }) => `${dryRun ? 'dry run' : 'run'} by ${origin}` },
  {
    name: 'Status',
    cell: ({ status, error }) => (
      <span class="badges breakable">
        <Badge tone={TONES[status]}>{status}</Badge>
        {error}
      </span>
    )
  },
  { name: 'Older than', cell: ({ cutoff }) => <RelativeTime at={cutoff} /> },
  { name: 'Events', cell: ({ events }) => grouped(events), number: true }
]

const partitionColumns: readonly Column<Partition>[] = [
  { name: 'Partition', cell: ({ name }) => <code>{name}</code> },
  { name: 'From', cell: ({ from }) => from.slice(0, 10) },
  { name: 'To', cell: ({ to }) => to.slice(0, 10) },
  {
    name: 'Where',
    cell: ({ location, offlineAt }) => (
      <span class="breakable">{offlineAt === null ? 'in the database' : `offline: ${location ?? 'unknown'}`}</span>
    )
  },
  { name: 'Events', cell: ({ events }) => grouped(events), number: true },
  { name: 'Size', cell: ({ bytes }) => mebibytes(bytes), number: true }
]

const heldColumns: readonly Column<HeldBack>[] = [
  { name: 'Bucket', cell: ({ bucket }) => bucket, number: true },
  { name: 'Follower', cell: ({ follower }) => <span class="breakable">{follower}</span> },
  { name: 'Position', cell: ({ position }) => grouped(position), number: true },
  { name: 'Head', cell: ({ head }) => grouped(head), number: true }
]
