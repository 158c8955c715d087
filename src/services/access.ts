/**
 * Who a request comes from. Keys in force are held in memory, so that a key that was guessed costs no query; they are read
 * again when they are older than REFRESH_MS and somebody asks, and not trusted beyond TRUSTED_MS: a key that was revoked on
 * another instance is refused everywhere within that time.
 *
 * Without authentication (nobody set it up) everybody may do everything. The first API key ends that, on all instances, and
 * for good: revoking the last key does not open the store again.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Db } from '../db/client.js'
import { ANYBODY, type Principal, SCOPES, type Scope, unauthenticated } from '../domain/access.js'
import { idOfKey, KEY_BYTES, KEYS_LISTED_MAX, keyOf, namesOf, principalOf } from '../domain/api-key.js'
import { DomainError } from '../domain/errors.js'
import { DEFAULT_TENANT } from '../domain/event.js'
import {
  insertKey,
  revokeKey,
  type StoredKey,
  selectKeys,
  selectKeysInForce,
  updateLastUses
} from '../store/api-keys.js'

/** Keys in force of all tenants together: all instances hold them in memory. */
export const KEYS_MAX = 10_000

const REFRESH_MS = 2000
const TRUSTED_MS = 4000
const NOTE_USES_MS = 60_000
/** The largest number of its type in the database. */
const NO_MAX = 2_147_483_647

/** A key as it is shown. */
export type ShownKey = Omit<StoredKey, 'hash'>

export type NewKey = { name: string; tenantId: string; scopes: readonly Scope[]; expiresAt: string | null }

/** What requests are checked against: a key in force. */
type HeldKey = { hash: Buffer; expiresAtMs: number; principal: Principal; name: string }

/** What somebody showed: `keyName` is that of an API key, null for all others. */
export type Credentials = { kind: 'key' | 'token' | 'none'; keyName: string | null }

/** Checks tokens that are no API keys. Throws UNAUTHENTICATED or KEYS_UNAVAILABLE. */
export type TokenVerifier = { verify(token: string): Promise<Principal> }

export type AccessService = ReturnType<typeof createAccessService>

