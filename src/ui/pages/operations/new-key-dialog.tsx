/** Makes an API key, and shows it the one time that it can be seen. */
import { useState } from 'preact/hooks'
import { answerOf } from '../../api/client.js'
import { type Scope, useSession } from '../../api/session.js'
import { Button } from '../../components/button.js'
import { Dialog } from '../../components/dialog.js'
import { ErrorBox } from '../../components/error-box.js'
import { Chips, Field } from '../../components/field.js'
import { CopyButton } from '../../components/json-view.js'

export function NewKeyDialog({ onMade, onClose }: { onMade: () => void; onClose: () => void }) {
  const [key, setKey] = useState<string | null>(null)
  return (
    <Dialog title={key === null ? 'New API key' : 'The key is made'} onClose={onClose}>
      {key === null ? (
        <NewKeyForm
          onClose={onClose}
          onMade={(made) => {
            setKey(made)
            onMade()
          }}
        />
      ) : (
        <>
          <p>Copy it now: it is shown here and never again.</p>
          <div class="actions">
            <code>{key}</code>
            <CopyButton text={key} what="the key" />
          </div>
          <div class="actions end">
            <Button kind="primary" onClick={onClose}>
              I have it
            </Button>
          </div>
        </>
      )}
    </Dialog>
  )
}

const UNFINISHED = 'Give a date and a time, or leave it empty.'
const PASSED = 'Give a moment to come.'
/** Years have four digits. */
const LATEST = '9999-12-31T23:59'

function NewKeyForm({ onMade, onClose }: { onMade: (key: string) => void; onClose: () => void }) {
  const { api, me } = useSession()
  const [name, setName] = useState('')
  const [scopes, setScopes] = useState<Scope[]>([])
  const [busy, setBusy] = useState(false)
  const [expiry, setExpiry] = useState('')
  const [problem, setProblem] = useState<string>()
  const [expiryProblem, setExpiryProblem] = useState<string>()
  const [error, setError] = useState<unknown>(null)

  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault()
    setError(null)
    // A date without a time has no value; the browser alone knows that something was begun.
    const whole = (event.currentTarget as HTMLFormElement).checkValidity()
    const expiresAt = expiry === '' ? null : new Date(`${expiry}Z`)
    const wrong = !whole ? UNFINISHED : expiresAt && expiresAt.getTime() <= Date.now() ? PASSED : undefined
    setExpiryProblem(wrong)
    const missing = name.trim() === '' ? 'Say who uses it.' : scopes.length === 0 ? 'Choose what it may do.' : undefined
    setProblem(missing)
    if (missing || wrong) return
    setBusy(true)
    try {
      const body = { name: name.trim(), scopes, ...(expiresAt && { expiresAt: expiresAt.toISOString() }) }
      const made = await answerOf(api.POST('/admin/api-keys', { body }))
      onMade(made.key)
    } catch (err) {
      setError(err)
      setBusy(false)
    }
  }

  return (
    <form class="tenant-form" onSubmit={submit} noValidate>
      <Field
        label="Name"
        value={name}
        maxLength={100}
        problem={problem}
        hint="Who uses it, and for what."
        onInput={setName}
      />
      {/* Nobody can give scopes that they have not. */}
      <Chips
        legend="May"
        choices={me.scopes.map((scope) => ({ value: scope, label: scope }))}
        chosen={scopes}
        onChange={(chosen) => setScopes(me.scopes.filter((scope) => chosen.includes(scope)))}
      />
      <Field
        label="Expires (UTC)"
        type="datetime-local"
        max={LATEST}
        value={expiry}
        problem={expiryProblem}
        hint="From then on it is refused. Left empty, it never expires."
        onInput={setExpiry}
      />
      {error !== null && <ErrorBox error={error} />}
      <div class="actions end">
        <Button kind="quiet" onClick={onClose}>
          Cancel
        </Button>
        <Button type="submit" kind="primary" busy={busy}>
          Make the key
        </Button>
      </div>
    </form>
  )
}
