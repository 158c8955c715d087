/** One key as a setting: every form that is taken, and a sentence for what is none. */
import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { loadConfig } from '../../src/config.js'
import { readPublicKey } from '../../src/edge/public-jwk.js'
import { openJwtVerifierOf } from '../../src/optional-parts.js'
import { StartError } from '../../src/start-error.js'
import { ALGORITHMS, AUDIENCE, claims, ISSUER, keyOf, odd, openVerifier, rsa, verdict } from '../support/issuer.js'
import { base64url, certificateOf, newTokenKey, signedToken } from '../support/tokens.js'

const pem = (alg: string): string => keyOf(alg).publicKey.export({ type: 'spki', format: 'pem' }) as string
const silent = { onRefused: () => {}, onKeysTrouble: () => {} }
const compose = (JWT_PUBLIC_KEY: string) =>
  openJwtVerifierOf(loadConfig({ JWT_PUBLIC_KEY, JWT_ISSUER: ISSUER, JWT_AUDIENCE: AUDIENCE }), silent)

t.test(
  'a key of every algorithm is taken as PEM and as a JWK, and verifies what it signed and nothing else',
  async (t) => {
    for (const alg of ALGORITHMS) {
      for (const publicKey of [pem(alg), JSON.stringify(keyOf(alg).jwk)]) {
        const verifying = openVerifier({ publicKey })
        for (const other of ALGORITHMS) {
          const found = await verdict(verifying, signedToken(keyOf(other), claims()))
          t.equal(found, other === alg ? 'accepted' : '401 UNAUTHENTICATED', `${other} with the key of ${alg}`)
        }
      }
    }
  }
)

t.test('one RSA key verifies all algorithms of RSA, or the one that its JWK names', async (t) => {
  const verifying = openVerifier({ publicKey: pem('RS256') })
  const named = openVerifier({ publicKey: JSON.stringify({ ...rsa.jwk, alg: 'PS384' }) })
  for (const alg of ALGORITHMS.slice(0, 6)) {
    const token = signedToken({ ...rsa, alg }, claims())
    t.equal(await verdict(verifying, token), 'accepted', alg)
    t.equal(await verdict(named, token), alg === 'PS384' ? 'accepted' : '401 UNAUTHENTICATED', `${alg}, PS384 is named`)
  }
})

t.test('the forms in which settings arrive', async (t) => {
  const forms = {
    'a certificate': certificateOf(rsa),
    'PEM with \\n for the ends of lines': pem('RS256').replaceAll('\n', '\\n'),
    'PEM with the ends of lines of Windows': pem('RS256').replaceAll('\n', '\r\n'),
    'PEM between spaces': `  \n${pem('RS256')}\n\n`,
    'a JWK in lines': JSON.stringify(rsa.jwk, null, 2),
    'a JWK with its use': JSON.stringify({ ...rsa.jwk, use: 'sig', key_ops: ['verify'], alg: 'RS256' }),
    'a JWK without an id': JSON.stringify({ ...rsa.jwk, kid: undefined })
  }
  for (const [name, publicKey] of Object.entries(forms))
    t.equal(await verdict(openVerifier({ publicKey }), signedToken(rsa, claims())), 'accepted', name)
})

