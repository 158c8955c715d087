/** What an event made of the state. */
import { History } from 'lucide'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Answer } from '../../components/answer.js'
import { ButtonLink } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { Icon } from '../../components/icon.js'
import { differing, rowsOf } from '../time-machine/rows.js'
import { ComparedStates } from '../time-machine/state-table.js'
import { timePath } from '../user-id.js'

type StateAt = AnswerOf<'/users/{userId}/state'>

const NONE: ReadonlySet<string> = new Set()

export function EventChanges({ userId, version }: { userId: string; version: number }) {
  const { api, can } = useSession()
  const mayRead = can(['state:read'])
  const at = (version: number, signal: AbortSignal) =>
    answerOf<StateAt>(api.GET('/users/{userId}/state', { params: { path: { userId }, query: { version } }, signal }))
  const found = useLoaded(mayRead ? `${userId} ${version}` : null, async (signal) => {
    const after = rowsOf((await at(version, signal)).state)
    return { after, before: version === 1 ? undefined : rowsOf((await at(version - 1, signal)).state) }
  })
  return (
    <Card
      title="What it changed"
      actions={
        mayRead && (
          <ButtonLink href={timePath(userId, version)}>
            <Icon of={History} /> Time machine at version {version}
          </ButtonLink>
        )
      }
    >
      {mayRead ? (
        <Answer of={found} what="what it changed">
          {({ before, after }) => <Changes before={before} after={after} />}
        </Answer>
      ) : (
        <p class="fine">
          To see it, sign in with a key that has the scope <code>state:read</code>.
        </p>
      )}
    </Card>
  )
}

type Rows = ReturnType<typeof rowsOf>

/** Of the first event, with nothing `before`, all that it set. */
function Changes({ before, after }: { before: Rows | undefined; after: Rows }) {
  if (!before) {
    const names = [...after.keys()].filter((name) => after.get(name) !== 'null')
    return (
      <ComparedStates names={names} sides={[{ key: 'after', label: 'The first state', rows: after }]} changed={NONE} />
    )
  }
  const changed = [...differing(before, after)]
  if (changed.length === 0) return <p>Nothing: the state is the same as before.</p>
  const sides = [
    { key: 'before', label: 'Before', rows: before },
    { key: 'after', label: 'After', rows: after }
  ]
  return <ComparedStates names={changed} sides={sides} changed={NONE} />
}
