/** Two versions of a user side by side. */
import { useState } from 'preact/hooks'
import { answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Card } from '../../components/card.js'
import { ErrorBox } from '../../components/error-box.js'
import { Loading } from '../../components/loading.js'
import type { StateAt } from './moment-reader.js'
import { differing, rowsOf } from './rows.js'
import { ComparedStates } from './state-table.js'
import { VersionField } from './version-field.js'

/** `pair` is what stands in the address: `3..7`. */
export function Compare({
  userId,
  head,
  pair,
  onPair
}: {
  userId: string
  head: number
  pair: readonly [number, number]
  onPair: (pair: readonly [number, number]) => void
}) {
  const { api } = useSession()
  const [all, setAll] = useState(false)
  const [one, other] = pair
  const at = (version: number, signal: AbortSignal) =>
    answerOf<StateAt>(api.GET('/users/{userId}/state', { params: { path: { userId }, query: { version } }, signal }))
  const loaded = useLoaded(`${userId} ${one} ${other}`, async (signal) => [
    await at(one, signal),
    await at(other, signal)
  ])
  const [left, right] = loaded.data?.map(({ state }) => rowsOf(state)) ?? []
  const changed = differing(left, right)
  const names = left && right ? [...new Set([...left.keys(), ...right.keys()])] : []

  return (
    <Card title="Compare two versions">
      <div class="versions">
        <VersionField label="One version" value={one} head={head} onVersion={(version) => onPair([version, other])} />
        <VersionField label="Other version" value={other} head={head} onVersion={(version) => onPair([one, version])} />
        <label class="chip">
          <input type="checkbox" checked={all} onChange={() => setAll(!all)} />
          <span>Also what is the same</span>
        </label>
      </div>
      {loaded.error !== undefined ? (
        <ErrorBox error={loaded.error} onRetry={loaded.reload} />
      ) : !left || !right ? (
        <Loading what="Loading both states" />
      ) : (
        <>
          <p role="status">
            {changed.size === 0
              ? 'Nothing differs between the two.'
              : `${changed.size} ${changed.size === 1 ? 'field differs' : 'fields differ'}.`}
          </p>
          {(all || changed.size > 0) && (
            <ComparedStates
              names={all ? names : names.filter((name) => changed.has(name))}
              sides={[
                { label: `Version ${one}`, rows: left },
                { label: `Version ${other} `, rows: right }
              ]}
              changed={changed}
            />
          )}
        </>
      )}
    </Card>
  )
}
