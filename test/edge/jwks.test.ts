/** The keys of an issuer over HTTP: how they change, how often they are fetched, and what becomes of an issuer that is down. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { AGE_MAX_MS, COOLDOWN_MS, FRESH_MS, JWKS_BYTES_MAX, RETRY_MS } from '../../src/edge/jwks.js'
import type { JwtVerifierOptions } from '../../src/edge/jwt.js'
import { claims, openVerifier, verdict } from '../support/issuer.js'
import { startReceiver } from '../support/receiver.js'
import { newTokenKey, signedToken, type TokenKey } from '../support/tokens.js'
import { until } from '../support/wait.js'

const ACCEPTED = 'accepted'
const REFUSED = '401 UNAUTHENTICATED'
const UNAVAILABLE = '503 KEYS_UNAVAILABLE'

const one = newTokenKey('RS256', 'one')
const two = newTokenKey('RS256', 'two')
const three = newTokenKey('ES256', 'three')
const setOf = (...keys: TokenKey[]): string => JSON.stringify({ keys: keys.map(({ jwk }) => jwk) })
const token = (key: TokenKey, members: object = {}): string => signedToken(key, claims(), members)

type Answer = (response: ServerResponse) => unknown
const publishing =
  (...keys: TokenKey[]): Answer =>
  (response) =>
    response.end(setOf(...keys))
const failing: Answer = (response) => response.writeHead(500).end(setOf(one))
const silent: Answer = () => {}

/** A verifier with a clock that goes by hand, and an issuer whose answer can be changed. */
async function issuer(t: Test, first: Answer, options: Partial<JwtVerifierOptions> = {}) {
  const now = { answer: first, uptimeMs: 1_000_000 }
  const receiver = await startReceiver(t, (_request, response) => now.answer(response))
  const verifying = openVerifier({ url: receiver.url }, { uptimeMs: () => now.uptimeMs, ...options })
  return {
    ...verifying,
    receiver,
    now,
    verdictOn: (key: TokenKey, members?: object) => verdict(verifying, token(key, members)),
    fetches: () => receiver.received.length
  }
}

t.test('keys are fetched once, at the start, by a GET that asks for JSON', async (t) => {
  const { verdictOn, receiver, fetches } = await issuer(t, publishing(one, two))
  for (const key of [one, two, one]) t.equal(await verdictOn(key), ACCEPTED)
  t.equal(fetches(), 1)
  t.match(receiver.received, [{ method: 'GET', headers: { accept: /application\/json/ }, body: '' }])
  t.notOk('authorization' in receiver.received[0]!.headers)
  t.equal(receiver.received[0]!.headers.connection, 'close', 'it is minutes until the next one')
  await until(() => receiver.open() === 0)
})

t.test('requests that come at once share one fetch', async (t) => {
  const { verdictOn, fetches } = await issuer(t, publishing(one))
  t.strictSame(new Set(await Promise.all(Array.from({ length: 50 }, () => verdictOn(one)))), new Set([ACCEPTED]))
  t.equal(fetches(), 1)
})

t.test('however long a fetch takes, there is no second one beside it', async (t) => {
  const waiting: ServerResponse[] = []
  const { verdictOn, now, fetches } = await issuer(t, (response) => waiting.push(response), { fetchTimeoutMs: 60_000 })
  const answer = await until(() => waiting[0])
  const verdicts = Array.from({ length: 10 }, () => {
    now.uptimeMs += COOLDOWN_MS
    return verdictOn(one)
  })
  now.answer = publishing(one)
  publishing(one)(answer)
  t.strictSame(new Set(await Promise.all(verdicts)), new Set([ACCEPTED]))
  t.equal(fetches(), 1)
})

t.test('a new key is accepted after one more fetch, and the old one as long as it is published', async (t) => {
  const { verdictOn, now, fetches } = await issuer(t, publishing(one))
  t.equal(await verdictOn(one), ACCEPTED)
  now.answer = publishing(one, two)
  t.equal(await verdictOn(two), REFUSED, 'not within the cool-down')
  now.uptimeMs += COOLDOWN_MS
  t.equal(await verdictOn(two), ACCEPTED)
  t.equal(await verdictOn(one), ACCEPTED)
  t.equal(fetches(), 2)
  now.answer = publishing(two)
  now.uptimeMs += COOLDOWN_MS
  t.equal(await verdictOn(three), REFUSED, 'which fetches')
  t.equal(await verdictOn(one), REFUSED, 'it is withdrawn')
  t.equal(await verdictOn(two), ACCEPTED)
  t.equal(fetches(), 3)
})

