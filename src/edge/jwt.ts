/**
 * Verifies JSON Web Tokens (RFC 7519, by the rules of RFC 8725). What a token says of itself decides nothing: the algorithm
 * is one that the key is for, the key is one of the issuer's, found by its id, and keys or addresses of keys in the header are
 * not looked at. Each token is verified each time; nothing is remembered of it. Whoever sends a token that is refused is
 * told so and no more; the reason goes to `onRefused`.
 */
import { type CryptoKey, createLocalJWKSet, errors, type JWSHeaderParameters, jwtVerify } from 'jose'
import { type Principal, unauthenticated } from '../domain/access.js'
import { DomainError } from '../domain/errors.js'
import { findRepeatedKey } from '../domain/json.js'
import { type ClaimNames, type Claims, principalOf } from '../domain/token-claims.js'
import { type Jwks, openJwks } from './jwks.js'
import { ALGORITHMS, readPublicKey } from './public-jwk.js'

/** Longest token, bytes. One of RSA with a few dozen roles has about 2 KiB. */
export const TOKEN_BYTES_MAX = 8 * 1024

export type JwtVerifierOptions = {
  /** where the issuer publishes its keys (https, or http to this machine), or its one key as PEM or JWK */
  keys: { url: string } | { publicKey: string }
  /** `iss` of every token, to the letter */
  issuer: string
  /** one of `aud` */
  audience: string
  /** by how much the clocks of issuer and service may differ, s */
  clockSkewS: number
  claims: ClaimNames
  /** why a token was refused, as a clause; nothing of the token stands in it */
  onRefused(reason: string): void
  /** the keys could not be fetched, and why, as a clause */
  onKeysTrouble(reason: string): void
  /** ms since 1970 */
  now?: () => number
  /** clock that never goes back, ms */
  uptimeMs?: () => number
  /** longest time that fetching the keys takes */
  fetchTimeoutMs?: number
}

export type JwtVerifier = {
  /**
   * Who sends `token`. Throws DomainError UNAUTHENTICATED, always with the same sentence, when it is not to be believed, and
   * KEYS_UNAVAILABLE when that cannot be judged because the keys of the issuer cannot be had.
   */
  verify(token: string): Promise<Principal>
}

class Refused extends Error {
  override name = 'Refused'
}

/** Throws an Error that says why, as a clause, when the public key is none. An issuer that does not answer stops nothing. */
export function openJwtVerifier(options: JwtVerifierOptions): JwtVerifier {
  const { issuer, audience, clockSkewS, onRefused, now = Date.now } = options
  const { keyFor } = openKeys(options)

  async function keyOf(header: JWSHeaderParameters): Promise<CryptoKey> {
    const { crit, b64, kid } = header
    if (crit !== undefined || b64 !== undefined) throw new Refused('the header asks for extensions')
    if (kid !== undefined && typeof kid !== 'string') throw new Refused('kid is no text')
    const key = await keyFor(header)
    if (key === 'unknown') throw new Refused('no key of the issuer fits the header')
    if (key === 'unavailable')
      throw new DomainError(
        'KEYS_UNAVAILABLE',
        'The keys that tokens are verified with cannot be had at the moment. Send the request again later.'
      )
    return key
  }

  async function readClaims(token: string): Promise<Claims> {
    const [header = '', payload = ''] = partsOf(token)
    if (findRepeatedKey(textOf(header))) throw new Refused('a name stands twice in the header')
    const nowMs = now()
    const { payload: claims } = await jwtVerify(token, keyOf, {
      algorithms: ALGORITHMS,
      issuer,
      audience,
      requiredClaims: ['exp', 'sub'],
      clockTolerance: clockSkewS,
      currentDate: new Date(nowMs)
    })
    if (findRepeatedKey(textOf(payload))) throw new Refused('a claim stands twice')
    for (const name of ['exp', 'nbf', 'iat']) {
      if (claims[name] !== undefined && !Number.isSafeInteger(claims[name]))
        throw new Refused(`${name} is no whole number`)
    }
    // The library looks at it only where a greatest age is set.
    if (claims.iat !== undefined && claims.iat > Math.floor(nowMs / 1000) + clockSkewS)
      throw new Refused('iat is in the future')
    return claims
  }

  return {
    async verify(token) {
      try {
        const outcome = principalOf(await readClaims(token), options.claims)
        if ('refused' in outcome) throw new Refused(outcome.refused)
        return outcome.principal
      } catch (err) {
        if (err instanceof DomainError) throw err
        onRefused(reasonOf(err))
        throw unauthenticated()
      }
    }
  }
}

/** Three parts in base64url without padding, each written in the one way there is; anything else throws. */
function partsOf(token: string): string[] {
  if (token.length > TOKEN_BYTES_MAX) throw new Refused(`it is longer than ${TOKEN_BYTES_MAX} bytes`)
  const parts = token.split('.')
  const isPart = (part: string): boolean => part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part
  if (parts.length !== 3 || !parts.every(isPart)) throw new Refused('it is not three parts of base64url')
  return parts
}

const textOf = (part: string): string => Buffer.from(part, 'base64url').toString()

function openKeys(options: JwtVerifierOptions): Jwks {
  const { keys, uptimeMs = () => performance.now(), fetchTimeoutMs = 5000, onKeysTrouble } = options
  if ('url' in keys) return openJwks({ url: keys.url, timeoutMs: fetchTimeoutMs, uptimeMs, onTrouble: onKeysTrouble })
  // There is nothing to choose from, so it does not matter how the token calls its key.
  const { kid: _unused, ...key } = readPublicKey(keys.publicKey)
  const find = createLocalJWKSet({ keys: [key] })
  return { keyFor: ({ kid: _unused, ...header }) => find(header as JWSHeaderParameters) }
}

/** The library's sentences name claims and parts, never what stands in them. */
function reasonOf(err: unknown): string {
  if (err instanceof Refused || err instanceof errors.JOSEError) return err.message
  return `it cannot be verified (${(err as Error).name})`
}
