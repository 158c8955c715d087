/** Users whose events a projection could not apply. */
import { useState } from 'preact/hooks'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Answer } from '../../components/answer.js'
import { Button } from '../../components/button.js'
import { ConfirmDialog } from '../../components/dialog.js'
import { RelativeTime } from '../../components/relative-time.js'
import { type Column, Table } from '../../components/table.js'
import { eventPath } from '../user-id.js'

type Parked = AnswerOf<'/admin/projections/{name}/parked'>
type ParkedUser = Parked['users'][number]

const SHOWN_MAX = 100

export function ParkedUsers({ name, count, onChange }: { name: string; count: number; onChange: () => void }) {
  const { api } = useSession()
  /** undefined: nobody is asked about; null: all */
  const [asked, setAsked] = useState<string | null>()
  const found = useLoaded(`${name} ${count}`, (signal) =>
    answerOf<Parked>(
      api.GET('/admin/projections/{name}/parked', {
        params: { path: { name }, query: { limit: SHOWN_MAX } },
        signal
      })
    )
  )
  async function retry(): Promise<void> {
    await answerOf(
      api.POST('/admin/projections/{name}/parked/retry', {
        params: { path: { name } },
        body: asked ? { userId: asked } : {}
      })
    )
    found.reload()
    onChange()
  }
  const columns: readonly Column<ParkedUser>[] = [
    {
      name: 'User',
      cell: ({ userId, version }) => (
        <a href={eventPath(userId, version)} title="The event that holds the user up">
          <code>{userId}</code> version {version}
        </a>
      )
    },
    { name: 'Error', cell: ({ error }) => <span class="breakable">{error}</span> },
    { name: 'Since', cell: ({ since }) => <RelativeTime at={since} /> },
    {
      name: 'Actions',
      cell: ({ userId }) => (
        <Button onClick={() => setAsked(userId)} aria-label={`Retry ${userId}`}>
          Retry
        </Button>
      )
    }
  ]
  return (
    <Answer of={found} what="parked users">
      {({ users }) => (
        <>
          {count > users.length && <p class="fine">The first {users.length} are shown.</p>}
          <Table caption={`Parked users of ${name}`} columns={columns} rows={users} keyOf={({ userId }) => userId} />
          <Button onClick={() => setAsked(null)}>Retry all</Button>
          {asked !== undefined && (
            <ConfirmDialog
              title={asked === null ? 'Try all parked users again?' : 'Try this user again?'}
              confirm={asked === null ? 'Try all again' : 'Try again'}
              onConfirm={retry}
              onClose={() => setAsked(undefined)}
            >
              It is done within seconds. Those whose events can be applied by now are parked no more.
            </ConfirmDialog>
          )}
        </>
      )}
    </Answer>
  )
}
