/** What holds back those who follow the log, and transactions for which others wait. */
import { CircleCheck } from 'lucide'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useEvery } from '../../api/use-every.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Answer } from '../../components/answer.js'
import { Card } from '../../components/card.js'
import { Empty } from '../../components/empty.js'
import { type Column, Table } from '../../components/table.js'

type Status = AnswerOf<'/admin/status'>
type Follower = NonNullable<Status['followers']>[number]
type Held = Follower['holdups'][number] & Pick<Follower, 'name' | 'kind' | 'lagEvents'>
type Blocking = Status['blocking'][number]

const LOOK_MS = 10_000

export function Holdups() {
  const { api } = useSession()
  const found = useLoaded('status', (signal) => answerOf<Status>(api.GET('/admin/status', { signal })))
  useEvery(LOOK_MS, found.reload)
  return (
    <Card title="What holds it up" flush>
      <Answer of={found} what="the status">
        {({ followers, unread, blocking }) => {
          const held: Held[] = (followers ?? []).flatMap(({ holdups, name, kind, lagEvents }) =>
            holdups.map((holdup) => ({ ...holdup, name, kind, lagEvents }))
          )
          return (
            <>
              {unread !== null && <p class="card-body breakable">The followers could not be read: {unread}</p>}
              {held.length > 0 && (
                <Table
                  caption="Followers that are held back"
                  columns={heldColumns}
                  rows={held}
                  keyOf={({ kind, name, code, userId }) => `${kind} ${name} ${code} ${userId}`}
                />
              )}
              {blocking.length > 0 && (
                <Table
                  caption="Transactions for which others wait"
                  columns={blockingColumns}
                  rows={blocking}
                  keyOf={({ pid }) => String(pid)}
                />
              )}
              {unread === null && held.length === 0 && blocking.length === 0 && (
                <Empty icon={CircleCheck} title="Nothing holds anybody up." />
              )}
            </>
          )
        }}
      </Answer>
    </Card>
  )
}

const heldColumns: readonly Column<Held>[] = [
  {
    name: 'Follower',
    cell: ({ name, kind }) => (
      <span class="breakable">
        {name} {kind !== name && <span class="fine">{kind}</span>}
      </span>
    )
  },
  { name: 'Why', cell: ({ code }) => <code>{code}</code> },
  { name: 'What to do', cell: ({ detail }) => <span class="breakable">{detail}</span> },
  { name: 'Behind', cell: ({ lagEvents }) => lagEvents.toLocaleString('en'), number: true }
]

const blockingColumns: readonly Column<Blocking>[] = [
  { name: 'Process', cell: ({ pid }) => <code>{pid}</code> },
  { name: 'Application', cell: ({ application }) => <span class="breakable">{application || 'unnamed'}</span> },
  { name: 'Session', cell: ({ state }) => state ?? 'unknown' },
  {
    name: 'Open for',
    cell: ({ transactionSeconds }) => (transactionSeconds === null ? 'unknown' : `${Math.round(transactionSeconds)} s`),
    number: true
  },
  {
    name: 'Waiting',
    cell: ({ waiting, waitingSeconds }) => `${waiting}, for ${Math.round(waitingSeconds)} s`,
    number: true
  }
]
