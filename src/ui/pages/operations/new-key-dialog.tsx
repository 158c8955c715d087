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

function NewKeyForm({ onMade, onClose }: { onMade: (key: string) => void; onClose: () => void }) {
  const { api, me } = useSession()
  const [name, setName] = useState('')
  const [scopes, setScopes] = useState<Scope[]>([])
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string>()
  const [error, setError] = useState<unknown>(null)

  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault()
    setError(null)
    const missing = name.trim() === '' ? 'Say who uses it.' : scopes.length === 0 ? 'Choose what it may do.' : undefined
    setProblem(missing)
    if (missing) return
    setBusy(true)
    try {
      const made = await answerOf(api.POST('/admin/api-keys', { body: { name: name.trim(), scopes } }))
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
