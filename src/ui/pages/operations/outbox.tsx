/** What a subscription owes: dead letters, what will be tried again, and what was given up. */
import { MailCheck } from 'lucide'
import { useEffect, useRef, useState } from 'preact/hooks'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { usePages } from '../../api/use-loaded.js'
import { Badge, type Tone } from '../../components/badge.js'
import { Button } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { Empty } from '../../components/empty.js'
import { Select } from '../../components/field.js'
import { More } from '../../components/more.js'
import { RelativeTime } from '../../components/relative-time.js'
import { type Column, Table } from '../../components/table.js'
import { useQuery } from '../../shell/use-query.js'
import { eventPath } from '../user-id.js'
import { type Choice, DiscardDialog, OwedDialog, RetryDialog } from './outbox-dialogs.js'
import { addressed, type Named } from './subscription.js'

type OwedPage = AnswerOf<'/admin/subscriptions/{name}/outbox'>
export type Owed = OwedPage['owed'][number]
type Asked = { what: 'read' | 'retry' | 'discard'; choice: Choice }

const PAGE = 50
const STATUSES = [
  { value: 'dead', label: 'Dead letters' },
  { value: 'pending', label: 'Tried again' },
  { value: 'discarded', label: 'Discarded' }
] as const
const TONES: Record<Owed['status'], Tone> = { dead: 'bad', pending: 'warn', discarded: 'neutral' }

/** `signature` changes when what is owed may have: the list is read again. */
export function Outbox({ named, signature, onChange }: { named: Named; signature: string; onChange: () => void }) {
  const { api } = useSession()
  const [query, change] = useQuery()
  const [asked, setAsked] = useState<Asked | null>(null)
  const status = STATUSES.find(({ value }) => value === query.get('status'))?.value ?? 'dead'
  const found = usePages(
    status,
    (cursor, signal) =>
      answerOf<OwedPage>(
        api.GET('/admin/subscriptions/{name}/outbox', {
          params: {
            path: { name: named.name },
            query: { ...addressed(named).query, status, limit: PAGE, ...(cursor !== undefined && { cursor }) }
          },
          signal
        })
      ),
    ({ owed }) => owed
  )
  const reload = useRef(found.reload)
  reload.current = found.reload
  const known = useRef(signature)
  useEffect(() => {
    if (known.current === signature) return
    known.current = signature
    reload.current()
  }, [signature])

  const done = () => {
    found.reload()
    onChange()
  }
  const columns: readonly Column<Owed>[] = [
    {
      name: 'Event',
      cell: ({ userId, version }) => (
        <a href={eventPath(userId, version)}>
          <code>{userId}</code> version {version}
        </a>
      )
    },
    {
      name: 'Status',
      cell: (owed) => (
        <span class="badges">
          <Badge tone={TONES[owed.status]}>{owed.status}</Badge>
        </span>
      )
    },
    {
      name: 'Said',
      cell: ({ lastError, attempts }) => (
        <span class="breakable">
          {lastError ?? 'nothing yet'} <span class="fine">after {attempts} tries</span>
        </span>
      )
    },
    { name: 'Passed', cell: ({ createdAt }) => <RelativeTime at={createdAt} /> },
    {
      name: 'Actions',
      cell: ({ userId, version, status }) => (
        <div class="actions">
          {(['read', 'retry', 'discard'] as const)
            .filter((what) => what === 'read' || status !== 'discarded')
            .map((what) => (
              <Button
                key={what}
                onClick={() => setAsked({ what, choice: { userId, version } })}
                aria-label={`${LABELS[what]} version ${version} of ${userId}`}
              >
                {LABELS[what]}
              </Button>
            ))}
        </div>
      )
    }
  ]
  return (
    <Card
      title="Outbox"
      flush
      actions={
        status === 'dead' &&
        found.items.length > 0 && (
          <>
            <Button onClick={() => setAsked({ what: 'retry', choice: {} })}>Retry all</Button>
            <Button onClick={() => setAsked({ what: 'discard', choice: {} })}>Discard all</Button>
          </>
        )
      }
    >
      <div class="card-body">
        <Select
          label="Show"
          value={status}
          choices={STATUSES}
          onChange={(value) => change({ status: value === 'dead' ? null : value })}
        />
      </div>
      {found.items.length > 0 && (
        <Table caption="Owed events" columns={columns} rows={found.items} keyOf={(o) => `${o.userId} ${o.version}`} />
      )}
      {found.items.length === 0 && !found.loading && found.error === undefined && (
        <Empty icon={MailCheck} title="Nothing of this kind.">
          <p>
            {status === 'dead'
              ? 'No event was given up after its last try.'
              : status === 'pending'
                ? 'No event waits for another try.'
                : 'No dead letter was discarded.'}
          </p>
        </Empty>
      )}
      <More pages={found} what="owed events" />
      {asked?.what === 'read' && <OwedDialog named={named} choice={asked.choice} onClose={() => setAsked(null)} />}
      {asked?.what === 'retry' && (
        <RetryDialog named={named} choice={asked.choice} onDone={done} onClose={() => setAsked(null)} />
      )}
      {asked?.what === 'discard' && (
        <DiscardDialog named={named} choice={asked.choice} onDone={done} onClose={() => setAsked(null)} />
      )}
    </Card>
  )
}

const LABELS = { read: 'Look', retry: 'Retry', discard: 'Discard' }
