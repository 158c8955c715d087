/**
 * Who a token speaks for: from the claims of a verified JSON Web Token to a principal. Whoever issues tokens names and
 * forms claims as it likes, so the names come from settings; what the claims mean here does not.
 */
import { type Principal, SCOPES, type Scope } from './access.js'
import { DEFAULT_TENANT, UUID } from './event.js'

/** Where the claims stand. A name with dots (`realm_access.roles`) is a path, unless a claim is called so as a whole. */
export type ClaimNames = {
  tenant: string
  scope: string
  /** words of the scope claim count only with this before them; '' for all */
  scopePrefix: string
}

export type Claims = Readonly<Record<string, unknown>>

/** 1 to 200 characters, none of which is a control, a hidden mark, the end of a line or half of a character. */
const SUBJECT = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{1,200}$/u
const TENANT = new RegExp(UUID)

/**
 * The principal of `claims`, whose signature and times have been checked, or why there is none, as a clause that holds
 * nothing of the claims. A scope claim that is not there gives no scopes; words that are no scopes are ignored. Without a
 * tenant claim a token is good only with the scope tenants:all, and then for the default tenant.
 */
export function principalOf(claims: Claims, names: ClaimNames): { principal: Principal } | { refused: string } {
  const { sub } = claims
  if (typeof sub !== 'string' || !SUBJECT.test(sub)) return { refused: 'sub is not 1 to 200 visible characters' }

  const words = wordsOf(claimAt(claims, names.scope) ?? [])
  if (!words) return { refused: `${names.scope} is neither a string nor an array of strings` }
  const scopes = scopesOf(words, names.scopePrefix)

  const tenant = claimAt(claims, names.tenant)
  if (tenant === undefined && !scopes.has('tenants:all')) return { refused: `${names.tenant} is missing` }
  const tenantId = tenant === undefined ? DEFAULT_TENANT : tenant
  if (typeof tenantId !== 'string' || !TENANT.test(tenantId)) return { refused: `${names.tenant} is not a UUID` }

  return { principal: { name: `jwt:${sub}`, tenantId: tenantId.toLowerCase(), scopes } }
}

/** Undefined when there is nothing. Only what the token itself holds is found, never what every object has. */
function claimAt(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let value: unknown = claims
  for (const step of name.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Claims)[step]
  }
  return value
}

function wordsOf(value: unknown): string[] | null {
  if (typeof value === 'string') return value.split(' ')
  return Array.isArray(value) && value.every((word) => typeof word === 'string') ? value : null
}

function scopesOf(words: string[], prefix: string): Set<Scope> {
  const bare = new Set(words.filter((word) => word.startsWith(prefix)).map((word) => word.slice(prefix.length)))
  return new Set(SCOPES.filter((scope) => bare.has(scope)))
}
