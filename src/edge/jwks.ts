/**
 * The keys that an issuer publishes at a URL (RFC 7517), fetched when they are needed and not more often than is decent:
 * - Keys are used for FRESH_MS after they were fetched, and then fetched again before the next use.
 * - A token with an unknown key id makes them be fetched again, but not within COOLDOWN_MS of the last attempt: forged
 *   tokens cannot turn this service against the issuer.
 * - When a fetch fails, the keys known before are used until they are AGE_MAX_MS old, and fetched in the background.
 * So a key that the issuer withdraws is accepted until FRESH_MS have gone by and a fetch has succeeded, and for AGE_MAX_MS
 * at most, both counted from the last fetch that succeeded.
 * An answer is taken for one only with status 200, whole, within the timeout and of a bounded size; redirects are not
 * followed. Well-formed keys that cannot verify tokens are left out, and a set that has none is still an answer.
 */
import { type CryptoKey, createLocalJWKSet, errors, type JWSHeaderParameters } from 'jose'
import { request } from 'undici'
import { readJwk } from './public-jwk.js'

export const FRESH_MS = 10 * 60_000
export const AGE_MAX_MS = 60 * 60_000
export const COOLDOWN_MS = 30_000
/** Between attempts while no keys are known at all, and no token can be verified. */
export const RETRY_MS = 5000
/** A set of a few keys, with certificates, is some KiB. */
export const JWKS_BYTES_MAX = 256 * 1024

export type JwksOptions = {
  /** https, or http to this machine */
  url: string
  /** longest time of a fetch, to the end of the answer, ms */
  timeoutMs: number
  /** clock that never goes back, ms */
  uptimeMs: () => number
  /** a fetch failed; `reason` is a clause that holds nothing secret */
  onTrouble(reason: string): void
}

export type Jwks = {
  /**
   * The key for a token with this header. `unknown`: the issuer has no such key, or several and the token does not say
   * which; `unavailable`: whether it has cannot be learnt now.
   */
  keyFor(header: JWSHeaderParameters): Promise<CryptoKey | 'unknown' | 'unavailable'>
}

type KeySet = { find: ReturnType<typeof createLocalJWKSet>; size: number; fetchedAt: number }

/** Begins to fetch the keys at once, in the background; the issuer need not be there yet. */
export function openJwks({ url, timeoutMs, uptimeMs, onTrouble }: JwksOptions): Jwks {
  let held: KeySet | null = null
  let attemptedAt = Number.NEGATIVE_INFINITY
  let failed = false
  let underWay: Promise<void> | null = null

  const age = (): number => (held ? uptimeMs() - held.fetchedAt : Number.POSITIVE_INFINITY)
  const usable = (): KeySet | null => (age() < AGE_MAX_MS ? held : null)

  async function fetchKeys(): Promise<void> {
    attemptedAt = uptimeMs()
    try {
      const keys = readKeys(await download(url, timeoutMs))
      held = { find: createLocalJWKSet({ keys }), size: keys.length, fetchedAt: attemptedAt }
      failed = false
    } catch (err) {
      failed = true
      onTrouble((err as Error).message)
    }
    underWay = null
  }

  /** Ends with the fetch that is under way, with one that it starts, or at once when it is too early for one. */
  async function fetchUnlessEarly(): Promise<void> {
    const pauseMs = usable() ? COOLDOWN_MS : RETRY_MS
    if (!underWay && uptimeMs() - attemptedAt >= pauseMs) underWay = fetchKeys()
    await underWay
  }

  void fetchUnlessEarly()

  return {
    async keyFor(header) {
      if (age() >= FRESH_MS) {
        const fetched = fetchUnlessEarly()
        // An issuer that failed the last time may keep every request waiting for the timeout.
        if (!(failed && usable())) await fetched
      }
      const key = await findKey(usable(), header)
      if (key) return key
      await fetchUnlessEarly()
      return (await findKey(usable(), header)) ?? (failed || !usable() ? 'unavailable' : 'unknown')
    }
  }
}

async function findKey(set: KeySet | null, header: JWSHeaderParameters): Promise<CryptoKey | null> {
  // The library would choose by kind, and then two keys of different kinds are told apart by what the token claims.
  if (!set || (header.kid === undefined && set.size > 1)) return null
  try {
    return await set.find(header)
  } catch (err) {
    if (err instanceof errors.JOSEError) return null
    throw err
  }
}

function readKeys(text: string) {
  const { keys } = parse(text) as { keys?: unknown }
  if (!Array.isArray(keys)) throw new Error('the answer is no JSON Web Key Set')
  return keys.flatMap((key) => {
    try {
      return [readJwk(key)]
    } catch {
      return [] // Issuers publish keys for other purposes too.
    }
  })
}

function parse(text: string): object {
  try {
    return Object(JSON.parse(text))
  } catch {
    throw new Error('the answer is not JSON')
  }
}

async function download(url: string, timeoutMs: number): Promise<string> {
  const exchange = new AbortController()
  const timer = setTimeout(() => exchange.abort(), timeoutMs)
  try {
    const headers = { accept: 'application/jwk-set+json, application/json' }
    // It is minutes until the next one: `reset` closes the connection.
    const answer = await request(url, { headers, signal: exchange.signal, reset: true })
    const text = await boundedText(answer.body)
    if (answer.statusCode !== 200) throw new FetchError(`the answer has status ${answer.statusCode}`)
    return text
  } catch (err) {
    if (err instanceof FetchError) throw err
    const { code, name } = err as { code?: unknown; name: string }
    throw new FetchError(
      exchange.signal.aborted
        ? `no whole answer within ${timeoutMs} ms`
        : `no whole answer (${typeof code === 'string' ? code : name})`
    )
  } finally {
    clearTimeout(timer)
  }
}

class FetchError extends Error {
  override name = 'FetchError'
}

/** Leaving the loop before the end closes the connection. */
async function boundedText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > JWKS_BYTES_MAX) throw new FetchError(`the answer is longer than ${JWKS_BYTES_MAX} bytes`)
  }
  return Buffer.concat(chunks).toString()
}
