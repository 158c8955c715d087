/**
 * Which keys can verify tokens: public ones, meant for signatures, of the kinds and sizes below. Whatever form a key comes
 * in, what goes on is a JWK with nothing in it but the key, its id and its algorithm.
 */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import type { JWK } from 'jose'

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const RSA_BITS_MIN = 2048
const EC: Record<string, string[]> = { prime256v1: ['ES256'], secp384r1: ['ES384'], secp521r1: ['ES512'] }

/** All algorithms of signatures that are accepted. None of them takes a shared secret. */
export const ALGORITHMS = [...RSA, ...Object.values(EC).flat(), 'EdDSA']

/**
 * Reads one key from the text of a setting: PEM of a public key (SPKI) or of a certificate (X.509, whose dates and issuer
 * say nothing here), with `\n` for the ends of lines if need be, or a JWK as JSON.
 * Throws an Error that says what it is instead, as a clause, and holds nothing of the text.
 */
export function readPublicKey(text: string): JWK {
  const trimmed = text.trim()
  if (trimmed.startsWith('{')) return readJwk(attempt(() => JSON.parse(trimmed), 'it is not JSON'))
  if (/PRIVATE KEY-----/.test(trimmed)) throw new Error('it is a private key, and this service needs the public one')
  if (!/^-----BEGIN (PUBLIC KEY|CERTIFICATE)-----/.test(trimmed)) throw new Error('it is none of these')
  const key = attempt(() => createPublicKey(trimmed.replaceAll('\\n', '\n')), 'its PEM is damaged')
  return readJwk(attempt(() => key.export({ format: 'jwk' }), 'it is of a kind that no accepted algorithm takes'))
}

/** Checks a JWK and reduces it to its public members, `kid` and `alg`. Throws an Error that says why it cannot be used, as a clause. */
export function readJwk(value: unknown): JWK {
  if (typeof value !== 'object' || value === null) throw new Error('it is no JWK')
  const { kty, kid, use, key_ops, alg, d } = value as Record<string, unknown>
  if (kty === 'oct') throw new Error('it is a shared secret, and tokens are verified by public keys alone')
  if (d !== undefined) throw new Error('it is a private key, and this service needs the public one')
  if (use !== undefined && use !== 'sig') throw new Error('its use is not sig')
  if (key_ops !== undefined && !(Array.isArray(key_ops) && key_ops.includes('verify')))
    throw new Error('its key_ops do not hold verify')
  if (kid !== undefined && typeof kid !== 'string') throw new Error('its kid is no text')
  const key = attempt(() => createPublicKey({ key: value as JsonWebKey, format: 'jwk' }), 'it is no JWK')
  const algorithms = algorithmsOf(key)
  if (algorithms.length === 0)
    throw new Error(`it is none of RSA of ${RSA_BITS_MIN} bits or more, P-256, P-384, P-521 and Ed25519`)
  if (alg !== undefined && !algorithms.includes(alg as string)) throw new Error('its alg does not fit it')
  return {
    ...(key.export({ format: 'jwk' }) as JWK),
    ...(kid === undefined ? {} : { kid }),
    ...(alg === undefined ? {} : { alg: alg as string })
  }
}

function algorithmsOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): string[] {
  switch (type) {
    case 'rsa':
      return details!.modulusLength! >= RSA_BITS_MIN ? RSA : []
    case 'ec':
      return EC[details!.namedCurve!] ?? []
    case 'ed25519':
      return ['EdDSA']
    default:
      return []
  }
}

function attempt<T>(read: () => T, otherwise: string): T {
  try {
    return read()
  } catch {
    throw new Error(otherwise) // What the library says may quote the key.
  }
}
