/** Tokens as they come: good ones in every algorithm and to the limits, and hundreds that must not be accepted. */
import { verify } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { DomainError } from '../../src/domain/errors.js'
import { TOKEN_BYTES_MAX } from '../../src/edge/jwt.js'
import {
  ALGORITHMS,
  AUDIENCE,
  claims,
  good,
  keyOf,
  NOW,
  openVerifier,
  overHttp,
  PRINCIPAL,
  rsa,
  SKEW,
  stranger,
  TENANT,
  verdict
} from '../support/issuer.js'
import { startReceiver } from '../support/receiver.js'
import { signedToken } from '../support/tokens.js'
import { forged, ofLength } from './forged-tokens.js'

t.test('a good token is accepted in every algorithm, and says who sends it', async (t) => {
  const verifying = await overHttp(t)
  for (const alg of ALGORITHMS) {
    t.strictSame(await verifying.verifier.verify(signedToken(keyOf(alg), claims())), PRINCIPAL, alg)
  }
  t.strictSame(verifying.refusals, [])
  t.strictSame(verifying.troubles, [])
})

t.test(
  'no forged token is accepted, each is refused for what is wrong with it, and the next good one is accepted',
  async (t) => {
    const verifying = await overHttp(t)
    const { verifier, refusals } = verifying
    const tokens = forged.flatMap(([reason, named]) => named.map(([name, token]) => ({ reason, name, token })))
    t.comment(`${tokens.length} tokens`)
    t.ok(tokens.length >= 250, 'there are hundreds')
    t.equal(new Set(tokens.map(({ token }) => token)).size, tokens.length, 'no two are the same')
    for (const { reason, name, token } of tokens) {
      t.equal(await verdict(verifying, token), '401 UNAUTHENTICATED', name)
      t.equal(refusals.length, 1, `${name}: there is a reason`)
      t.match(refusals.pop(), reason, name)
      t.strictSame(await verifier.verify(good()), PRINCIPAL, `after ${name}`)
    }
    t.strictSame(verifying.troubles, [])
  }
)

t.test('whoever sends a forged token learns nothing from the answer, and the log nothing of the token', async (t) => {
  const { verifier, refusals } = await overHttp(t)
  const sentences = new Set<string>()
  for (const [, named] of forged) {
    for (const [, token] of named) {
      const err = await verifier.verify(token).then(
        () => t.fail('accepted'),
        (err: DomainError) => err
      )
      t.ok(err instanceof DomainError)
      sentences.add(inspect({ ...(err as DomainError), message: (err as DomainError).message }))
    }
  }
  t.equal(sentences.size, 1, [...sentences].join())
  const secrets = forged.flatMap(([, named]) => named.flatMap(([, token]) => token.split('.')))
  const reasons = [...new Set(refusals)].join('\n')
  t.notOk(secrets.some((part) => part.length > 20 && reasons.includes(part)))
  t.notMatch(reasons, /ada|login\.example|UNION|0191d5a0/)
})

t.test('times are taken to the limit: skew after the expiry, skew before the beginning', async (t) => {
  for (const clockSkewS of [0, SKEW, 30]) {
    const verifying = await overHttp(t, undefined, { clockSkewS })
    const at = (times: object) => verdict(verifying, signedToken(rsa, claims(times)))
    t.equal(await at({ exp: NOW - clockSkewS + 1 }), 'accepted', `the last second, skew ${clockSkewS}`)
    t.equal(await at({ exp: NOW - clockSkewS }), '401 UNAUTHENTICATED')
    for (const name of ['nbf', 'iat']) {
      t.equal(await at({ [name]: NOW + clockSkewS }), 'accepted', `the first second of ${name}, skew ${clockSkewS}`)
      t.equal(await at({ [name]: NOW + clockSkewS + 1 }), '401 UNAUTHENTICATED')
    }
  }
})