const privatePem = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
const refused: [string, RegExp, string][] = [
  ['a word', /it is none of these/, 'secret'],
  ['an address', /it is none of these/, 'https://login.example.com/jwks'],
  ['base64 without its frame', /it is none of these/, pem('RS256').split('\n')[1]!],
  ['PKCS#1', /it is none of these/, rsa.publicKey.export({ type: 'pkcs1', format: 'pem' }) as string],
  ['PEM behind a word', /it is none of these/, `key: ${pem('RS256')}`],
  ['PEM cut short', /its PEM is damaged/, pem('RS256').slice(0, 200)],
  ['PEM of nothing', /its PEM is damaged/, '-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----'],
  ['a private key (PKCS#8)', /it is a private key/, privatePem],
  ['a private key (PKCS#1)', /it is a private key/, rsa.privateKey.export({ type: 'pkcs1', format: 'pem' }) as string],
  ['a private key behind a public one', /it is a private key/, pem('RS256') + privatePem],
  ['a private key (JWK)', /it is a private key/, JSON.stringify(rsa.privateKey.export({ format: 'jwk' }))],
  [
    'a private key of EdDSA (JWK)',
    /it is a private key/,
    JSON.stringify(keyOf('EdDSA').privateKey.export({ format: 'jwk' }))
  ],
  ['a shared secret', /it is a shared secret/, JSON.stringify({ kty: 'oct', k: base64url('secret') })],
  ['broken JSON', /it is not JSON/, JSON.stringify(rsa.jwk).slice(0, -1)],
  ['a set of keys', /it is no JWK/, JSON.stringify({ keys: [rsa.jwk] })],
  ['an empty object', /it is no JWK/, '{}'],
  ['a key without its modulus', /it is no JWK/, JSON.stringify({ ...rsa.jwk, n: undefined })],
  ['a point off its curve', /it is no JWK/, JSON.stringify({ ...keyOf('ES256').jwk, y: keyOf('ES256').jwk.x })],
  [
    'RSA of 1024 bits',
    /it is none of RSA of 2048 bits or more, P-256/,
    odd.weak.publicKey.export({ type: 'spki', format: 'pem' }) as string
  ],
  [
    'RSA of 2040 bits',
    /it is none of RSA of 2048 bits or more/,
    JSON.stringify(newTokenKey('RS256', 'k', {}, 2040).jwk)
  ],
  ['secp256k1', /it is none of RSA/, odd.koblitz.publicKey.export({ type: 'spki', format: 'pem' }) as string],
  [
    'Ed448',
    /it is none of RSA/,
    generateKeyPairSync('ed448').publicKey.export({ type: 'spki', format: 'pem' }) as string
  ],
  [
    'X25519',
    /it is none of RSA/,
    generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'pem' }) as string
  ],
  [
    'RSA that is for PSS alone',
    /of a kind that no accepted algorithm takes/,
    generateKeyPairSync('rsa-pss', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' }) as string
  ],
  ['a key for encryption', /its use is not sig/, JSON.stringify({ ...rsa.jwk, use: 'enc' })],
  ['a key that may not verify', /its key_ops do not hold verify/, JSON.stringify({ ...rsa.jwk, key_ops: ['encrypt'] })],
  ['a key with another algorithm', /its alg does not fit it/, JSON.stringify({ ...rsa.jwk, alg: 'ES256' })],
  [
    'a key with an algorithm of shared secrets',
    /its alg does not fit it/,
    JSON.stringify({ ...rsa.jwk, alg: 'HS256' })
  ],
  ['a key with a number for an id', /its kid is no text/, JSON.stringify({ ...rsa.jwk, kid: 7 })]
]

t.test('what is no key stops the start with one sentence, which does not show it', async (t) => {
  for (const [name, reason, text] of refused) {
    t.throws(() => readPublicKey(text), reason, name)
    const err = await compose(text).then(
      () => t.fail(`${name} was taken`),
      (err: Error) => err
    )
    t.ok(err instanceof StartError, name)
    t.match((err as Error).message, /^JWT_PUBLIC_KEY is no key that .*: expected PEM of .*; [^.\n]+\.$/, name)
    for (const part of text.match(/[\w+/=-]{24,}/g) ?? []) t.notOk((err as Error).message.includes(part), name)
  }
})

t.test(
  'a verifier is made where a source of keys is set, and an issuer that is down does not stop the start',
  async (t) => {
    t.equal(await openJwtVerifierOf(loadConfig({}), silent), null)
    t.match(await (await compose(pem('RS256')))!.verify(signedToken(rsa, claims({ exp: 4e9, iat: 1 }))), {
      name: 'jwt:ada'
    })
    const down = loadConfig({ JWT_JWKS_URL: 'http://127.0.0.1:1/jwks', JWT_ISSUER: ISSUER, JWT_AUDIENCE: AUDIENCE })
    const verifier = await openJwtVerifierOf(down, silent)
    await t.rejects(verifier!.verify(signedToken(rsa, claims())), { code: 'KEYS_UNAVAILABLE' })
  }
)

t.test('the library is loaded only where tokens are used', async (t) => {
  const file = (name: string) => JSON.stringify(fileURLToPath(new URL(`../../src/${name}`, import.meta.url)))
  const script = `
    const { Session } = await import('node:inspector')
    await import(${file('compose.ts')})
    const { openJwtVerifierOf } = await import(${file('optional-parts.ts')})
    const urls = []
    const session = new Session()
    session.connect()
    session.on('Debugger.scriptParsed', ({ params }) => urls.push(params.url))
    session.post('Debugger.enable')
    const loaded = () => urls.some((url) => url.includes('/node_modules/jose/'))
    await openJwtVerifierOf({}, {})
    console.log(urls.length > 100, loaded())
    await openJwtVerifierOf({ JWT_PUBLIC_KEY: ${JSON.stringify(pem('RS256'))}, JWT_ISSUER: 'x', JWT_AUDIENCE: 'y' }, {})
    console.log(loaded())`
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--import',
    'tsx',
    '--input-type=module',
    '-e',
    script
  ])
  t.equal(stdout, 'true false\ntrue\n')
})
