/** Who asks, for whose users, and what they may do. */
import { DomainError } from './errors.js'
import { DEFAULT_TENANT } from './event.js'

/**
 * - `events:write`: append and import events
 * - `events:read`: read events, the feed, statistics of events and event types
 * - `state:read`: read states, differences, snapshots and the directory of users
 * - `snapshots:admin`: make and delete snapshots
 * - `events:admin`: subscriptions, event types, projections, the archive, API keys and the audit
 * - `tenants:all`: act for any tenant, and on what belongs to all of them
 */
export const SCOPES = [
  'events:write',
  'events:read',
  'state:read',
  'snapshots:admin',
  'events:admin',
  'tenants:all'
] as const

export type Scope = (typeof SCOPES)[number]

export type Principal = {
  /** stands in the metadata of events and in the audit: `key:<id>`, `jwt:<subject>`; `anonymous` with AUTH=off */
  name: string
  tenantId: string
  scopes: ReadonlySet<Scope>
}

export const isScope = (text: string): text is Scope => (SCOPES as readonly string[]).includes(text)

/** Who asks where nobody has to say so. */
export const ANYBODY: Principal = { name: 'anonymous', tenantId: DEFAULT_TENANT, scopes: new Set(SCOPES) }

/** Who stands in the metadata of an event: null where nobody had to say. */
export const authorOf = (principal: Principal): string | null => (principal === ANYBODY ? null : principal.name)

/** Which checks failed is not said: it would help who guesses. */
export const unauthenticated = (): DomainError =>
  new DomainError(
    'UNAUTHENTICATED',
    'The request does not say who sends it, or not credibly. Send an API key or a token that is valid here, as `authorization: Bearer …`.'
  )

/** Throws SCOPE_MISSING, naming them, unless the principal has all of `needed`. */
export function assertScopes({ name, scopes }: Principal, needed: readonly Scope[]): void {
  const missing = needed.filter((scope) => !scopes.has(scope))
  if (missing.length === 0) return
  throw new DomainError(
    'SCOPE_MISSING',
    `${name} may not do this: it needs ${missing.join(' and ')}. Use credentials that have ${missing.length === 1 ? 'this scope' : 'these scopes'}.`,
    { missing }
  )
}

/** The tenant that a request acts for: the principal's own, or the one `asked` for. Throws TENANT_FORBIDDEN if that is another's. */
export function tenantFor(principal: Principal, asked: string | undefined): string {
  const tenantId = asked?.toLowerCase() ?? principal.tenantId
  if (tenantId === principal.tenantId || principal.scopes.has('tenants:all')) return tenantId
  throw new DomainError(
    'TENANT_FORBIDDEN',
    `${principal.name} acts for its own tenant only. Leave X-Tenant-Id out, or use credentials that have the scope tenants:all.`
  )
}
