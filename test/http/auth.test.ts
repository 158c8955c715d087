/** Who is let in where: every role on every route of the contract, and what happens before and around keys. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { compose } from '../../src/compose.js'
import { loadConfig } from '../../src/config.js'
import { SCOPES } from '../../src/domain/access.js'
import { StartError } from '../../src/start-error.js'
import { ADMIN_KEY, bearing, GUARDED, keyOf, operationsOf } from '../support/access.js'
import { testDatabase } from '../support/db.js'
import { newUserId, userCreated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { startProxy } from '../support/proxy.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

t.test('every role gets through where the contract says, and nowhere else', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const { app, ask } = service
  const operations = operationsOf(app)
  t.ok(operations.length > 45, `${operations.length} operations`)
  t.strictSame(
    operations.filter(({ scopes }) => scopes === null).map(({ id }) => id),
    ['isLive', 'isReady'],
    'only health is for everybody'
  )
  const roles = [
    { name: 'nobody', scopes: [] as string[], headers: {} },
    ...(await Promise.all(
      SCOPES.map(async (scope) => ({
        name: scope,
        scopes: [scope] as string[],
        headers: await keyOf(service, [scope])
      }))
    )),
    { name: 'all', scopes: [...SCOPES] as string[], headers: bearing(ADMIN_KEY) }
  ]
  for (const { method, path, scopes } of operations) {
    // What comes behind the door is refused for what it is, never for who asks: nothing is found, or nothing is valid.
    const url = path.replaceAll(/\{\w+\}/g, 'no-such-thing')
    for (const role of roles) {
      const answer = await ask({ method, url: `${url}?nobody-knows-this=1`, headers: role.headers })
      const missing = (scopes ?? []).filter((scope) => !role.scopes.includes(scope))
      const wanted =
        scopes !== null && role.name === 'nobody'
          ? '401 UNAUTHENTICATED'
          : missing.length === 0
            ? 'let in'
            : '403 SCOPE_MISSING'
      const got = answer.statusCode === 401 || answer.statusCode === 403 ? verdict(answer) : 'let in'
      t.equal(got, wanted, `${role.name} ${method} ${path}`)
      if (got === '403 SCOPE_MISSING') t.strictSame(answer.data.missing, missing)
    }
  }
})

t.test('what is no valid key is refused in the same words, and asked to say who it is', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const { get, post } = service
  const url = `/users/${randomUUID()}/state`
  const { data: made } = await post('/admin/api-keys', { name: 'x', scopes: ['state:read'] }, bearing(ADMIN_KEY))
  const wrong = [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Bearer  ',
    `Basic ${Buffer.from(`key:${made.key}`).toString('base64')}`,
    made.key,
    `Bearer ${made.id}`,
    `Bearer ${made.hint}`,
    `Bearer ${made.key.slice(0, -1)}`,
    `Bearer ${made.key}A`,
    `Bearer ${made.key.toUpperCase()}`,
    `Bearer ${made.key} ${made.key}`,
    `Bearer ${made.key},`,
    `Bearer ues_${'A'.repeat(43)}`,
    `Bearer ${'A'.repeat(8000)}`,
    'Bearer a.b.c'
  ]
  const answers = await Promise.all(
    wrong.map((authorization) => get(url, authorization === undefined ? {} : { authorization }))
  )
  for (const [i, answer] of answers.entries()) {
    refused(t, answer, '401 UNAUTHENTICATED')
    t.equal(answer.headers['www-authenticate'], 'Bearer realm="user-event-store"')
    t.strictSame(answer.data, answers[0]!.data, String(wrong[i]).slice(0, 60))
  }
  for (const authorization of [`Bearer ${made.key}`, `bearer ${made.key}`])
    refused(t, await get(url, { authorization }), '404 USER_NOT_FOUND')
})

t.test('a key acts for its tenant; for another one only with tenants:all', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const { append, get } = service
  const [own, other] = [randomUUID(), randomUUID()]
  const headers = await keyOf(service, ['events:write', 'state:read'], { tenantId: own })
  const user = newUserId()
  t.equal((await append(user, [userCreated()], { headers })).statusCode, 201)
  t.equal((await get(`/users/${user}/state`, headers)).data.state.tenantId, own)
  t.equal((await get(`/users/${user}/state`, { ...headers, 'x-tenant-id': own.toUpperCase() })).statusCode, 200)
  refused(t, await get(`/users/${user}/state`, { ...headers, 'x-tenant-id': other }), '403 TENANT_FORBIDDEN')
  refused(t, await get(`/users/${user}/state`, bearing(ADMIN_KEY)), '404 USER_NOT_FOUND')
  t.equal((await get(`/users/${user}/state`, { ...bearing(ADMIN_KEY), 'x-tenant-id': own })).statusCode, 200)
  const wanderer = await keyOf(service, ['state:read', 'tenants:all'], { tenantId: other })
  t.equal((await get(`/users/${user}/state`, { ...wanderer, 'x-tenant-id': own })).statusCode, 200)
  refused(t, await get(`/users/${user}/state`, { ...wanderer, 'x-tenant-id': 'no-uuid' }), '400 VALIDATION_FAILED')
})

t.test('what belongs to all tenants takes tenants:all', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const { ask, get, post } = service
  const admin = await keyOf(service, ['events:admin', 'events:read'])
  const subscription = { name: 'all', sink: { kind: 'webhook', url: 'https://example.com/' } }
  const payload = { schema: { type: 'object', additionalProperties: false }, effect: { kind: 'none' } }
  const register = (headers: Record<string, string>) =>
    ask({ method: 'PUT', url: '/event-types/Moved/versions/1?scope=global', payload, headers })
  refused(t, await post('/admin/subscriptions?scope=global', subscription, admin), '403 SCOPE_MISSING')
  refused(t, await get('/admin/subscriptions/all?scope=global', admin), '403 SCOPE_MISSING')
  refused(t, await register(admin), '403 SCOPE_MISSING')
  t.equal((await register(bearing(ADMIN_KEY))).statusCode, 201)
  t.equal((await post('/admin/subscriptions?scope=global', subscription, bearing(ADMIN_KEY))).statusCode, 201)
  t.strictSame((await get('/admin/subscriptions', admin)).data.subscriptions, [], 'nor is it listed')
  t.equal((await get('/admin/subscriptions', bearing(ADMIN_KEY))).data.subscriptions.length, 1)
})

t.test('metrics are of all tenants; health and the contract are for everybody', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const { get } = service
  refused(t, await get('/metrics'), '401 UNAUTHENTICATED')
  refused(t, await get('/metrics', await keyOf(service, ['events:read'])), '403 SCOPE_MISSING')
  t.equal((await get('/metrics', await keyOf(service, ['tenants:all']))).statusCode, 200)
  for (const url of ['/livez', '/readyz', '/openapi.json', '/docs/', '/ui', '/ui/users'])
    t.equal((await get(url)).statusCode, 200, url)
  refused(t, await get('/nothing-here'), '404 ROUTE_NOT_FOUND')
})

t.test('without authentication only this machine is served, unless AUTH=off', async (t) => {
  const { url } = await testDatabase(t)
  const start = async (env: Record<string, string>) => {
    const service = await compose(loadConfig(env), url, false)
    const mode = service.authentication()
    await service.stop()
    return mode
  }
  for (const HOST of ['127.0.0.1', '127.8.8.8', '::1', 'localhost', '::ffff:127.0.0.1'])
    t.equal(await start({ HOST }), 'open', HOST)
  for (const HOST of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'localhost.example.com', '127.0.0.1.example.com']) {
    await t.rejects(
      start({ HOST }),
      new StartError(
        `HOST is ${HOST}, where others reach this service, and nobody would have to say who they are. Make a key with \`user-events key create\`, or set BOOTSTRAP_ADMIN_KEY; set AUTH=off only if something in front of the service sees to it.`
      )
    )
    t.equal(await start({ HOST, AUTH: 'off' }), 'off')
    t.equal(await start({ HOST, AUTH: 'on' }), 'required')
  }
  t.equal(await start({ HOST: '0.0.0.0', ...GUARDED }), 'required')
  t.equal(await start({ HOST: '0.0.0.0' }), 'required', 'that there is a key is enough from then on')
})

t.test('the first key closes an open store, on every instance, and its end does not open it again', async (t) => {
  const first = await testService(t)
  const second = await testService(t, { database: first.database })
  const url = `/users/${randomUUID()}/state`
  t.equal(verdict(await first.get(url)), '404 USER_NOT_FOUND')
  t.equal(verdict(await second.get(url)), '404 USER_NOT_FOUND')
  const { data: key } = await first.post('/admin/api-keys', { name: 'first', scopes: ['events:admin'] })
  refused(t, await first.get(url), '401 UNAUTHENTICATED')
  await until(async () => (await second.get(url)).statusCode === 401, { what: 'the other instance' })
  await first.ask({ method: 'DELETE', url: `/admin/api-keys/${key.id}`, headers: bearing(key.key) })
  refused(t, await first.get(url), '401 UNAUTHENTICATED')
  const third = await testService(t, { database: first.database })
  refused(t, await third.get(url), '401 UNAUTHENTICATED')
})

t.test('AUTH=off asks nobody, whatever keys there are', async (t) => {
  const { database } = await testService(t, { env: GUARDED })
  const { get } = await testService(t, { database, env: { AUTH: 'off' } })
  t.equal(verdict(await get(`/users/${randomUUID()}/state`)), '404 USER_NOT_FOUND')
})

t.test('keys are not trusted for longer than 5 seconds while the database cannot be asked', async (t) => {
  const database = await testDatabase(t)
  const proxy = await startProxy(t, database.url)
  const { get } = await testService(t, {
    database: { ...database, url: proxy.url },
    env: { ...GUARDED, REQUEST_TIMEOUT_MS: '4000' }
  })
  // Needs no database itself: an unknown path of a known route is refused by its schema.
  const ask = () => get('/events?limit=0', bearing(ADMIN_KEY))
  t.equal(verdict(await ask()), '400 VALIDATION_FAILED')
  await proxy.refuse()
  const goneAt = performance.now()
  let trustedAt = goneAt
  await until(
    async () => {
      const askedAt = performance.now()
      if ((await ask()).statusCode === 503) return true
      trustedAt = askedAt
      return false
    },
    { timeoutMs: 10_000, everyMs: 50, what: 'no more trust' }
  )
  t.ok(trustedAt > goneAt, 'at first they were trusted')
  t.ok(trustedAt - goneAt < 5000, `the last was let in ${Math.round(trustedAt - goneAt)} ms after`)
  refused(t, await ask(), '503 KEYS_UNAVAILABLE')
  await proxy.listen()
  await until(async () => (await ask()).statusCode === 400, { what: 'trust again' })
})
