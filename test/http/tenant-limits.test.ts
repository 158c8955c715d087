/** What a tenant may send, and its numbers: routes that name the tenant in their path. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { openDb } from '../../src/db/client.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { createTenantLimitsService, LIMITED_TENANTS_MAX } from '../../src/services/tenant-limits.js'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { testDb } from '../support/db.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { startProxy } from '../support/proxy.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const admin = bearing(ADMIN_KEY)
const onError = (err: unknown): void => void t.fail(`no error was expected: ${err}`)
const url = `/users/${newUserId()}/state`

const put = ({ ask }: TestService, tenantId: string, payload: object, headers: Record<string, string> = admin) =>
  ask({ method: 'PUT', url: `/admin/tenants/${tenantId}/limits`, headers, payload })

const remove = ({ ask }: TestService, tenantId: string) =>
  ask({ method: 'DELETE', url: `/admin/tenants/${tenantId}/limits`, headers: admin })

/** Keys of a tenant of which nothing was counted yet. */
async function keysOf(service: TestService, tenantId: string, count: number): Promise<Record<string, string>[]> {
  const keys: Record<string, string>[] = []
  while (keys.length < count) keys.push(await keyOf(service, ['state:read'], { tenantId }))
  return keys
}

/** How many of so many requests at once, with these keys in turn, were refused. */
async function refusalsOf({ get }: TestService, keys: Record<string, string>[], count: number): Promise<number> {
  const answers = await Promise.all(Array.from({ length: count }, (_, i) => get(url, keys[i % keys.length]!)))
  return answers.filter((answer) => verdict(answer) === '429 RATE_LIMITED').length
}

t.test('limits are shown as they were set, in place of those before, and can be taken away', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const tenantId: string = randomUUID()
  const none = {
    tenantId,
    requestsPerSecond: null,
    requestsPerSecondPerKey: null,
    updatedAt: null,
    updatedBy: null
  }
  const show = async (id: string = tenantId) => (await service.get(`/admin/tenants/${id}/limits`, admin)).data
  t.strictSame(await show(), none)
  const { data: first } = await put(service, tenantId.toUpperCase(), { requestsPerSecond: 7 })
  t.match(first, { tenantId, requestsPerSecond: 7, requestsPerSecondPerKey: null, updatedBy: /^key:/ })
  t.match(first.updatedAt, /Z$/)
  t.strictSame(await show(), first)
  const { data: second } = await put(service, tenantId, { requestsPerSecondPerKey: 0 })
  t.match(second, { tenantId, requestsPerSecond: null, requestsPerSecondPerKey: 0 })
  t.strictSame(await show(tenantId.toUpperCase()), second)
  const other: string = randomUUID()
  t.strictSame(await show(other), { ...none, tenantId: other })
  for (let round = 0; round < 2; round++) t.strictSame((await remove(service, tenantId)).data, none)
  t.strictSame(await show(), none)
})

t.test('a tenant and each of its keys may send what its limits say, and not one more', async (t) => {
  const service = await testService(t, { env: { ...GUARDED, RATE_LIMIT_PER_SECOND: '4' } })
  await put(service, DEFAULT_TENANT, { requestsPerSecondPerKey: 0 })
  const cases: [limits: object, keys: number, most: number, limit: 'key' | 'tenant'][] = [
    [{}, 1, 4, 'key'],
    [{ requestsPerSecondPerKey: 6 }, 1, 6, 'key'],
    [{ requestsPerSecondPerKey: 1 }, 3, 3, 'key'],
    [{ requestsPerSecond: 7 }, 3, 7, 'tenant'],
    [{ requestsPerSecond: 1, requestsPerSecondPerKey: 0 }, 1, 1, 'tenant']
  ]
  for (const [limits, used, most, limit] of cases) {
    for (const more of [0, 1]) {
      const tenantId = randomUUID()
      const keys = await keysOf(service, tenantId, used)
      t.equal((await put(service, tenantId, limits)).statusCode, 200)
      const refusals = await refusalsOf(service, keys, most + more)
      t.equal(refusals, more, `${JSON.stringify(limits)}: ${most + more} requests with ${used} keys`)
      const { body } = await service.get('/metrics', admin)
      const counted = body.includes(`event_rate_limited_requests_total{tenant_id="${tenantId}",limit="${limit}"} 1`)
      t.equal(counted, more === 1, 'the refusal is counted')
    }
  }
})

t.test('limits of one tenant are nothing to others, and without them a key may send what it likes', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const [one, other] = [randomUUID(), randomUUID()]
  const [ofOne, ofOther] = [await keysOf(service, one, 1), await keysOf(service, other, 1)]
  await put(service, one, { requestsPerSecond: 1 })
  t.equal(await refusalsOf(service, ofOne, 20), 19)
  t.equal(await refusalsOf(service, ofOther, 20), 0)
  await remove(service, one)
  t.equal(await refusalsOf(service, ofOne, 20), 0, 'here at once')
})

t.test('limits hold on all instances within 5 seconds', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const tenantId = randomUUID()
  const keys = await keysOf(service, tenantId, 1)
  const second = await testService(t, { database: service.database, env: GUARDED })
  t.equal(await refusalsOf(second, keys, 5), 0)
  for (const [change, expected] of [
    [() => put(service, tenantId, { requestsPerSecond: 1 }), (refusals: number) => refusals > 0],
    [() => remove(service, tenantId), (refusals: number) => refusals === 0]
  ] as const) {
    await change()
    const changedAt = performance.now()
    await until(async () => expected(await refusalsOf(second, keys, 5)), { what: 'the other instance' })
    const ms = performance.now() - changedAt
    t.ok(ms < 5000, `${Math.round(ms)} ms`)
  }
})