t.test('a flood of unknown ids makes one fetch in a cool-down, whether the issuer answers or not', async (t) => {
  const { verdictOn, now, fetches } = await issuer(t, publishing(one))
  t.equal(await verdictOn(one), ACCEPTED)
  let id = 0
  const flood = async () =>
    new Set(await Promise.all(Array.from({ length: 50 }, () => verdictOn(one, { kid: `x${++id}` }))))
  t.strictSame(await flood(), new Set([REFUSED]))
  t.equal(fetches(), 1, 'none after the first')
  for (let round = 2; round < 6; round++) {
    now.answer = round % 2 === 0 ? publishing(one) : failing
    now.uptimeMs += COOLDOWN_MS - 1
    await flood()
    t.equal(fetches(), round - 1, 'none a millisecond before it ends')
    now.uptimeMs += 1
    await flood()
    await flood()
    t.equal(fetches(), round, 'one when it ends')
    t.equal(await verdictOn(one), ACCEPTED, 'and good tokens are accepted all the while')
  }
})

t.test('other tokens that no key fits fetch no more often', async (t) => {
  const { verdictOn, now, fetches } = await issuer(t, publishing(one, two))
  t.equal(await verdictOn(one), ACCEPTED)
  now.uptimeMs += COOLDOWN_MS
  for (const members of [{ kid: undefined }, { kid: 'two', alg: 'ES256' }, { kid: '' }])
    t.equal(await verdictOn(one, members), REFUSED)
  t.equal(fetches(), 2)
  now.uptimeMs += COOLDOWN_MS
  for (const members of [{ kid: 7 }, { alg: 'none' }, { alg: 'HS256' }, { crit: ['x'] }, { b64: false }])
    t.equal(await verdictOn(one, members), REFUSED)
  t.equal(fetches(), 2, 'and what is refused for its header does not fetch at all')
})

t.test(
  'keys are fetched again when they are no longer fresh, and one that was withdrawn is refused then',
  async (t) => {
    const { verdictOn, now, fetches } = await issuer(t, publishing(one, two))
    t.equal(await verdictOn(one), ACCEPTED)
    now.answer = publishing(two)
    now.uptimeMs += FRESH_MS - 1
    t.equal(await verdictOn(one), ACCEPTED, 'fresh to the last millisecond')
    t.equal(fetches(), 1)
    now.uptimeMs += 1
    t.equal(await verdictOn(one), REFUSED)
    t.equal(await verdictOn(two), ACCEPTED)
    t.equal(fetches(), 2)
  }
)

t.test('an issuer that withdraws all keys is believed', async (t) => {
  const { verdictOn, now, troubles } = await issuer(t, publishing(one))
  t.equal(await verdictOn(one), ACCEPTED)
  now.answer = publishing()
  now.uptimeMs += FRESH_MS
  t.equal(await verdictOn(one), REFUSED)
  t.strictSame(troubles, [])
})

t.test(
  'while an issuer fails, its keys are used to their greatest age, and then it is said that they cannot be had',
  async (t) => {
    const { verdictOn, now, fetches, troubles } = await issuer(t, publishing(one))
    t.equal(await verdictOn(one), ACCEPTED)
    now.answer = failing
    for (let age = FRESH_MS; age < AGE_MAX_MS; age += FRESH_MS) {
      now.uptimeMs += FRESH_MS
      t.equal(await verdictOn(one), ACCEPTED)
      t.equal(await verdictOn(one), ACCEPTED)
      await until(() => fetches() === 1 + age / FRESH_MS)
      await until(() => troubles.length === age / FRESH_MS)
      t.equal(await verdictOn(two), UNAVAILABLE, 'a key that is not known may be a new one')
      t.equal(await verdictOn(one, { alg: 'none' }), REFUSED)
    }
    now.uptimeMs += FRESH_MS - 1
    t.equal(await verdictOn(one), ACCEPTED, 'to the last millisecond')
    now.uptimeMs += 1
    t.equal(await verdictOn(one), UNAVAILABLE)
    now.uptimeMs += COOLDOWN_MS
    now.answer = publishing(one)
    t.equal(await verdictOn(one), ACCEPTED, 'and all is well when it is back')
    t.equal(await verdictOn(two), REFUSED, 'and it is known again which keys there are')
  }
)

t.test('an issuer that fell silent keeps waiting the first requests alone', async (t) => {
  const { verdictOn, now, receiver } = await issuer(t, publishing(one), { fetchTimeoutMs: 60_000 })
  t.equal(await verdictOn(one), ACCEPTED)
  now.answer = failing
  now.uptimeMs += FRESH_MS
  t.equal(await verdictOn(one), ACCEPTED)
  now.answer = silent
  now.uptimeMs += COOLDOWN_MS
  t.equal(await verdictOn(one), ACCEPTED)
  await until(() => receiver.underWay.now === 1)
  t.equal(await verdictOn(one), ACCEPTED, 'while it is waited for')
  t.equal(receiver.underWay.now, 1)
})

