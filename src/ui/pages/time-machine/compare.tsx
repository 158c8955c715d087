/** Two versions of a user side by side. */
import { useState } from 'preact/hooks'
import { answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Answer } from '../../components/answer.js'
import { Card } from '../../components/card.js'
import type { StateAt } from './moment-reader.js'
import { differing, rowsOf } from './rows.js'
import { ComparedStates, type Side } from './state-table.js'
import { VersionField } from './version-field.js'

type Pair = readonly [Side, Side]

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
  const found = useLoaded(
    `${userId} ${one} ${other}`,
    async (signal): Promise<Pair> => [
      { key: 'one', label: `Version ${one}`, rows: rowsOf((await at(one, signal)).state) },
      { key: 'other', label: `Version ${other}`, rows: rowsOf((await at(other, signal)).state) }
    ]
  )
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
      <Answer of={found} what="both states">
        {(sides) => <Compared sides={sides} all={all} />}
      </Answer>
    </Card>
  )
}

/** `all` shows also what is the same. */
function Compared({ sides, all }: { sides: Pair; all: boolean }) {
  const [left, right] = sides
  const changed = differing(left.rows, right.rows)
  const names = new Set([...left.rows.keys(), ...right.rows.keys()])
  return (
    <>
      <p role="status">
        {changed.size === 0
          ? 'Nothing differs between the two.'
          : `${changed.size} ${changed.size === 1 ? 'field differs' : 'fields differ'}.`}
      </p>
      {(all || changed.size > 0) && (
        <ComparedStates names={[...names].filter((name) => all || changed.has(name))} sides={sides} changed={changed} />
      )}
    </>
  )
}
