/** Goes to the version that was the newest at a moment. */
import { useState } from 'preact/hooks'
import { answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { Button } from '../../components/button.js'
import { ErrorBox } from '../../components/error-box.js'
import { Field } from '../../components/field.js'
import type { StateAt } from './moment-reader.js'

export function MomentField({ userId, onVersion }: { userId: string; onVersion: (version: number) => void }) {
  const { api } = useSession()
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()

  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault()
    setBusy(true)
    setError(undefined)
    try {
      const params = { path: { userId }, query: { at: new Date(`${text}Z`).toISOString() } }
      onVersion((await answerOf<StateAt>(api.GET('/users/{userId}/state', { params }))).version)
    } catch (err) {
      setError(err)
    }
    setBusy(false)
  }
  return (
    <form class="moment" onSubmit={submit}>
      <Field label="Moment (UTC)" type="datetime-local" step={1} value={text} onInput={setText} />
      <Button type="submit" busy={busy} disabled={text === ''}>
        Go there
      </Button>
      {error !== undefined && <ErrorBox error={error} />}
    </form>
  )
}
