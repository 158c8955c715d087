/** Snapshots of a user: which there are, whether they are used, and a new one. */
import { Camera } from 'lucide'
import { useState } from 'preact/hooks'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import type { Loaded } from '../../api/use-loaded.js'
import { Answer } from '../../components/answer.js'
import { Badge } from '../../components/badge.js'
import { Button } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { Empty } from '../../components/empty.js'
import { ErrorBox } from '../../components/error-box.js'
import { Icon } from '../../components/icon.js'
import { RelativeTime } from '../../components/relative-time.js'
import { type Column, Table } from '../../components/table.js'

export type SnapshotList = AnswerOf<'/users/{userId}/snapshots'>
type Snapshot = SnapshotList['snapshots'][number]

export function Snapshots({
  userId,
  loaded,
  onVersion
}: {
  userId: string
  loaded: Loaded<SnapshotList>
  onVersion: (version: number) => void
}) {
  const { api, can } = useSession()
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const [said, setSaid] = useState('')
  const mayTake = can(['snapshots:admin'])

  async function take(): Promise<void> {
    setBusy(true)
    setError(undefined)
    try {
      const asked = api.POST('/admin/users/{userId}/snapshots', { params: { path: { userId } }, body: {} })
      const { version } = await answerOf<{ version: number }>(asked)
      const { status } = (await asked).response
      setSaid(status === 201 ? `A snapshot of version ${version} was taken.` : `There is one of version ${version}.`)
      loaded.reload()
    } catch (err) {
      setError(err)
    }
    setBusy(false)
  }

  const columns: readonly Column<Snapshot>[] = [
    {
      name: 'Version',
      cell: ({ version }) => (
        <Button kind="quiet" onClick={() => onVersion(version)} title="Show the state at this version">
          {version}
        </Button>
      )
    },
    {
      name: 'Use',
      cell: ({ usable }) => (usable ? <Badge tone="good">usable</Badge> : <Badge tone="warn">stale</Badge>)
    },
    { name: 'Reason', cell: ({ metadata }) => metadata.reason },
    { name: 'Made', cell: ({ createdAt }) => <RelativeTime at={createdAt} exact /> }
  ]
  return (
    <Card
      title="Snapshots"
      actions={
        mayTake && (
          <Button busy={busy} onClick={take}>
            <Icon of={Camera} /> Take a snapshot
          </Button>
        )
      }
    >
      <p role="status">{said}</p>
      {error !== undefined && <ErrorBox error={error} />}
      <Answer of={loaded} what="snapshots">
        {({ snapshots }) =>
          snapshots.length === 0 ? (
            <Empty icon={Camera} title="There are no snapshots yet.">
              <p>One is made by itself every hundred events. They change how fast a state comes, never what it is.</p>
            </Empty>
          ) : (
            <Table caption="Snapshots" columns={columns} rows={snapshots} keyOf={({ id }) => id} />
          )
        }
      </Answer>
      {!mayTake && (
        <p class="fine">
          To take one, sign in with a key that has the scope <code>snapshots:admin</code>.
        </p>
      )}
    </Card>
  )
}
