/** Asks for an API key, and says why one is not taken. */
import { KeyRound } from 'lucide'
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError } from '../api/api-error.js'
import { Button } from '../components/button.js'
import { ErrorBox } from '../components/error-box.js'
import { Field } from '../components/field.js'
import { Icon } from '../components/icon.js'
import { Brand } from './brand.js'
import { ThemeButton } from './theme-button.js'

/** What a header can carry: keys and tokens are of these characters alone. */
const VISIBLE = /^[!-~]+$/
const WRONG = 'The service does not know this key, or it was revoked or has expired. Check that all of it was pasted.'

/** `onKey` rejects with an ApiError when the key is not taken. */
export function SignIn({ notice, onKey }: { notice: string | null; onKey: (key: string) => Promise<void> }) {
  const form = useRef<HTMLFormElement>(null)
  const [key, setKey] = useState('')
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string>()
  const [error, setError] = useState<unknown>(null)

  useEffect(() => {
    document.title = 'Sign in · user-event-store'
    form.current?.querySelector('input')?.focus()
  }, [])

  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault()
    const given = key.trim()
    setError(null)
    if (!VISIBLE.test(given)) {
      setProblem(
        given === '' ? 'Paste a key first.' : 'A key has only letters, digits and signs of ASCII. Copy it again.'
      )
      return
    }
    setProblem(undefined)
    setBusy(true)
    try {
      await onKey(given)
    } catch (err) {
      setBusy(false)
      if (err instanceof ApiError && err.code === 'UNAUTHENTICATED') setProblem(WRONG)
      else setError(err)
      form.current?.querySelector('input')?.focus()
    }
  }

  return (
    <main class="alone">
      <div class="sign-in">
        <div class="sign-in-head">
          <Brand />
          <ThemeButton />
        </div>
        <h1>Sign in</h1>
        {notice && (
          <p class="notice" role="status">
            {notice}
          </p>
        )}
        <form ref={form} onSubmit={submit} noValidate>
          <Field
            label="API key"
            type="password"
            value={key}
            onInput={setKey}
            problem={problem}
            hint="It stays in the memory of this page: reloading or closing it signs you out. A token of your issuer works too."
          />
          {error !== null && <ErrorBox error={error} />}
          <Button type="submit" kind="primary" busy={busy}>
            <Icon of={KeyRound} /> Sign in
          </Button>
        </form>
        <p class="fine">
          No key? Whoever runs the service makes one with <code>user-events key create</code>.
        </p>
      </div>
    </main>
  )
}
