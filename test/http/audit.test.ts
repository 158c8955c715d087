/** What administrators change is on record, before it is done. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { createAuditService } from '../../src/services/audit.js'
import { ADMIN_KEY, bearing, GUARDED, keyOf, operationsOf } from '../support/access.js'
import { testDb } from '../support/db.js'
import { newUserId, userCreated } from '../support/events.js'
import { refused } from '../support/problem.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const admin = bearing(ADMIN_KEY)

/** The newest entries of the default tenant, when the first of them has its status. */
const newest = ({ get }: TestService, query = '') =>
  until(async () => {
    const { data } = await get(`/admin/audit${query}`, admin)
    return data.entries[0]?.status === null ? null : data.entries
  })

t.test('a change is noted with who asked for it, from where, and how it went; reading is not', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const { append, ask, get, post } = service
  const user = newUserId()
  const headers = await keyOf(service, ['snapshots:admin', 'events:write', 'state:read'])
  await append(user, [userCreated()], { headers })
  await get(`/users/${user}/state`, headers)
  await get('/admin/api-keys', admin)
  const url = `/admin/users/${user}/snapshots?secret=no`
  await ask({ method: 'POST', url, headers, payload: {} })
  const taken = await ask({
    method: 'POST',
    url: `/admin/users/${user}/snapshots`,
    headers: { ...headers, 'x-request-id': 'r-1' },
    payload: {}
  })
  t.equal(taken.statusCode, 201)
  await post('/admin/users/0191d5a0-7c1e-7000-8000-000000000001/snapshots', {}, headers)
  const entries = await newest(service)
  t.strictSame(
    entries.map(({ action, status }: { action: string; status: number }) => [action, status]),
    [
      ['takeSnapshot', 404],
      ['takeSnapshot', 201],
      ['createApiKey', 201]
    ],
    'an invalid request is not noted: nothing was asked for'
  )
  t.match(entries[1], {
    principal: /^key:[0-9a-f]{12}$/,
    path: `/admin/users/${user}/snapshots`,
    address: '127.0.0.1',
    requestId: 'r-1',
    createdAt: /Z$/
  })
})

t.test('every operation by which administrators change something is noted', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const user = '/admin/users/0191d5a0-7c1e-7000-8000-000000000001'
  const subscription = '/admin/subscriptions/crm'
  const sink = { kind: 'webhook', url: 'https://example.com/' }
  const type = { schema: { type: 'object', additionalProperties: false }, effect: { kind: 'none' } }
  const projection = '/admin/projections/users'
  const limits = '/admin/tenants/0191d5a0-7c1e-7000-8000-000000000002/limits'
  const requests: Record<string, [method: 'POST' | 'PUT' | 'DELETE', url: string, payload?: object]> = {
    createApiKey: ['POST', '/admin/api-keys', { name: 'x', scopes: ['state:read'] }],
    revokeApiKey: ['DELETE', '/admin/api-keys/0123456789ab'],
    takeSnapshot: ['POST', `${user}/snapshots`, {}],
    cleanUpSnapshots: ['POST', `${user}/snapshots/cleanup`, { retain: 1 }],
    deleteSnapshots: ['DELETE', `${user}/snapshots`],
    expireSnapshots: ['POST', '/admin/snapshots/cleanup', {}],
    importEvents: ['POST', '/events/import'],
    registerEventType: ['PUT', '/event-types/Moved/versions/1', type],
    createSubscription: ['POST', '/admin/subscriptions', { name: 'crm', sink }],
    pauseSubscription: ['POST', `${subscription}/pause`],
    resumeSubscription: ['POST', `${subscription}/resume`],
    resetSubscription: ['POST', `${subscription}/reset`, { start: 'now' }],
    retryOwedEvents: ['POST', `${subscription}/outbox/retry`, {}],
    discardOwedEvents: ['POST', `${subscription}/outbox/discard`, { reason: 'x' }],
    deleteSubscription: ['DELETE', subscription],
    retryParkedUsers: ['POST', `${projection}/parked/retry`, {}],
    rebuildProjection: ['POST', `${projection}/rebuild`],
    dropOldTables: ['DELETE', `${projection}/old-tables`],
    runArchive: ['POST', '/admin/archive/runs', { dryRun: true }],
    setTenantLimits: ['PUT', limits, { requestsPerSecond: 1000 }],
    removeTenantLimits: ['DELETE', limits]
  }
  const changing = operationsOf(service.app).filter(
    ({ method, scopes }) => method !== 'GET' && scopes?.some((scope) => /admin|tenants/.test(scope))
  )
  t.strictSame(Object.keys(requests).sort(), changing.map(({ id }) => id).sort())
  for (const [method, url, payload] of Object.values(requests)) {
    const lines = url === '/events/import' ? { 'content-type': 'application/x-ndjson' } : {}
    const answer = await service.ask({
      method,
      url,
      headers: { ...admin, ...lines },
      payload: payload ?? (lines ? '' : {})
    })
    t.ok(answer.statusCode < 500 && answer.statusCode !== 400, `${method} ${url}: ${answer.body}`)
  }
  const entries = await newest(service, '?limit=1000')
  t.strictSame(entries.map(({ action }: { action: string }) => action).toReversed(), Object.keys(requests))
})

