/**
 * Tokens that must not be accepted, by the reason of their refusal: each is what one attack, or one fault of an issuer, looks
 * like. All but the named fault is right, so that a check that is missing lets the token in.
 */
import { createHash } from 'node:crypto'
import { TOKEN_BYTES_MAX } from '../../src/edge/jwt.js'
import {
  AUDIENCE,
  claims,
  ec,
  good,
  ISSUER,
  keyOf,
  NOW,
  odd,
  published,
  rsa,
  SECRET,
  SKEW,
  stranger,
  strangerEc,
  TENANT
} from '../support/issuer.js'
import { base64url, certificateOf, macOf, signatureOf, signedToken, tokenOf } from '../support/tokens.js'

/** The order of P-256, and of Ed25519. */
const ORDER = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
const ORDER_25519 = 2n ** 252n + 27742317777372353535851937790883648493n

/** A good token whose header or claims are other ones; undefined removes one. */
const withHeader = (members: object, key = rsa): string => signedToken(key, claims(), members)
const withClaims = (members: object): string => signedToken(rsa, claims(members))
const rawPayload = (payload: string | Buffer): string =>
  tokenOf({ alg: 'RS256', kid: rsa.kid }, payload, (input) => signatureOf('RS256', rsa.privateKey, input))
const rawHeader = (header: string | Buffer): string =>
  tokenOf(header, claims(), (input) => signatureOf('RS256', rsa.privateKey, input))
const unsigned = (alg: unknown): string => tokenOf({ alg, kid: rsa.kid }, claims(), () => '')
const parts = (token: string): [string, string, string] => token.split('.') as [string, string, string]
const claimsText = (more: object = {}): string => JSON.stringify(claims(more))
/** The good token with its parts changed. */
function reshaped(change: (header: string, payload: string, signature: string) => string): string {
  return change(...parts(good()))
}
function resigned(change: (signature: Buffer) => Buffer, key = rsa): string {
  const [header, payload, signature] = parts(signedToken(key, claims()))
  return `${header}.${payload}.${base64url(change(Buffer.from(signature, 'base64url')))}`
}
/** A token of exactly so many bytes: each length but one in four can be had by padding the payload. */
export function ofLength(bytes: number): string {
  for (let padding = 0, header = {}; padding < 4; padding++, header = { x: 'x'.repeat(padding) }) {
    const bare = withHeader(header).length
    for (let fill = Math.floor(((bytes - bare) * 3) / 4) - 30; fill < bytes; fill++) {
      const token = signedToken(rsa, claims({ fill: 'x'.repeat(fill) }), header)
      if (token.length === bytes) return token
      if (token.length > bytes) break
    }
  }
  throw new Error(`no token has ${bytes} bytes`)
}

/** What a verifier that takes the algorithm of the header at its word would use as a secret. */
const spkiPem = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string
const secrets: Record<string, string | Buffer> = {
  'the PEM (SPKI)': spkiPem,
  'the PEM without its last end of line': spkiPem.trim(),
  'the PEM with the ends of lines of Windows': spkiPem.replaceAll('\n', '\r\n'),
  'the PEM behind white space': ` ${spkiPem}`,
  'the PEM (PKCS#1)': rsa.publicKey.export({ type: 'pkcs1', format: 'pem' }) as string,
  'the certificate': certificateOf(rsa),
  'the DER': rsa.publicKey.export({ type: 'spki', format: 'der' }),
  'the text of the JWK': JSON.stringify(rsa.jwk),
  'the modulus': rsa.jwk.n!,
  'the bytes of the modulus': Buffer.from(rsa.jwk.n!, 'base64url'),
  nothing: ''
}
const macs = ['HS256', 'HS384', 'HS512'].flatMap((alg) =>
  Object.entries(secrets).map(([name, secret]): [string, string] => [
    `${alg} with ${name} as the secret`,
    tokenOf({ alg, typ: 'JWT', kid: rsa.kid }, claims(), (input) => macOf(alg, secret, input))
  ])
)

const ownKey = (members: object): string => signedToken(stranger, claims(), members)
const strangersCertificate = certificateOf(stranger).replaceAll(/-----.*-----|\n/g, '')
const thumbprint = createHash('sha256').update(strangersCertificate).digest('base64url')

