/** API keys of the tenant: who has one, making one, revoking one. */
import { KeyRound, Plus } from 'lucide'
import { useState } from 'preact/hooks'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Allowed } from '../../components/allowed.js'
import { Answer } from '../../components/answer.js'
import { Badge } from '../../components/badge.js'
import { Button } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { ConfirmDialog } from '../../components/dialog.js'
import { Empty } from '../../components/empty.js'
import { Icon } from '../../components/icon.js'
import { Page } from '../../components/page.js'
import { RelativeTime } from '../../components/relative-time.js'
import { type Column, Table } from '../../components/table.js'
import { NewKeyDialog } from './new-key-dialog.js'

type Keys = AnswerOf<'/admin/api-keys'>
type Key = Keys['keys'][number]

export const ApiKeysPage = () => (
  <Page title="API keys" lead="Who may use the API, and for what.">
    <Allowed scopes={['events:admin']} what="see API keys">
      <KeyList />
    </Allowed>
  </Page>
)

function KeyList() {
  const { api } = useSession()
  const [making, setMaking] = useState(false)
  const [revoking, setRevoking] = useState<Key | null>(null)
  const found = useLoaded('keys', (signal) => answerOf<Keys>(api.GET('/admin/api-keys', { signal })))
  async function revoke({ id }: Key): Promise<void> {
    await answerOf(api.DELETE('/admin/api-keys/{id}', { params: { path: { id } } }))
    found.reload()
  }
  return (
    <Card
      title="Keys"
      flush
      actions={
        <Button kind="primary" onClick={() => setMaking(true)}>
          <Icon of={Plus} /> New key
        </Button>
      }
    >
      <Answer of={found} what="keys">
        {({ keys }) =>
          keys.length === 0 ? (
            <Empty icon={KeyRound} title="There are no keys yet.">
              <p>Make one for each system that uses the API, with the scopes that it needs and no more.</p>
            </Empty>
          ) : (
            <Table caption="API keys" columns={columnsWith(setRevoking)} rows={keys} keyOf={({ id }) => id} />
          )
        }
      </Answer>
      {making && <NewKeyDialog onMade={found.reload} onClose={() => setMaking(false)} />}
      {revoking && (
        <ConfirmDialog
          title={`Revoke ${revoking.name}?`}
          confirm="Revoke the key"
          danger
          onConfirm={() => revoke(revoking)}
          onClose={() => setRevoking(null)}
        >
          All instances refuse <code>{revoking.hint}…</code> within 5 seconds. It cannot be made valid again.
        </ConfirmDialog>
      )}
    </Card>
  )
}

const columnsWith = (onRevoke: (key: Key) => void): readonly Column<Key>[] => [
  {
    name: 'Key',
    cell: ({ name, hint }) => (
      <span class="breakable">
        <span class="strong">{name}</span> <code>{hint}…</code>
      </span>
    )
  },
  { name: 'May', cell: ({ scopes }) => <span class="breakable">{scopes.join(', ')}</span> },
  { name: 'State', cell: (key) => <KeyState of={key} /> },
  { name: 'Made', cell: ({ createdAt }) => <RelativeTime at={createdAt} /> },
  { name: 'Expires', cell: ({ expiresAt }) => (expiresAt ? <RelativeTime at={expiresAt} exact /> : 'never') },
  { name: 'Last used', cell: ({ lastUsedAt }) => (lastUsedAt ? <RelativeTime at={lastUsedAt} /> : 'never') },
  {
    name: 'Actions',
    cell: (key) =>
      key.revokedAt === null && (
        <Button onClick={() => onRevoke(key)} aria-label={`Revoke ${key.name}`}>
          Revoke
        </Button>
      )
  }
]

function KeyState({ of: { revokedAt, expiresAt } }: { of: Key }) {
  const expired = expiresAt !== null && Date.parse(expiresAt) <= Date.now()
  return (
    <span class="badges">
      {revokedAt !== null ? (
        <Badge tone="bad">revoked</Badge>
      ) : expired ? (
        <Badge tone="warn">expired</Badge>
      ) : (
        <Badge tone="good">in force</Badge>
      )}
    </span>
  )
}
