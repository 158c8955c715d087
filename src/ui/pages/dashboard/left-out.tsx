/** A line in the place of a part that the credentials do not show. */
import type { Scope } from '../../api/session.js'

/** `what` begins the sentence, in the plural: `Live events`. */
export const LeftOut = ({ what, scopes }: { what: string; scopes: readonly Scope[] }) => (
  <p class="soft">
    {what} are left out: they take the scope{scopes.length > 1 ? 's' : ''}{' '}
    {scopes.map((scope, i) => [i > 0 && ' and ', <code key={scope}>{scope}</code>])}.
  </p>
)
