/** Making, listing and revoking API keys. */
import { createHash, randomUUID } from 'node:crypto'
import t from 'tap'
import { ANYBODY, SCOPES } from '../../src/domain/access.js'
import { KEYS_LISTED_MAX } from '../../src/domain/api-key.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { createAccessService } from '../../src/services/access.js'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { testDatabase, testDb } from '../support/db.js'
import { refused, verdict } from '../support/problem.js'
import { startProxy } from '../support/proxy.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'
import { watchDb } from '../support/watched-db.js'

const admin = bearing(ADMIN_KEY)
const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString()

t.test('a key is shown once, and only its hash is stored', async (t) => {
  const { post, get, database } = await testService(t, { env: GUARDED })
  const expiresAt = inAnHour()
  const body = { name: 'billing', scopes: ['state:read', 'events:write'], expiresAt }
  const { data, statusCode } = await post('/admin/api-keys', body, admin)
  t.equal(statusCode, 201)
  t.match(data.key, /^ues_[A-Za-z0-9_-]{43}$/)
  const hash = createHash('sha256').update(data.key).digest('hex')
  t.hasStrict(data, {
    id: hash.slice(0, 12),
    hint: data.key.slice(0, 8),
    name: 'billing',
    scopes: ['events:write', 'state:read'],
    tenantId: DEFAULT_TENANT,
    expiresAt,
    revokedAt: null,
    lastUsedAt: null
  })
  t.match(data.createdBy, /^key:[0-9a-f]{12}$/)
  const stored = await database.run<{ row: string }>('SELECT k::text AS row FROM api_keys k')
  t.ok(stored.some(({ row }) => row.includes(hash)))
  t.notOk(stored.some(({ row }) => row.includes(data.key) || row.includes(ADMIN_KEY)))
  const listed = await get('/admin/api-keys', admin)
  t.strictSame(
    listed.data.keys.map(({ name }: { name: string }) => name),
    ['billing', 'bootstrap']
  )
  t.notOk(listed.body.includes(data.key) || listed.body.includes(hash))
})

t.test('nobody gives what they have not, and keys stay within their tenant', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const { post, get, ask } = service
  const tenantId = randomUUID()
  const headers = await keyOf(service, ['events:admin', 'state:read'], { tenantId })
  const refusal = await post('/admin/api-keys', { name: 'x', scopes: ['state:read', 'events:write'] }, headers)
  refused(t, refusal, '403 SCOPE_MISSING', { missing: ['events:write'] })
  const { data: made } = await post('/admin/api-keys', { name: 'x', scopes: ['state:read'] }, headers)
  t.equal(made.tenantId, tenantId)
  const others = (await get('/admin/api-keys', admin)).data.keys
  t.equal(others.length, 1, 'the default tenant has the first key only')
  for (const id of [others[0].id, '0123456789ab'])
    refused(t, await ask({ method: 'DELETE', url: `/admin/api-keys/${id}`, headers }), '404 API_KEY_NOT_FOUND')
})

t.test('a revoked key is refused at once here and within 5 seconds elsewhere, for good', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const second = await testService(t, { database: service.database, env: GUARDED })
  const { data: made } = await service.post('/admin/api-keys', { name: 'x', scopes: ['state:read'] }, admin)
  const headers = bearing(made.key)
  const url = `/users/${randomUUID()}/state`
  await until(async () => (await second.get(url, headers)).statusCode !== 401, { what: 'the key' })
  const revoke = () => service.ask({ method: 'DELETE', url: `/admin/api-keys/${made.id}`, headers: admin })
  const { data: revoked } = await revoke()
  const revokedAt = performance.now()
  t.equal(verdict(await service.get(url, headers)), '401 UNAUTHENTICATED')
  await until(async () => (await second.get(url, headers)).statusCode === 401, { what: 'the other instance' })
  t.ok(performance.now() - revokedAt < 5000)
  t.match(revoked.revokedBy, /^key:/)
  t.strictSame((await revoke()).data, revoked, 'repeating it changes nothing')
})

t.test('a key that is revoked while the keys are being read is refused here at once all the same', async (t) => {
  const { db } = await testDb(t)
  const watched = watchDb(db)
  const access = createAccessService({ db: watched.db, required: true, tokens: null })
  const wanted = { name: 'x', tenantId: DEFAULT_TENANT, scopes: SCOPES, expiresAt: null }
  const { id, key } = await access.create(wanted, ANYBODY)
  const held = watched.holdNext()
  const reading = access.refresh()
  await held.taken
  const revoking = access.revoke(id, DEFAULT_TENANT, ANYBODY)
  const another = access.create(wanted, ANYBODY)
  await until(async () => {
    const [row] = await db.query<{ done: boolean }>(
      'SELECT count(*) = 2 AND count("revokedAt") = 1 AS done FROM api_keys'
    )
    return row!.done
  })
  held.release()
  await Promise.all([reading, revoking])
  const ask = async (of: string) => await access.authenticate(`Bearer ${of}`)
  await t.rejects(ask(key), { code: 'UNAUTHENTICATED' })
  t.match(await ask((await another).key), { tenantId: DEFAULT_TENANT }, 'and one that was made meanwhile is known')
})