t.test('an instance that was idle looks before it answers', async (t) => {
  const { db } = await testDb(t)
  const tenantId = randomUUID()
  const [first, second] = [
    createTenantLimitsService({ db, perKey: 3, onError }),
    createTenantLimitsService({ db, perKey: 3, onError })
  ]
  await first.put({ tenantId, requestsPerSecond: 8, requestsPerSecondPerKey: null, updatedBy: 'test' })
  t.strictSame(await second.ratesOf(tenantId), { perKey: 3, perTenant: 8 })
  t.strictSame(second.ratesOf(randomUUID()), { perKey: 3, perTenant: 0 }, 'at once when it has just looked')
})

t.test('while the database is gone the limits known before hold', async (t) => {
  const { database } = await testDb(t)
  const proxy = await startProxy(t, database.url)
  const db = openDb(proxy.url)
  t.teardown(() => db.close())
  const errors: unknown[] = []
  const limits = createTenantLimitsService({ db, perKey: 3, onError: (err) => errors.push(err) })
  const tenantId = randomUUID()
  await limits.put({ tenantId, requestsPerSecond: 8, requestsPerSecondPerKey: null, updatedBy: 'test' })
  await limits.ratesOf(tenantId)
  await proxy.refuse()
  const endAt = performance.now() + 5000
  await until(
    async () => {
      t.strictSame(await limits.ratesOf(tenantId), { perKey: 3, perTenant: 8 })
      return performance.now() > endAt
    },
    { everyMs: 500 }
  )
  t.ok(errors.length > 0, 'and the log has why')
})

t.test('tenants with limits of their own are bounded, those that have some can be changed', async (t) => {
  const { db } = await testDb(t)
  const limits = createTenantLimitsService({ db, perKey: 0, tenantsMax: 2, onError })
  const set = (tenantId: string) =>
    limits.put({ tenantId, requestsPerSecond: 1, requestsPerSecondPerKey: null, updatedBy: 'test' })
  const [first, second] = [randomUUID(), randomUUID()]
  await set(first)
  await set(second)
  await t.rejects(set(randomUUID()), { code: 'TENANT_LIMITS_FULL' })
  await set(second)
  await limits.remove(first)
  await t.resolves(set(randomUUID()))
})

t.test('no room for limits is a conflict, with its status', async (t) => {
  const service = await testService(t, { env: GUARDED })
  await service.database.run(
    `INSERT INTO tenant_limits ("tenantId", "requestsPerSecond", "updatedAt", "updatedBy")
     SELECT gen_random_uuid(), 1, now(), 'x' FROM generate_series(1, ${LIMITED_TENANTS_MAX - 1})`
  )
  t.equal(verdict(await put(service, randomUUID(), { requestsPerSecond: 1 })), '200')
  refused(t, await put(service, randomUUID(), { requestsPerSecond: 1 }), '409 TENANT_LIMITS_FULL')
})

t.test('who may set limits, and what can be none', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const tenantId = randomUUID()
  const own = await keyOf(service, ['events:admin', 'events:read', 'state:read'], { tenantId })
  refused(t, await put(service, tenantId, { requestsPerSecond: 1 }, own), '403 SCOPE_MISSING')
  refused(t, await service.get(`/admin/tenants/${tenantId}/limits`, own), '403 SCOPE_MISSING')
  for (const limits of [
    { requestsPerSecond: 0 },
    { requestsPerSecond: 1_000_001 },
    { requestsPerSecond: '5' },
    { requestsPerSecond: 1.5 },
    { requestsPerSecondPerKey: -1 },
    { requestsPerSecondPerKey: 1_000_001 },
    { requestsPerDay: 5 }
  ])
    refused(t, await put(service, tenantId, limits), '400 VALIDATION_FAILED')
  for (const value of [1, 1_000_000, null])
    t.equal(
      (await put(service, tenantId, { requestsPerSecond: value, requestsPerSecondPerKey: value })).statusCode,
      200
    )
  refused(t, await put(service, 'acme', {}), '400 VALIDATION_FAILED', { in: 'params' })
  const { data } = await service.get('/admin/audit?action=setTenantLimits&limit=1', admin)
  t.match(data.entries, [{ action: 'setTenantLimits', path: /limits$/, principal: /^key:/, status: 200 }])
})

t.test('numbers of a tenant are for itself, and for who may act for all', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const tenantId = randomUUID()
  const scopes = ['events:write', 'events:read', 'state:read'] as const
  const own = await keyOf(service, scopes, { tenantId })
  const stranger = await keyOf(service, scopes, { tenantId: randomUUID() })
  await service.append(newUserId(), [userCreated(), ...updates(2)], { headers: own })
  const path = `/tenants/${tenantId}/stats`
  const { data } = await service.get(path, own)
  t.strictSame(data, {
    tenantId,
    events: (await service.get('/stats/events', own)).data,
    snapshots: (await service.get('/stats/snapshots', own)).data
  })
  t.match(data.events, { totalEvents: 3, totalUsers: 1 })
  t.strictSame(
    (await service.get(path.toUpperCase().replace('TENANTS', 'tenants').replace('STATS', 'stats'), admin)).data,
    data
  )
  for (const id of [tenantId, randomUUID()])
    refused(t, await service.get(`/tenants/${id}/stats`, stranger), '403 TENANT_FORBIDDEN')
  refused(t, await service.get('/tenants/acme/stats', own), '400 VALIDATION_FAILED')
})
