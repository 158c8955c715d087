/**
 * API keys: 256 random bits behind a prefix by which scanners and people know them. Only their SHA-256 is stored; since
 * nothing but chance can find a text of that hash, a slow hash would add nothing.
 */
import { createHash } from 'node:crypto'
import type { Principal, Scope } from './access.js'

const KEY_PREFIX = 'ues_'
export const KEY_BYTES = 32
/** Keys that operators choose themselves (BOOTSTRAP_ADMIN_KEY): printable, and long enough to be random. */
export const CHOSEN_KEY = '^[!-~]{32,200}$'

/** Keys that one answer lists. */
export const KEYS_LISTED_MAX = 1000

export type ApiKey = {
  /** first digits of the hash: names the key, and does not give it away */
  id: string
  /** first characters of the key, to know it by */
  hint: string
  /** SHA-256 in hex */
  hash: string
  tenantId: string
  scopes: Scope[]
  expiresAt: string | null
}

const ID_DIGITS = 12
const HINT_LENGTH = 8

/** The key made of KEY_BYTES random bytes. */
export const keyOf = (random: Buffer): string => KEY_PREFIX + random.toString('base64url')

/** What is stored of a key. */
export function namesOf(key: string): Pick<ApiKey, 'id' | 'hint' | 'hash'> {
  const hash = createHash('sha256').update(key).digest('hex')
  return { id: hash.slice(0, ID_DIGITS), hint: key.slice(0, HINT_LENGTH), hash }
}

const PRINCIPAL_PREFIX = 'key:'

export const principalOf = ({ id, tenantId, scopes }: ApiKey): Principal => ({
  name: `${PRINCIPAL_PREFIX}${id}`,
  tenantId,
  scopes: new Set(scopes)
})

/** The id of the key that the principal showed; null if it showed none. */
export const idOfKey = ({ name }: Principal): string | null =>
  name.startsWith(PRINCIPAL_PREFIX) ? name.slice(PRINCIPAL_PREFIX.length) : null