/** From the reason of the refusal to the tokens that have it: each a name and a token. */
export const forged: [RegExp, [string, string][]][] = [
  [
    /"alg" .*not allowed$/,
    [
      ...['none', 'None', 'NONE', 'nOnE', 'none ', ' none', 'none\0'].flatMap((alg): [string, string][] => [
        [`alg ${JSON.stringify(alg)} with a signature`, withHeader({ alg })],
        [`alg ${JSON.stringify(alg)} with any signature`, `${unsigned(alg)}AAAA`]
      ]),
      ...macs,
      [
        'HS256 with a published secret',
        tokenOf({ alg: 'HS256', kid: 'oct' }, claims(), (x) => macOf('HS256', SECRET, x))
      ],
      [
        'HS512 with a published secret',
        tokenOf({ alg: 'HS512', kid: 'oct-512' }, claims(), (x) => macOf('HS512', SECRET, x))
      ],
      ['alg in small letters', withHeader({ alg: 'rs256' })],
      ['alg of another name', withHeader({ alg: 'RSA-SHA256' })],
      ['alg of encryption', withHeader({ alg: 'RSA-OAEP' })],
      ['ES256K', signedToken(odd.koblitz, claims(), { alg: 'ES256K' })],
      ['ES384 called ES256K', withHeader({ alg: 'ES256K' }, keyOf('ES384'))],
      ['alg from what every object has', withHeader({ alg: 'constructor' })]
    ]
  ],
  [
    /"alg" .*missing or invalid$/,
    [
      ['no alg', withHeader({ alg: undefined })],
      ['alg null', withHeader({ alg: null })],
      ['alg empty', withHeader({ alg: '' })],
      ['alg a list', withHeader({ alg: ['RS256'] })],
      ['alg an object', withHeader({ alg: { toString: 'RS256' } })],
      ['alg a number', withHeader({ alg: 256 })]
    ]
  ],
  [
    /^it is not three parts of base64url$/,
    [
      ...['none', 'None', 'NONE', 'nOnE', 'RS256', ''].map((alg): [string, string] => [
        `alg ${JSON.stringify(alg)} without a signature`,
        unsigned(alg)
      ]),
      ['nothing', ''],
      ['a word', 'token'],
      ['two parts', reshaped((h, p) => `${h}.${p}`)],
      ['four parts', reshaped((h, p, s) => `${h}.${p}.${s}.`)],
      ['five parts, as of an encrypted token', reshaped((h, p, s) => `${h}.${p}.${s}.${s}.${s}`)],
      ['dots alone', '..'],
      ['no header', reshaped((_h, p, s) => `.${p}.${s}`)],
      ['no payload', reshaped((h, _p, s) => `${h}..${s}`)],
      ['two tokens with a comma', `${good()},${good()}`],
      ['two tokens with a space', `${good()} ${good()}`],
      ['two tokens without anything between', `${good()}${good()}`],
      [
        'JSON serialization',
        JSON.stringify({ protected: parts(good())[0], payload: parts(good())[1], signature: parts(good())[2] })
      ],
      ...Object.entries({
        'a space': ' ',
        'an end of line': '\n',
        'CR LF': '\r\n',
        'a tab': '\t',
        NUL: '\0',
        'a no-break space': '\u00a0',
        'a byte order mark': '\ufeff'
      }).flatMap(([name, gap]): [string, string][] => [
        [`${name} before the token`, reshaped((h, p, s) => `${gap}${h}.${p}.${s}`)],
        [`${name} after the header`, reshaped((h, p, s) => `${h}${gap}.${p}.${s}`)],
        [`${name} before the payload`, reshaped((h, p, s) => `${h}.${gap}${p}.${s}`)],
        [`${name} after the payload`, reshaped((h, p, s) => `${h}.${p}${gap}.${s}`)],
        [`${name} before the signature`, reshaped((h, p, s) => `${h}.${p}.${gap}${s}`)],
        [`${name} after the token`, reshaped((h, p, s) => `${h}.${p}.${s}${gap}`)],
        [`${name} within the signature`, reshaped((h, p, s) => `${h}.${p}.${s.slice(0, 9)}${gap}${s.slice(9)}`)]
      ]),
      ['= after the signature', reshaped((h, p, s) => `${h}.${p}.${s}=`)],
      ['== after the signature', reshaped((h, p, s) => `${h}.${p}.${s}==`)],
      ['= after the payload', reshaped((h, p, s) => `${h}.${p}=.${s}`)],
      [
        'the alphabet of plain base64',
        resigned(() => Buffer.alloc(256, 0xfb))
          .replaceAll('-', '+')
          .replaceAll('_', '/')
      ],
      ['a letter of another alphabet', reshaped((h, p, s) => `${h}.${p}.${s.slice(0, -1)}é`)],
      ['percent-encoding', reshaped((h, p, s) => `${h}%2E${p}%2E${s}`)],
      [
        'bits that mean nothing in the last letter',
        reshaped((h, p, s) => `${h}.${p}.${s.slice(0, -1)}${nextLetter(s)}`)
      ]
    ]
  ],
  [
    /^it is longer than 8192 bytes$/,
    [
      ['one byte too long', ofLength(TOKEN_BYTES_MAX + 1)],
      ['ten times too long', signedToken(rsa, claims({ fill: 'x'.repeat(10 * TOKEN_BYTES_MAX) }))],
      ['a million dots', '.'.repeat(1_000_000)]
    ]
  ],
  [
    /^unexpected "iss" claim value$/,
    [
      ['another issuer', withClaims({ iss: 'https://login.example.org/realms/users' })],
      ['another realm of the issuer', withClaims({ iss: ISSUER.replace('users', 'other') })],
      ['the issuer with a slash', withClaims({ iss: `${ISSUER}/` })],
      ['the issuer in capitals', withClaims({ iss: ISSUER.toUpperCase() })],
      ['the issuer in a list', withClaims({ iss: [ISSUER] })],
      ['the issuer among others', withClaims({ iss: [ISSUER, 'https://evil.example'] })],
      ['the issuer and more', withClaims({ iss: `${ISSUER}.evil.example` })],
      ['a part of the issuer', withClaims({ iss: 'https://login.example.com' })],
      ['the issuer with a space', withClaims({ iss: `${ISSUER} ` })],
      ['the issuer without encryption', withClaims({ iss: ISSUER.replace('https', 'http') })],
      ['issuer null', withClaims({ iss: null })],
      ['issuer empty', withClaims({ iss: '' })]
    ]
  ],
  [/^missing required "iss" claim$/, [['no issuer', withClaims({ iss: undefined })]]],
  [
    /^unexpected "aud" claim value$/,
    [
      ['another audience', withClaims({ aud: 'billing' })],
      ['other audiences', withClaims({ aud: ['billing', 'user-event-store-2'] })],
      ['the audience in capitals', withClaims({ aud: AUDIENCE.toUpperCase() })],
      ['the audience among words', withClaims({ aud: `billing ${AUDIENCE}` })],
      ['no audience in the list', withClaims({ aud: [] })],
      ['the audience in a list in the list', withClaims({ aud: [[AUDIENCE]] })],
      ['the audience as a name', withClaims({ aud: { [AUDIENCE]: true } })],
      ['audience null', withClaims({ aud: null })],
      ['any audience', withClaims({ aud: '*' })]
    ]
  ],
  [/^missing required "aud" claim$/, [['no audience', withClaims({ aud: undefined })]]],
  [
    /^"exp" claim timestamp check failed$/,
    [
      ['expired by a second more than the skew', withClaims({ exp: NOW - SKEW - 1 })],
      ['expired by the skew', withClaims({ exp: NOW - SKEW })],
      ['expired a year ago', withClaims({ exp: NOW - 31_536_000 })],
      ['expiry 0', withClaims({ exp: 0 })],
      ['expiry negative', withClaims({ exp: -1 })],
      ['expiry negative and large', withClaims({ exp: -(NOW + 60) })]
    ]
  ],
  [/^missing required "exp" claim$/, [['no expiry', withClaims({ exp: undefined })]]],
  [
    /^"exp" claim must be a number$/,
    [
      ['expiry as text', withClaims({ exp: String(NOW + 60) })],
      ['expiry as a date', withClaims({ exp: '2099-01-01T00:00:00Z' })],
      ['expiry null', withClaims({ exp: null })],
      ['expiry true', withClaims({ exp: true })],
      ['expiry a list', withClaims({ exp: [NOW + 60] })]
    ]
  ],
  [
    /^exp is no whole number$/,
    [
      ['expiry with a fraction', withClaims({ exp: NOW + 60.5 })],
      ['expiry beyond what is exact', withClaims({ exp: 2 ** 53 })],
      ['expiry infinite', rawPayload(claimsText({ exp: 0 }).replace('"exp":0', '"exp":1e999'))]
    ]
  ],
  [
    /^"nbf" claim timestamp check failed$/,
    [
      ['valid from a second after the skew', withClaims({ nbf: NOW + SKEW + 1 })],
      ['valid from tomorrow', withClaims({ nbf: NOW + 86_400, exp: NOW + 90_000 })]
    ]
  ],
  [
    /^"nbf" claim must be a number$/,
    [
      ['valid from a text', withClaims({ nbf: String(NOW) })],
      ['valid from null', withClaims({ nbf: null })]
    ]
  ],
  [/^nbf is no whole number$/, [['valid from a fraction', withClaims({ nbf: NOW - 0.5 })]]],
  [
    /^iat is in the future$/,
    [
      ['made a second after the skew', withClaims({ iat: NOW + SKEW + 1 })],
      ['made tomorrow', withClaims({ iat: NOW + 86_400, exp: NOW + 90_000 })]
    ]
  ],
  [/^"iat" claim must be a number$/, [['made at a text', withClaims({ iat: String(NOW) })]]],
  [/^iat is no whole number$/, [['made at a fraction', withClaims({ iat: NOW - 0.5 })]]],
  [
    /^signature verification failed$/,
    [
      ['the id of a key, signed with another of its kind', signedToken(stranger, claims())],
      ['the id of another key of the issuer', withHeader({ kid: 'key-RS384' })],
      ['the id of another kind of RSA key', withHeader({ kid: 'key-PS256' })],
      ['RS256 called RS512', withHeader({ alg: 'RS512' })],
      ['RS256 called PS256', withHeader({ alg: 'PS256' })],
      ['PS256 called RS256', withHeader({ alg: 'RS256' }, keyOf('PS256'))],
      ['PS384 called PS256', withHeader({ alg: 'PS256' }, keyOf('PS384'))],
      ['the signature of another token', reshaped((h, p) => `${h}.${p}.${parts(good())[2]}`)],
      ['the payload of another token', reshaped((h, _p, s) => `${h}.${parts(good())[1]}.${s}`)],
      ['the header of another token', reshaped((_h, p, s) => `${parts(withHeader({ x: 1 }))[0]}.${p}.${s}`)],
      [
        'a claim changed',
        reshaped(
          (h, p, s) =>
            `${h}.${base64url(Buffer.from(p, 'base64url').toString().replace('events:read', 'tenants:all'))}.${s}`
        )
      ],
      [
        'white space in the payload that was not signed',
        reshaped((h, p, s) => `${h}.${base64url(`${Buffer.from(p, 'base64url')} `)}.${s}`)
      ],
      ['the first bit of the signature changed', resigned(flip(0))],
      ['the last bit of the signature changed', resigned(flip(255))],
      ['the signature without its last byte', resigned((bytes) => bytes.subarray(0, -1))],
      ['the signature without its first byte', resigned((bytes) => bytes.subarray(1))],
      ['the signature and a byte', resigned((bytes) => Buffer.concat([bytes, Buffer.alloc(1)]))],
      ['a byte and the signature', resigned((bytes) => Buffer.concat([Buffer.alloc(1), bytes]))],
      ['the signature twice', resigned((bytes) => Buffer.concat([bytes, bytes]))],
      ['a signature of one byte', resigned(() => Buffer.alloc(1))],
      ['a signature of zeros', resigned((bytes) => Buffer.alloc(bytes.length))],
      ['a signature of ones', resigned((bytes) => Buffer.alloc(bytes.length, 255))],
      ['ECDSA: r and s are 0', resigned((bytes) => Buffer.alloc(bytes.length), ec)],
      ['ECDSA: r is 0', resigned((bytes) => bytes.fill(0, 0, 32), ec)],
      ['ECDSA: s is 0', resigned((bytes) => bytes.fill(0, 32), ec)],
      ['ECDSA: r and s are the order of the curve', resigned(() => Buffer.concat([ORDER, ORDER]), ec)],
      [
        'ECDSA: r and s are exchanged',
        resigned((bytes) => Buffer.concat([bytes.subarray(32), bytes.subarray(0, 32)]), ec)
      ],
      ['ECDSA: nothing but a 0', resigned(() => Buffer.alloc(1), ec)],
      ['ECDSA in DER', resigned(toDer, ec)],
      [
        'ECDSA with wider numbers',
        resigned(
          (bytes) => Buffer.concat([Buffer.alloc(1), bytes.subarray(0, 32), Buffer.alloc(1), bytes.subarray(32)]),
          ec
        )
      ],
      ['ECDSA of another key', signedToken(strangerEc, claims())],
      ['EdDSA: a bit changed', resigned(flip(0), keyOf('EdDSA'))],
      ['EdDSA: zeros', resigned((bytes) => Buffer.alloc(bytes.length), keyOf('EdDSA'))],
      ['EdDSA: s is not reduced', resigned(unreduced, keyOf('EdDSA'))],
      ['a key of its own in the header (jwk)', ownKey({ jwk: stranger.jwk })],
      [
        'a key of its own, called as one of the issuer',
        ownKey({ jwk: { ...stranger.jwk, kid: rsa.kid, use: 'sig', alg: 'RS256' } })
      ],
      ['an address of keys in the header (jku)', ownKey({ jku: 'http://127.0.0.1:1/jwks.json' })],
      ['an address of a certificate in the header (x5u)', ownKey({ x5u: 'http://127.0.0.1:1/certificate.pem' })],
      ['a certificate in the header (x5c)', ownKey({ x5c: [strangersCertificate] })],
      ['a certificate with its thumbprint', ownKey({ x5c: [strangersCertificate], 'x5t#S256': thumbprint })]
    ]
  ],
  [
    /^no key of the issuer fits the header$/,
    [
      ['a key of its own without an id', ownKey({ jwk: stranger.jwk, kid: undefined })],
      ['the id of a key that is not there', withHeader({ kid: 'key-RS256-2' })],
      ['the id in capitals', withHeader({ kid: rsa.kid.toUpperCase() })],
      ['the id with a space', withHeader({ kid: `${rsa.kid} ` })],
      ['no id, and the issuer has several keys', withHeader({ kid: undefined })],
      ['no id, and the issuer has one key of the kind', withHeader({ kid: undefined }, keyOf('EdDSA'))],
      ['an empty id', withHeader({ kid: '' })],
      ['a path as the id', withHeader({ kid: '../../../../dev/null' })],
      ['a path to what every system has', withHeader({ kid: '/proc/sys/kernel/randomize_va_space' })],
      ['SQL as the id', withHeader({ kid: "x' UNION SELECT 'secret' --" })],
      ['a command as the id', withHeader({ kid: '$(id)|id;`id`' })],
      ['a URL as the id', withHeader({ kid: 'http://127.0.0.1:1/key' })],
      ['what every object has as the id', withHeader({ kid: '__proto__' })],
      ['a very long id', withHeader({ kid: 'k'.repeat(5000) })],
      ['an id with NUL', withHeader({ kid: `${rsa.kid}\0` })],
      ['the key of another algorithm: RS256 with the EC key', withHeader({ kid: ec.kid })],
      ['ES256 with the RSA key', withHeader({ kid: rsa.kid }, ec)],
      ['EdDSA with the RSA key', withHeader({ kid: rsa.kid }, keyOf('EdDSA'))],
      ['RS256 called ES256', withHeader({ alg: 'ES256' })],
      ['RS256 called EdDSA', withHeader({ alg: 'EdDSA' })],
      ['ES256 with the key on P-384', withHeader({ kid: 'key-ES384' }, ec)],
      ['ES384 called ES256', withHeader({ alg: 'ES256' }, keyOf('ES384'))],
      ['ES256 called ES512', withHeader({ alg: 'ES512' }, ec)],
      ['a key for encryption', signedToken(odd.enc, claims())],
      ['a key for another algorithm', signedToken(odd.otherAlg, claims())],
      ['a key for an algorithm of encryption', signedToken(odd.encAlg, claims())],
      ['a key with an algorithm that it cannot do', signedToken(odd.wrongAlg, claims())],
      ['a key with an algorithm of shared secrets', signedToken(odd.macAlg, claims())],
      ['a key whose operations lack verify', signedToken(odd.noVerify, claims())],
      ['a key whose operations are no list', signedToken(odd.textOps, claims())],
      ['an RSA key of 1024 bits', signedToken(odd.weak, claims())],
      ['a key on secp256k1', signedToken(odd.koblitz, claims(), { alg: 'ES256' })],
      ['a key that is not on its curve', withHeader({ kid: 'off-curve' }, ec)],
      ['a private key that was published', signedToken(published, claims())],
      ['two keys of one id', signedToken(odd.twinA, claims())],
      ['two keys of one id, the other', signedToken(odd.twinB, claims())],
      ['the id of a shared secret', withHeader({ kid: 'oct' })],
      ['a key with a number for an id', signedToken(odd.numbered, claims(), { kid: '7' })],
      ['a key without an id', signedToken(odd.nameless, claims())]
    ]
  ],
  [
    /^kid is no text$/,
    [
      ['a number as the id', withHeader({ kid: 0 })],
      ['the number that a key has', signedToken(odd.numbered, claims(), { kid: 7 })],
      ['null as the id', withHeader({ kid: null })],
      ['a list as the id', withHeader({ kid: [rsa.kid] })],
      ['an object as the id', withHeader({ kid: { $ne: null } })]
    ]
  ],
  [
    /^the header asks for extensions$|"crit"|"b64"|Extension Header Parameter/,
    [
      ['an unknown extension', withHeader({ crit: ['x'], x: 1 })],
      ['an unknown extension that is not there', withHeader({ crit: ['x'] })],
      ['a known name as an extension', withHeader({ crit: ['alg'] })],
      ['no extension', withHeader({ crit: [] })],
      ['extensions null', withHeader({ crit: null })],
      ['extensions as text', withHeader({ crit: 'exp' })],
      ['the expiry as an extension', withHeader({ crit: ['exp'], exp: NOW + 60 })],
      ['b64 true as an extension', withHeader({ crit: ['b64'], b64: true })],
      ['b64 false', withHeader({ b64: false })],
      ['b64 true', withHeader({ b64: true })],
      ['b64 false as an extension', withHeader({ crit: ['b64'], b64: false })],
      ['b64 as text', withHeader({ crit: ['b64'], b64: 'false' })]
    ]
  ],
  [
    /^JWS Protected Header is invalid$|^it cannot be verified/,
    [
      ['a header that is no JSON', rawHeader('alg=RS256')],
      ['a header that is cut', rawHeader(`{"alg":"RS256","kid":"${rsa.kid}"`)],
      ['a header that is a list', rawHeader('["RS256"]')],
      ['a header that is a text', rawHeader('"RS256"')],
      ['a header that is null', rawHeader('null')],
      ['a header that is no text', rawHeader(Buffer.from([0xff, 0xfe, 0x7b, 0x7d]))]
    ]
  ],
  [
    /^a name stands twice in the header$/,
    [
      ['alg twice, the second good', rawHeader(`{"alg":"none","alg":"RS256","kid":"${rsa.kid}"}`)],
      ['alg twice, in two spellings', rawHeader(`{"a\\u006cg":"none","alg":"RS256","kid":"${rsa.kid}"}`)],
      ['kid twice', rawHeader(`{"alg":"RS256","kid":"x","kid":"${rsa.kid}"}`)]
    ]
  ],
  [
    /^JWT Claims Set must be a top-level JSON object$/,
    [
      ['a payload that is no JSON', rawPayload('sub=ada')],
      ['a payload that is cut', rawPayload(claimsText().slice(0, -1))],
      ['a payload that is two', rawPayload(claimsText() + claimsText())],
      ['a payload that is a list', rawPayload(`[${claimsText()}]`)],
      ['a payload that is a text', rawPayload(JSON.stringify(claimsText()))],
      ['a payload that is a number', rawPayload('7')],
      ['a payload that is null', rawPayload('null')],
      [
        'a payload that is no text',
        rawPayload(
          Buffer.concat([
            Buffer.from(claimsText().slice(0, -1)),
            Buffer.from([0x2c, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])
          ])
        )
      ],
      ['a token in a token', rawPayload(good())]
    ]
  ],
  [
    /^a claim stands twice$/,
    [
      ['tenant twice', rawPayload(claimsText().replace('{', `{"tenant_id":"${TENANT.replace('a', 'b')}",`))],
      ['subject twice, the same', rawPayload(claimsText().replace('{', '{"sub":"ada",'))],
      ['expiry twice', rawPayload(claimsText().replace('{', '{"exp":1,'))],
      ['issuer twice, in two spellings', rawPayload(claimsText().replace('{', '{"\\u0069ss":"x",'))],
      ['a name twice further down', rawPayload(claimsText({ more: 0 }).replace('"more":0', '"more":{"a":1,"a":2}'))]
    ]
  ],
  [/^missing required "sub" claim$/, [['no subject', withClaims({ sub: undefined })]]],
  [
    /^sub is not/,
    [
      ['subject empty', withClaims({ sub: '' })],
      ['subject too long by one', withClaims({ sub: 'x'.repeat(201) })],
      ['subject with an end of line', withClaims({ sub: 'ada\n' })],
      ['subject with NUL', withClaims({ sub: 'ada\0' })],
      ['subject with an escape', withClaims({ sub: '\x1b[31mada' })],
      ['subject with half of a character', withClaims({ sub: 'ada\ud800' })],
      ['subject a number', withClaims({ sub: 7 })],
      ['subject null', withClaims({ sub: null })],
      ['subject a list', withClaims({ sub: ['ada'] })]
    ]
  ],
  [
    /^tenant_id is/,
    [
      ['no tenant', withClaims({ tenant_id: undefined })],
      ['tenant null', withClaims({ tenant_id: null, scope: 'tenants:all' })],
      ['tenant empty', withClaims({ tenant_id: '' })],
      ['tenant a word', withClaims({ tenant_id: 'default' })],
      ['tenant two UUIDs', withClaims({ tenant_id: [TENANT, TENANT] })],
      ['tenant and SQL', withClaims({ tenant_id: `${TENANT}' OR ''='` })],
      ['tenant a UUID and an end of line', withClaims({ tenant_id: `${TENANT}\n` })]
    ]
  ],
  [
    /^scope is neither/,
    [
      ['scopes an object', withClaims({ scope: { 'tenants:all': true } })],
      ['scopes a number', withClaims({ scope: 1 })]
    ]
  ]
]

/** The next letter of the alphabet of base64url after the last one of `part`: the same bytes, written otherwise. */
function nextLetter(part: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return alphabet[alphabet.indexOf(part.at(-1)!) + 1]!
}

function flip(at: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    bytes[at]! ^= 1
    return bytes
  }
}

/** An ECDSA signature as X.509 has it: two integers that are as short as they can be. */
function toDer(signature: Buffer): Buffer {
  const integers = [signature.subarray(0, 32), signature.subarray(32)].map((bytes) => {
    const short = bytes.subarray(bytes.findIndex((byte) => byte !== 0))
    const positive = short[0]! > 127 ? Buffer.concat([Buffer.alloc(1), short]) : short
    return Buffer.concat([Buffer.from([2, positive.length]), positive])
  })
  const content = Buffer.concat(integers)
  return Buffer.concat([Buffer.from([0x30, content.length]), content])
}

/** The same signature of Ed25519 with the order added to s, which RFC 8032 does not allow. */
function unreduced(signature: Buffer): Buffer {
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`) + ORDER_25519
  const bytes = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse()
  return Buffer.concat([signature.subarray(0, 32), bytes])
}