/** `required`: true and false set it in so many words; undefined leaves it to whether there is a key or `tokens`. */
export function createAccessService({
  db,
  required,
  tokens,
  keysMax = KEYS_MAX
}: {
  db: Db
  required: boolean | undefined
  tokens: TokenVerifier | null
  keysMax?: number
}) {
  let keys = new Map<string, HeldKey>()
  let anyKey = false
  /** performance.now() before the query that `keys` came from */
  let readAt = Number.NEGATIVE_INFINITY
  let reading: Promise<void> | null = null
  let uses = new Map<string, number>()
  let notedAt = performance.now()

  const isOpen = (): boolean => required === undefined && !anyKey && tokens === null

  async function read(): Promise<void> {
    const startedAt = performance.now()
    const found = await selectKeysInForce(db)
    keys = new Map(found.keys.map((key) => [key.id, heldOf(key)]))
    anyKey = found.any
    readAt = startedAt
  }

  function refresh(): Promise<void> {
    reading ??= read().finally(() => {
      reading = null
    })
    return reading
  }

  /** Changes the keys in memory as they were changed in the database, whatever reading began before that and ends after it. */
  async function amend(change: () => void): Promise<void> {
    await reading?.catch(() => {})
    change()
  }

  /** What cannot be noted is forgotten: nothing depends on it, and there will be other uses. */
  async function noteUses(): Promise<void> {
    if (uses.size === 0) return
    const noted = uses
    uses = new Map()
    notedAt = performance.now()
    await updateLastUses(db, noted).catch(() => {})
  }

  /** Resolves when the keys in memory can be trusted; at once, and with a look in the background, as long as they are young. */
  async function fresh(): Promise<void> {
    try {
      await refresh()
    } catch (cause) {
      // A store that is open stays so: what cannot be asked can tell of no first key. It is asked again a while later.
      if (isOpen()) readAt = performance.now()
      if (performance.now() - readAt > TRUSTED_MS) throw keysUnavailable(cause)
    }
  }

  /** Whom a key in force belongs to; null if `token` is none. */
  function principalOfKey(token: string): Principal | null {
    const { id, hash } = namesOf(token)
    const held = keys.get(id)
    if (!held || !timingSafeEqual(held.hash, Buffer.from(hash)) || held.expiresAtMs <= Date.now()) return null
    uses.set(id, Date.now())
    if (performance.now() - notedAt > NOTE_USES_MS) void noteUses()
    return held.principal
  }

  function identify(authorization: string | undefined): Principal | Promise<Principal> {
    if (isOpen()) return ANYBODY
    const token = /^Bearer ([!-~]+)$/i.exec(authorization ?? '')?.[1]
    if (token === undefined) throw unauthenticated()
    // Keys first: one that an operator chose may look like a token.
    const principal = principalOfKey(token)
    if (principal) return principal
    if (tokens && isJwt(token)) return tokens.verify(token)
    throw unauthenticated()
  }

  return {
    /** Reads the keys; once before the first request. Throws DbError. */
    refresh,

    /** `off`: AUTH says so; `open`: nobody set it up; else every request must say who it is from. */
    mode: (): 'off' | 'open' | 'required' => (required === false ? 'off' : isOpen() ? 'open' : 'required'),

    /**
     * Who sent a request with this header. At once when the keys are young, as they mostly are.
     * Throws UNAUTHENTICATED, or KEYS_UNAVAILABLE when it cannot be known.
     */
    authenticate(authorization: string | undefined): Principal | Promise<Principal> {
      if (required === false) return ANYBODY
      const age = performance.now() - readAt
      if (age > TRUSTED_MS) return fresh().then(() => identify(authorization))
      if (age > REFRESH_MS) void fresh().catch(() => {})
      return identify(authorization)
    },

    /** What the principal showed to be let in; `none` where nobody has to show anything. */
    credentialsOf(principal: Principal): Credentials {
      if (principal === ANYBODY) return { kind: 'none', keyName: null }
      const id = idOfKey(principal)
      return id === null ? { kind: 'token', keyName: null } : { kind: 'key', keyName: keys.get(id)?.name ?? null }
    },

    /**
     * Makes a key and returns it, the only time that it is seen. `by` may give no scopes that it has not itself.
     * Throws SCOPE_MISSING, API_KEY_INVALID, API_KEYS_FULL.
     */
    async create({ name, tenantId, scopes, expiresAt }: NewKey, by: Principal): Promise<ShownKey & { key: string }> {
      const missing = scopes.filter((scope) => !by.scopes.has(scope))
      if (missing.length > 0) throw beyond(by.name, missing)
      if (expiresAt !== null && Date.parse(expiresAt) <= Date.now()) throw expired(expiresAt)
      const key = keyOf(randomBytes(KEY_BYTES))
      const stored = await insertKey(
        db,
        { ...namesOf(key), tenantId, name, scopes: inOrder(scopes), createdBy: by.name, expiresAt },
        keysMax
      )
      if (!stored) throw full(keysMax)
      await amend(() => {
        keys.set(stored.id, heldOf(stored))
        anyKey = true
      })
      return { ...shown(stored), key }
    },

    /** Keys of the tenant, the newest first. */
    async list(tenantId: string): Promise<ShownKey[]> {
      return (await selectKeys(db, tenantId, KEYS_LISTED_MAX)).map(shown)
    },

    /** Ends a key; here at once, elsewhere within 5 seconds. Repeating it changes nothing. Throws API_KEY_NOT_FOUND. */
    async revoke(id: string, tenantId: string, by: Principal): Promise<ShownKey> {
      const revoked = await revokeKey(db, { id, tenantId, by: by.name })
      if (!revoked) throw keyNotFound(id)
      await amend(() => keys.delete(id))
      return shown(revoked)
    },

    /** Makes sure that a key chosen by the operator is there, with all scopes, however many there are; one that was revoked stays so. */
    async bootstrap(key: string): Promise<void> {
      await insertKey(
        db,
        {
          ...namesOf(key),
          tenantId: DEFAULT_TENANT,
          name: 'bootstrap',
          scopes: [...SCOPES],
          createdBy: 'BOOTSTRAP_ADMIN_KEY',
          expiresAt: null
        },
        NO_MAX
      )
    },

    /** Notes the last uses that are not noted yet, if it can. */
    close: noteUses
  }
}

const heldOf = (key: StoredKey): HeldKey => ({
  hash: Buffer.from(key.hash),
  expiresAtMs: key.expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(key.expiresAt),
  principal: principalOf(key),
  name: key.name
})

const isJwt = (token: string): boolean => token.split('.').length === 3

const inOrder = (scopes: readonly Scope[]): Scope[] => SCOPES.filter((scope) => scopes.includes(scope))

const shown = ({ hash: _, ...key }: StoredKey): ShownKey => key

const beyond = (name: string, missing: readonly Scope[]): DomainError =>
  new DomainError(
    'SCOPE_MISSING',
    `${name} may not give what it has not: ${missing.join(' and ')}. Leave that out, or use credentials that have it.`,
    { missing }
  )

const expired = (expiresAt: string): DomainError =>
  new DomainError('API_KEY_INVALID', `expiresAt is ${expiresAt}, which has passed. Give a time to come, or none.`, {
    pointer: '/expiresAt'
  })

const full = (max: number): DomainError =>
  new DomainError('API_KEYS_FULL', `${max} API keys are in force, and there may be no more. Revoke some first.`)

const keyNotFound = (id: string): DomainError =>
  new DomainError('API_KEY_NOT_FOUND', `There is no API key ${id}. GET /admin/api-keys lists those there are.`)

const keysUnavailable = (cause: unknown): DomainError =>
  new DomainError(
    'KEYS_UNAVAILABLE',
    'Whether the credentials are valid cannot be found out now. Send the request again later.',
    {},
    { cause }
  )