t.test('a token expires while time goes by: nothing is remembered of it', async (t) => {
  let now = NOW * 1000
  const verifying = await overHttp(t, undefined, { now: () => now })
  const token = signedToken(rsa, claims({ exp: NOW + 1 }))
  t.equal(await verdict(verifying, token), 'accepted')
  now += (SKEW + 1) * 1000 - 1
  t.equal(await verdict(verifying, token), 'accepted', 'to the last millisecond')
  now++
  t.equal(await verdict(verifying, token), '401 UNAUTHENTICATED')
})

t.test('what issuers add does no harm', async (t) => {
  const verifying = await overHttp(t)
  const harmless = {
    'the longest token': ofLength(TOKEN_BYTES_MAX),
    'audiences with ours among them': signedToken(rsa, claims({ aud: ['billing', AUDIENCE] })),
    'no iat and no nbf': signedToken(rsa, claims({ iat: undefined })),
    'a large number in a claim': signedToken(
      rsa,
      JSON.stringify(claims({ n: 0 })).replace('"n":0', '"n":12345678901234567890')
    ),
    'an access token by its type': signedToken(rsa, claims(), { typ: 'at+jwt' }),
    'no type': signedToken(rsa, claims(), { typ: undefined }),
    'keys of others in the header': signedToken(rsa, claims(), {
      jwk: stranger.jwk,
      jku: 'http://127.0.0.1:1/',
      x5c: ['x']
    })
  }
  for (const [name, token] of Object.entries(harmless)) t.equal(await verdict(verifying, token), 'accepted', name)
})

t.test('claims are read by the names that are set', async (t) => {
  const names = { tenant: 'app.tenant', scope: 'realm_access.roles', scopePrefix: 'ues/' }
  const { verifier } = await overHttp(t, undefined, { claims: names })
  const more = {
    app: { tenant: TENANT },
    realm_access: { roles: ['ues/state:read', 'events:read'] },
    tenant_id: undefined
  }
  t.match(await verifier.verify(signedToken(rsa, claims(more))), { tenantId: TENANT, scopes: new Set(['state:read']) })
})

t.test('an address in a header is never connected to', async (t) => {
  const other = await startReceiver(t)
  const verifying = await overHttp(t)
  for (const name of ['jku', 'x5u']) {
    t.equal(await verdict(verifying, signedToken(rsa, claims(), { [name]: other.url })), 'accepted')
    t.equal(
      await verdict(verifying, signedToken(stranger, claims(), { [name]: other.url, kid: 'stranger' })),
      '401 UNAUTHENTICATED'
    )
  }
  t.equal(other.open() + other.received.length, 0)
})

t.test('with one key that is set, the id in the token does not matter, and everything else does', async (t) => {
  const publicKey = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string
  const verifying = openVerifier({ publicKey })
  for (const kid of [rsa.kid, undefined, 'another', '../x'])
    t.equal(await verdict(verifying, signedToken(rsa, claims(), { kid })), 'accepted', String(kid))
  const [UNKNOWN, UNSIGNED] = ['no key of the issuer fits the header', 'signature verification failed']
  let count = 0
  for (const [reason, named] of forged) {
    for (const [name, token] of named) {
      // Signed with the key, and nothing is wrong with it but the id.
      const [header = '', payload = '', signature = ''] = token.split('.')
      const isSigned = verify(
        'sha256',
        Buffer.from(`${header}.${payload}`),
        rsa.publicKey,
        Buffer.from(signature, 'base64url')
      )
      const isRs256 = Buffer.from(header, 'base64url').includes('"alg":"RS256"')
      const byIdAlone = isSigned && isRs256 && [UNKNOWN, UNSIGNED].some((other) => reason.test(other))
      t.equal(await verdict(verifying, token), byIdAlone ? 'accepted' : '401 UNAUTHENTICATED', name)
      count += Number(byIdAlone)
    }
    t.equal(await verdict(verifying, signedToken(rsa, claims())), 'accepted', 'and a good one is accepted')
  }
  t.ok(count > 10, 'some were refused for the id alone')
})