t.test('a header that is no tenant does not keep what belongs to all tenants from being noted and done', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const headers = { ...admin, 'x-tenant-id': 'acme' }
  const url = '/admin/archive/runs'
  const answer = await service.ask({ method: 'POST', url, headers, payload: { dryRun: true } })
  t.equal(answer.statusCode, 202, answer.body)
  t.match(await newest(service), [{ action: 'runArchive', tenantId: DEFAULT_TENANT, status: 202 }])
})

t.test('nothing is done that cannot be noted', async (t) => {
  const { post, append, get, database } = await testService(t)
  const user = newUserId()
  await append(user, [userCreated()])
  await database.run('ALTER TABLE admin_audit RENAME TO admin_audit_away')
  t.equal((await post(`/admin/users/${user}/snapshots`, {})).statusCode, 500)
  await database.run('ALTER TABLE admin_audit_away RENAME TO admin_audit')
  t.equal((await get(`/users/${user}/snapshots`)).data.snapshots.length, 0)
})

t.test('pages hold every entry once, and filters narrow them', async (t) => {
  const { get, database } = await testService(t)
  await database.run(
    `INSERT INTO admin_audit (id, "tenantId", principal, action, path, address, "requestId", "createdAt")
     SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000000', 'key:' || i % 2, 'act' || i % 3, '/', '::1', '', '2026-01-01T00:00:00Z'::timestamptz + i / 3 * interval '1 ms'
     FROM generate_series(0, 99) i`
  )
  const all = (await get('/admin/audit?limit=1000')).data
  t.equal(all.entries.length, 100)
  t.equal(all.next, null)
  const found: object[] = []
  for (let url: string | undefined = '/admin/audit?limit=7'; url; ) {
    const { data, headers } = await get(url)
    found.push(...data.entries)
    url = /<(.+)>/.exec(String(headers.link ?? ''))?.[1]
  }
  t.strictSame(found, all.entries)
  const count = async (query: string) => (await get(`/admin/audit?limit=1000&${query}`)).data.entries.length
  t.equal(await count('principal=key:1'), 50)
  t.equal(await count('action=act0'), 34)
  t.equal(await count('from=2026-01-01T00:00:00.001Z&to=2026-01-01T00:00:00.002Z'), 3)
  for (const cursor of ['x', Buffer.from('1.x.2026-01-01T00:00:00.000Z').toString('base64url')])
    refused(t, await get(`/admin/audit?cursor=${cursor}`), '400 CURSOR_MALFORMED')
})

t.test('a tenant sees its own', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const tenantId = randomUUID()
  const headers = await keyOf(service, ['events:admin'], { tenantId })
  const { data } = await service.get('/admin/audit', headers)
  t.strictSame(
    data.entries.map((entry: { tenantId: string }) => entry.tenantId),
    [tenantId],
    'the making of its key, and nothing of others'
  )
})

t.test('what is older than it may be goes, the rest stays', async (t) => {
  const { db, database } = await testDb(t)
  const insert = (age: string, count: number) =>
    database.run(
      `INSERT INTO admin_audit (id, "tenantId", principal, action, path, address, "requestId", "createdAt")
       SELECT gen_random_uuid(), gen_random_uuid(), 'x', 'x', '/', '::1', '', now() - interval '${age}' FROM generate_series(1, ${count})`
    )
  await insert('10 days 1 minute', 2500)
  await insert('9 days 23 hours', 3)
  const audit = createAuditService({ db })
  t.equal(await audit.expire(10), 2500)
  t.equal(await audit.expire(10), 0)
})
