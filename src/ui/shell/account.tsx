/** Who is signed in, what that allows, and for whom requests act. */
import { LogOut, UserRound } from 'lucide'
import { useState } from 'preact/hooks'
import { type Me, useSession } from '../api/session.js'
import { Badge } from '../components/badge.js'
import { Button } from '../components/button.js'
import { Dialog } from '../components/dialog.js'
import { ErrorBox } from '../components/error-box.js'
import { Field } from '../components/field.js'
import { Icon } from '../components/icon.js'
import { isUserId } from '../pages/user-id.js'

const nameOf = ({ kind, keyName, principal }: Me): string =>
  kind === 'none' ? 'Everybody' : (keyName ?? principal.replace(/^\w+:/, ''))

export function Account() {
  const { me, actingFor, signOut } = useSession()
  const [open, setOpen] = useState(false)
  return (
    <div class="account">
      <Button kind="quiet" onClick={() => setOpen(true)} title="Who you are and what you may do" aria-haspopup="dialog">
        <Icon of={UserRound} />
        <span class="account-name">{nameOf(me)}</span>
        {actingFor && <Badge tone="warn">other tenant</Badge>}
      </Button>
      {me.kind !== 'none' && (
        <Button kind="quiet" onClick={signOut} aria-label="Sign out" title="Sign out">
          <Icon of={LogOut} />
        </Button>
      )}
      {open && <AccountDialog onClose={() => setOpen(false)} />}
    </div>
  )
}

function AccountDialog({ onClose }: { onClose: () => void }) {
  const { me, can } = useSession()
  return (
    <Dialog title="Your access" onClose={onClose}>
      <dl class="facts">
        <dt>You are</dt>
        <dd>
          {me.kind === 'none' ? (
            'anybody: this service does not ask who you are'
          ) : (
            <>
              {me.keyName} <code>{me.principal}</code>
            </>
          )}
        </dd>
        <dt>Tenant</dt>
        <dd>
          <code>{me.tenantId}</code>
        </dd>
        <dt>Scopes</dt>
        <dd class="badges">
          {me.scopes.length === 0 ? 'none' : me.scopes.map((scope) => <Badge key={scope}>{scope}</Badge>)}
        </dd>
      </dl>
      {can(['tenants:all']) && <TenantForm onDone={onClose} />}
      <div class="actions end">
        <Button onClick={onClose}>Close</Button>
      </div>
    </Dialog>
  )
}

function TenantForm({ onDone }: { onDone: () => void }) {
  const { actingFor, actFor } = useSession()
  const [tenantId, setTenantId] = useState(actingFor ?? '')
  const [problem, setProblem] = useState<string>()
  const [error, setError] = useState<unknown>(null)

  async function change(to: string | undefined): Promise<void> {
    try {
      await actFor(to)
      onDone()
    } catch (err) {
      setError(err)
    }
  }
  async function submit(event: SubmitEvent): Promise<void> {
    event.preventDefault()
    const given = tenantId.trim().toLowerCase()
    const valid = isUserId(given)
    setProblem(valid ? undefined : 'A tenant is named by a UUID, such as 00000000-0000-0000-0000-000000000000.')
    if (valid) await change(given)
  }

  return (
    <form class="tenant-form" onSubmit={submit} noValidate>
      <Field
        label="Act for tenant"
        value={tenantId}
        onInput={setTenantId}
        problem={problem}
        hint="All pages then show the users of this tenant."
      />
      {error !== null && <ErrorBox error={error} />}
      <div class="actions">
        <Button type="submit">Act for this tenant</Button>
        {actingFor && (
          <Button kind="quiet" onClick={() => change(undefined)}>
            Back to your own
          </Button>
        )}
      </div>
    </form>
  )
}