const broken: Record<string, [RegExp, Answer]> = {
  'status 500': [/^the answer has status 500$/, failing],
  'status 404': [/^the answer has status 404$/, (response) => response.writeHead(404).end(setOf(one))],
  'status 204': [/^the answer has status 204$/, (response) => response.writeHead(204).end()],
  'a redirect': [
    /^the answer has status 302$/,
    (response) => response.writeHead(302, { location: '/elsewhere' }).end(setOf(one))
  ],
  'a redirect that keeps': [
    /^the answer has status 308$/,
    (response) => response.writeHead(308, { location: '/elsewhere' }).end(setOf(one))
  ],
  nothing: [/^no whole answer \(/, (response) => response.destroy()],
  'nothing within the time': [/^no whole answer within 200 ms$/, silent],
  'a body that does not end': [
    /^no whole answer within 200 ms$/,
    (response) => {
      response.write(setOf(one))
    }
  ],
  'a body that breaks off': [
    /^no whole answer \(/,
    (response) => response.writeHead(200, { 'content-length': 10_000 }).write(setOf(one), () => response.destroy())
  ],
  'a body a byte too long': [
    /^the answer is longer than 262144 bytes$/,
    (response) => response.end(setOf(one).padEnd(JWKS_BYTES_MAX + 1))
  ],
  'a body without end': [/^the answer is longer than 262144 bytes$/, (response) => pour(response)],
  'no body': [/^the answer is not JSON$/, (response) => response.end()],
  'a page': [/^the answer is not JSON$/, (response) => response.end('<html>Sign in</html>')],
  'half of the keys': [/^the answer is not JSON$/, (response) => response.end(setOf(one).slice(0, -1))],
  bytes: [/^the answer is not JSON$/, (response) => response.end(Buffer.from([0, 255, 254]))],
  null: [/^the answer is no JSON Web Key Set$/, (response) => response.end('null')],
  'a list of keys': [/^the answer is no JSON Web Key Set$/, (response) => response.end(JSON.stringify([one.jwk]))],
  'one key': [/^the answer is no JSON Web Key Set$/, (response) => response.end(JSON.stringify(one.jwk))],
  'keys by name': [/^the answer is no JSON Web Key Set$/, (response) => response.end('{"keys":{"one":{}}}')],
  'keys as text': [/^the answer is no JSON Web Key Set$/, (response) => response.end('{"keys":"one"}')]
}

for (const [name, [reason, answer]] of Object.entries(broken)) {
  t.test(`an issuer that answers with ${name}: keys cannot be had, and can once it is well`, async (t) => {
    const { verdictOn, now, receiver, troubles, fetches } = await issuer(t, answer, { fetchTimeoutMs: 200 })
    t.equal(await verdictOn(one), UNAVAILABLE)
    t.match(troubles, [reason])
    t.equal(await verdictOn(one, { alg: 'none' }), REFUSED, 'a token that needs no key to be refused is')
    now.answer = publishing(one)
    now.uptimeMs += RETRY_MS - 1
    t.equal(await verdictOn(one), UNAVAILABLE)
    t.equal(fetches(), 1, 'it is not asked again at once')
    now.uptimeMs += 1
    t.equal(await verdictOn(one), ACCEPTED)
    t.strictSame(
      receiver.received.map(({ path }) => path),
      ['/events', '/events'],
      'nothing was followed'
    )
    t.equal(troubles.length, 1)
  })
}

t.test('an issuer that is not there', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await new Promise((closed) => server.close(closed))
  const verifying = openVerifier({ url: `http://127.0.0.1:${port}/jwks` })
  t.equal(await verdict(verifying, token(one)), UNAVAILABLE)
  t.strictSame(verifying.troubles, ['no whole answer (ECONNREFUSED)'])
})

t.test('the longest answer is taken', async (t) => {
  const { verdictOn } = await issuer(t, (response) => response.end(setOf(one).padEnd(JWKS_BYTES_MAX)))
  t.equal(await verdictOn(one), ACCEPTED)
})

t.test('with one key a token need not name it, and with one more it must', async (t) => {
  const { verdictOn, now } = await issuer(t, publishing(one))
  t.equal(await verdictOn(one, { kid: undefined }), ACCEPTED)
  t.equal(await verdictOn(one, { kid: 'other' }), REFUSED, 'but no other')
  now.answer = publishing(one, three)
  now.uptimeMs += FRESH_MS
  t.equal(await verdictOn(one, { kid: undefined }), REFUSED)
  t.equal(await verdictOn(one), ACCEPTED)
})

/** Writes until the other side has had enough. */
function pour(response: ServerResponse): void {
  const chunk = ' '.repeat(64 * 1024)
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  }
  response.on('drain', more)
  more()
}
