/** An issuer of tokens, what it publishes, and verifiers that trust it. All keys are made anew for each test file. */
import type { JsonWebKey } from 'node:crypto'
import type { Test } from 'tap'
import { DomainError } from '../../src/domain/errors.js'
import { type JwtVerifier, type JwtVerifierOptions, openJwtVerifier } from '../../src/edge/jwt.js'
import { errorTable } from '../../src/http/errors.js'
import { startReceiver } from './receiver.js'
import { base64url, newTokenKey, publishedAs, signedToken, type TokenKey } from './tokens.js'

export const ISSUER = 'https://login.example.com/realms/users'
export const AUDIENCE = 'user-event-store'
export const TENANT = '0191d5a0-7c1e-7000-8000-00000000000a'
/** The moment of all tests, s, and the skew that is allowed. */
export const NOW = 1_800_000_000
export const SKEW = 5

export const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']
const keys = new Map(ALGORITHMS.map((alg) => [alg, newTokenKey(alg, `key-${alg}`)]))
export const keyOf = (alg: string): TokenKey => keys.get(alg)!
export const rsa = keyOf('RS256')
export const ec = keyOf('ES256')
export const stranger = newTokenKey('RS256', rsa.kid)
export const strangerEc = newTokenKey('ES256', ec.kid)

const spare = newTokenKey('RS256', 'spare')

/** Published too, but not to verify tokens with, or not in this way. */
export const odd = {
  enc: publishedAs(spare, 'enc', { use: 'enc' }),
  otherAlg: publishedAs(spare, 'other-alg', { alg: 'RS512' }),
  encAlg: publishedAs(spare, 'enc-alg', { alg: 'RSA-OAEP-256' }),
  wrongAlg: newTokenKey('ES256', 'wrong-alg', { alg: 'RS256' }),
  macAlg: publishedAs(spare, 'mac-alg', { alg: 'HS256' }),
  noVerify: publishedAs(spare, 'no-verify', { key_ops: ['encrypt'] }),
  textOps: publishedAs(spare, 'text-ops', { key_ops: 'verify' as never }),
  weak: newTokenKey('RS256', 'weak', {}, 1024),
  koblitz: newTokenKey('ES256K', 'koblitz'),
  twinA: publishedAs(spare, 'twin'),
  twinB: publishedAs(keyOf('RS512'), 'twin'),
  numbered: publishedAs(spare, 'numbered', { kid: 7 as never }),
  nameless: publishedAs(spare, 'nameless', { kid: undefined as never })
}
export const published = publishedAs(spare, 'published')
export const SECRET = 'a shared secret that the issuer has published by mistake'
const oct = (kid: string, alg: string): JsonWebKey => ({ kty: 'oct', kid, alg, k: base64url(SECRET) })

export const jwks = {
  keys: [
    ...[...keys.values(), ...Object.values(odd)].map(({ jwk }) => jwk),
    { ...published.privateKey.export({ format: 'jwk' }), kid: published.kid },
    { ...ec.jwk, kid: 'off-curve', y: ec.jwk.x! },
    oct('oct', 'HS256'),
    oct('oct-512', 'HS512'),
    null,
    'key',
    [],
    {}
  ]
}

let made = 0
/** Claims of a good token, no two the same. */
export const claims = (more: object = {}): Record<string, unknown> => ({
  iss: ISSUER,
  aud: AUDIENCE,
  sub: 'ada',
  exp: NOW + 60,
  iat: NOW,
  jti: `token-${++made}`,
  tenant_id: TENANT,
  scope: 'events:read',
  ...more
})
export const good = (): string => signedToken(rsa, claims())
export const PRINCIPAL = { name: 'jwt:ada', tenantId: TENANT, scopes: new Set(['events:read']) }

export type Verifying = { verifier: JwtVerifier; refusals: string[]; troubles: string[] }

export function openVerifier(keys: JwtVerifierOptions['keys'], options: Partial<JwtVerifierOptions> = {}): Verifying {
  const refusals: string[] = []
  const troubles: string[] = []
  const verifier = openJwtVerifier({
    keys,
    issuer: ISSUER,
    audience: AUDIENCE,
    clockSkewS: SKEW,
    claims: { tenant: 'tenant_id', scope: 'scope', scopePrefix: '' },
    onRefused: (reason) => refusals.push(reason),
    onKeysTrouble: (reason) => troubles.push(reason),
    now: () => NOW * 1000 + 999,
    ...options
  })
  return { verifier, refusals, troubles }
}

/** A verifier whose keys come from a real server. */
export async function overHttp(
  t: Test,
  set: object = jwks,
  options: Partial<JwtVerifierOptions> = {}
): Promise<Verifying> {
  const { url } = await startReceiver(t, (_request, response) => response.end(JSON.stringify(set)))
  return openVerifier({ url }, options)
}

/** `accepted`, or the status and code of the refusal. */
export async function verdict({ verifier }: Verifying, token: string): Promise<string> {
  try {
    await verifier.verify(token)
    return 'accepted'
  } catch (err) {
    if (!(err instanceof DomainError)) throw err
    return `${errorTable[err.code].status} ${err.code}`
  }
}
