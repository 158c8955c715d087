/** Tokens of an issuer at the door of the service, beside API keys. What a token must be like, test/edge/jwt.test.ts tells. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { StartError } from '../../src/start-error.js'
import { bearing, GUARDED } from '../support/access.js'
import { testDatabase } from '../support/db.js'
import { newUserId, userCreated } from '../support/events.js'
import { AUDIENCE, ISSUER, rsa, stranger, TENANT } from '../support/issuer.js'
import { refused, verdict } from '../support/problem.js'
import { startReceiver } from '../support/receiver.js'
import { freePort } from '../support/server.js'
import { testService } from '../support/service.js'
import { signedToken } from '../support/tokens.js'

const NAMES = { JWT_ISSUER: ISSUER, JWT_AUDIENCE: AUDIENCE }
const PUBLIC_KEY = { ...NAMES, JWT_PUBLIC_KEY: rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string }

const tokenOf = (scope: string, more: object = {}, key = rsa): Record<string, string> => {
  const exp = Math.floor(Date.now() / 1000) + 600
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: 'ada', exp, tenant_id: TENANT, scope, ...more }
  return bearing(signedToken(key, claims))
}

t.test('a token lets in for its tenant and its scopes, and its subject stands in the metadata', async (t) => {
  const { append, get, service } = await testService(t, { env: { ...PUBLIC_KEY, HOST: '0.0.0.0' } })
  t.equal(service.authentication(), 'required', 'though there is no API key')
  const user = newUserId()
  t.equal((await append(user, [userCreated()], { headers: tokenOf('events:write') })).statusCode, 201)
  const { data } = await get(`/users/${user}/events/1`, tokenOf('events:read state:read'))
  t.hasStrict(data, { tenantId: TENANT, metadata: { $principal: 'jwt:ada' } })
  refused(t, await get(`/users/${user}/events/1`, tokenOf('events:write')), '403 SCOPE_MISSING')
  const other = { ...tokenOf('events:read'), 'x-tenant-id': randomUUID() }
  refused(t, await get(`/users/${user}/events/1`, other), '403 TENANT_FORBIDDEN')
})

t.test('a token that is not to be believed gets the answer of a key that is none', async (t) => {
  const { get } = await testService(t, { env: { ...PUBLIC_KEY, ...GUARDED } })
  const forged = await get('/stats/events', tokenOf('events:read', {}, stranger))
  refused(t, forged, '401 UNAUTHENTICATED')
  t.strictSame(forged.data, (await get('/stats/events', bearing('no-key'))).data)
  t.strictSame(forged.data, (await get('/stats/events', tokenOf('events:read', { aud: 'billing' }))).data)
})

t.test('keys are valid beside tokens, also one that looks like a token', async (t) => {
  const BOOTSTRAP_ADMIN_KEY = 'looks.like-a-token-and-is-a-chosen.key'
  const { get } = await testService(t, { env: { ...PUBLIC_KEY, BOOTSTRAP_ADMIN_KEY } })
  t.equal(verdict(await get('/stats/events', bearing(BOOTSTRAP_ADMIN_KEY))), '200')
  t.equal(verdict(await get('/stats/events', tokenOf('events:read'))), '200')
})

t.test('the issuer is asked for its keys; when they cannot be had, tokens cannot be judged', async (t) => {
  const { url } = await startReceiver(t, (_request, response) => response.end(JSON.stringify({ keys: [rsa.jwk] })))
  const { get } = await testService(t, { env: { ...NAMES, JWT_JWKS_URL: url } })
  t.equal(verdict(await get('/stats/events', tokenOf('events:read'))), '200')
  const nowhere = `http://127.0.0.1:${await freePort()}/jwks`
  const without = await testService(t, { env: { ...NAMES, JWT_JWKS_URL: nowhere, ...GUARDED } })
  refused(t, await without.get('/stats/events', tokenOf('events:read')), '503 KEYS_UNAVAILABLE')
})

t.test('a key that is none stops the start', async (t) => {
  const database = await testDatabase(t)
  const start = testService(t, { database, env: { ...NAMES, JWT_PUBLIC_KEY: 'no key' } })
  await t.rejects(start, StartError)
  await t.rejects(start, /^JWT_PUBLIC_KEY is no key that tokens can be verified with/)
})