t.test('the bootstrap key is made once, and stays revoked', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const [key] = (await service.get('/admin/api-keys', admin)).data.keys
  await service.ask({ method: 'DELETE', url: `/admin/api-keys/${key.id}`, headers: admin })
  const again = await testService(t, { database: service.database, env: GUARDED })
  t.equal(verdict(await again.get('/stats/events', admin)), '401 UNAUTHENTICATED')
  t.strictSame(await again.database.run('SELECT count(*)::integer AS keys FROM api_keys'), [{ keys: 1 }])
})

t.test('a key ends when it says', async (t) => {
  const { db } = await testDb(t)
  const access = createAccessService({ db, required: true, tokens: null })
  const wanted = { name: 'x', tenantId: DEFAULT_TENANT, scopes: SCOPES }
  const { key } = await access.create({ ...wanted, expiresAt: new Date(Date.now() + 1500).toISOString() }, ANYBODY)
  const ask = async () => await access.authenticate(`Bearer ${key}`)
  t.match(await ask(), { tenantId: DEFAULT_TENANT })
  await until(
    () =>
      ask().then(
        () => false,
        ({ code }) => code === 'UNAUTHENTICATED'
      ),
    { what: 'its end' }
  )
})

t.test('what cannot be a key is refused', async (t) => {
  const { post } = await testService(t, { env: GUARDED })
  const make = (body: object) => post('/admin/api-keys', { name: 'x', scopes: ['state:read'], ...body }, admin)
  refused(t, await make({ expiresAt: '2020-01-01T00:00:00Z' }), '422 API_KEY_INVALID', { pointer: '/expiresAt' })
  for (const scopes of [[], ['state:write'], ['state:read', 'state:read']])
    refused(t, await make({ scopes }), '400 VALIDATION_FAILED')
  for (const name of ['', 'x'.repeat(101), 'a\u0000b']) refused(t, await make({ name }), '400 VALIDATION_FAILED')
  t.equal((await make({ name: 'x'.repeat(100), scopes: [...SCOPES] })).statusCode, 201)
})

t.test('keys in force are limited, revoked ones are not counted', async (t) => {
  const { db } = await testDb(t)
  const access = createAccessService({ db, required: true, tokens: null, keysMax: 2 })
  const make = () => access.create({ name: 'x', tenantId: DEFAULT_TENANT, scopes: SCOPES, expiresAt: null }, ANYBODY)
  const [first] = [await make(), await make()]
  await t.rejects(make(), { code: 'API_KEYS_FULL' })
  await access.revoke(first.id, DEFAULT_TENANT, ANYBODY)
  await t.resolves(make())
})

t.test('no room for keys is a conflict, with its status', async (t) => {
  const { post, database } = await testService(t, { env: GUARDED })
  await database.run(
    `INSERT INTO api_keys (id, "tenantId", name, hint, hash, scopes, "createdAt", "createdBy")
     SELECT lpad(to_hex(i), 12, '0'), gen_random_uuid(), 'x', 'x', repeat('0', 64), '{state:read}', now(), 'x' FROM generate_series(1, 9999) i`
  )
  refused(t, await post('/admin/api-keys', { name: 'x', scopes: ['state:read'] }, admin), '409 API_KEYS_FULL')
  const OTHER_KEY = ADMIN_KEY.toUpperCase()
  const { get } = await testService(t, { database, env: { BOOTSTRAP_ADMIN_KEY: OTHER_KEY } })
  t.equal((await get('/stats/events', bearing(OTHER_KEY))).statusCode, 200, 'the operator is let in all the same')
})

t.test('a list holds as many keys as it says, the newest of them', async (t) => {
  const { get, database } = await testService(t, { env: GUARDED })
  const listed = async () => (await get('/admin/api-keys', admin)).data.keys
  const insert = (from: number, to: number) =>
    database.run(
      `INSERT INTO api_keys (id, "tenantId", name, hint, hash, scopes, "createdAt", "createdBy")
       SELECT lpad(to_hex(i), 12, '0'), '${DEFAULT_TENANT}', i, 'x', repeat('0', 64), '{state:read}', now() - i * interval '1 hour', 'x'
       FROM generate_series(${from}, ${to}) i`
    )
  await insert(1, KEYS_LISTED_MAX - 1)
  t.equal((await listed()).length, KEYS_LISTED_MAX)
  await insert(KEYS_LISTED_MAX, KEYS_LISTED_MAX)
  const keys = await listed()
  t.equal(keys.length, KEYS_LISTED_MAX)
  t.strictSame([keys[0].name, keys.at(-1).name], ['bootstrap', String(KEYS_LISTED_MAX - 1)])
})

t.test('when a key was last used is noted, not at every use', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const noted = () => service.database.run(`SELECT "lastUsedAt" > now() - interval '1 minute' AS recent FROM api_keys`)
  await service.get('/stats/events', admin)
  t.strictSame(await noted(), [{ recent: null }])
  await service.service.stop()
  t.strictSame(await noted(), [{ recent: true }])
})

t.test('a service that cannot note when keys were used stops all the same', async (t) => {
  const database = await testDatabase(t)
  const proxy = await startProxy(t, database.url)
  const { get, service } = await testService(t, { database: { ...database, url: proxy.url }, env: GUARDED })
  await get('/stats/events', admin)
  await proxy.refuse()
  await t.resolves(service.stop())
})
