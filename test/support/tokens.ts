/**
 * JSON Web Tokens, made by hand: a test can form and sign them in ways that no library would. The signatures are those of
 * Node, not of the library under test.
 */
import {
  constants,
  createHmac,
  sign as createSignature,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject
} from 'node:crypto'

/** An issuer's key; `jwk` is what it publishes of it. */
export type TokenKey = { alg: string; kid: string; privateKey: KeyObject; publicKey: KeyObject; jwk: JsonWebKey }

const CURVES: Record<string, string> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521', ES256K: 'secp256k1' }

/** A new key for an algorithm; `members` are added to what is published. */
export function newTokenKey(alg: string, kid: string, members: JsonWebKey = {}, modulusLength = 2048): TokenKey {
  const namedCurve = CURVES[alg]
  const { privateKey, publicKey } = namedCurve
    ? generateKeyPairSync('ec', { namedCurve })
    : alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('rsa', { modulusLength })
  return { alg, kid, privateKey, publicKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, ...members } }
}

/** The same key, published under another id and with other members: making keys of RSA takes long. */
export const publishedAs = (key: TokenKey, kid: string, members: JsonWebKey = {}): TokenKey => ({
  ...key,
  kid,
  jwk: { ...key.jwk, kid, ...members }
})

export const base64url = (part: string | Buffer | object): string =>
  (Buffer.isBuffer(part) ? part : Buffer.from(typeof part === 'string' ? part : JSON.stringify(part))).toString(
    'base64url'
  )

/** The signature of `input` by an asymmetric algorithm (RFC 7518, section 3). */
export function signatureOf(alg: string, key: KeyObject, input: string): Buffer {
  const data = Buffer.from(input)
  if (alg === 'EdDSA') return createSignature(null, data, key)
  const hash = `sha${alg.slice(2, 5)}`
  if (alg.startsWith('ES')) return createSignature(hash, data, { key, dsaEncoding: 'ieee-p1363' })
  if (alg.startsWith('RS')) return createSignature(hash, data, key)
  const padding = constants.RSA_PKCS1_PSS_PADDING
  return createSignature(hash, data, { key, padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST })
}

/** The signature of `input` by HS256, HS384 or HS512. */
export const macOf = (alg: string, secret: string | Buffer, input: string): Buffer =>
  createHmac(`sha${alg.slice(2)}`, secret)
    .update(input)
    .digest()

/** A token; `header` and `payload` are JSON, or text that takes its place. */
export function tokenOf(
  header: string | object,
  payload: string | object,
  sign: (input: string) => Buffer | string
): string {
  const input = `${base64url(header)}.${base64url(payload)}`
  return `${input}.${base64url(sign(input))}`
}

/** A token as an honest issuer makes it; `members` are added to its header. */
export const signedToken = (key: TokenKey, payload: string | object, members: object = {}): string =>
  tokenOf({ alg: key.alg, typ: 'JWT', kid: key.kid, ...members }, payload, (input) =>
    signatureOf(key.alg, key.privateKey, input)
  )

/** PEM of a self-signed certificate (RFC 5280) that holds the key and little else. */
export function certificateOf({ privateKey, publicKey }: TokenKey): string {
  const sha256WithRsa = der(0x30, Buffer.from('06092a864886f70d01010b0500', 'hex'))
  const name = der(0x30)
  const dates = der(0x30, der(0x17, Buffer.from('250101000000Z')), der(0x17, Buffer.from('490101000000Z')))
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const version3 = der(0xa0, der(0x02, Buffer.from([2])))
  const body = der(0x30, version3, der(0x02, Buffer.from([1])), sha256WithRsa, name, dates, name, spki)
  const signature = createSignature('sha256', body, privateKey)
  const certificate = der(0x30, body, sha256WithRsa, der(0x03, Buffer.from([0]), signature))
  const lines = certificate.toString('base64').replace(/.{64}/g, '$&\n')
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}

/** One value in DER: tag, length, content. */
function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}
