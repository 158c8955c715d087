/** What takes scopes is shown to who has them; to others, what is missing and what to do. */
import { LockKeyhole } from 'lucide'
import type { ComponentChildren } from 'preact'
import { type Scope, useSession } from '../api/session.js'
import { Button } from './button.js'
import { Empty } from './empty.js'

/** `what` completes "cannot …", as in `read users`. */
export function Allowed({
  scopes,
  what,
  children
}: {
  scopes: readonly Scope[]
  what: string
  children: ComponentChildren
}) {
  const { can, me, signOut } = useSession()
  if (can(scopes)) return <>{children}</>
  const missing = scopes.filter((scope) => !me.scopes.includes(scope))
  return (
    <Empty icon={LockKeyhole} title={`Your credentials cannot ${what}.`}>
      <p>
        This takes the scope{missing.length > 1 ? 's' : ''}{' '}
        {missing.map((scope, i) => [i > 0 && ' and ', <code key={scope}>{scope}</code>])}, and you have{' '}
        {me.scopes.length === 0 ? 'none' : me.scopes.join(', ')}. Sign in with a key that has it, or have one made.
      </p>
      {me.kind !== 'none' && <Button onClick={signOut}>Use another key</Button>}
    </Empty>
  )
}
