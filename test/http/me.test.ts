/** GET /me: who the caller is. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { SCOPES } from '../../src/domain/access.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { refused } from '../support/problem.js'
import { testService } from '../support/service.js'

t.test('whoever has a key learns whose it is and what it allows, also one that allows little', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const { get, ask } = service
  const tenantId = randomUUID()
  for (const scope of SCOPES) {
    const headers = await keyOf(service, [scope], { tenantId, name: `only ${scope}` })
    const { statusCode, data } = await get('/me', headers)
    t.equal(statusCode, 200, scope)
    t.match(data.principal, /^key:[0-9a-f]{12}$/)
    const { principal: _, ...rest } = data
    t.strictSame(rest, { kind: 'key', keyName: `only ${scope}`, tenantId, scopes: [scope] })
  }
  t.match((await get('/me', bearing(ADMIN_KEY))).data, {
    kind: 'key',
    keyName: 'bootstrap',
    tenantId: DEFAULT_TENANT,
    scopes: [...SCOPES]
  })
  t.equal((await ask({ method: 'HEAD', url: '/me', headers: bearing(ADMIN_KEY) })).statusCode, 200)
})

t.test('the tenant is that for which the request acts', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const other = randomUUID()
  const as = { 'x-tenant-id': other }
  t.equal((await service.get('/me', { ...bearing(ADMIN_KEY), ...as })).data.tenantId, other)
  const own = await keyOf(service, ['state:read'])
  refused(t, await service.get('/me', { ...own, ...as }), '403 TENANT_FORBIDDEN')
})

t.test('without valid credentials it says nothing', async (t) => {
  const { get, ask, post } = await testService(t, { env: GUARDED })
  refused(t, await get('/me'), '401 UNAUTHENTICATED')
  refused(t, await get('/me', bearing('ues_nobody-has-this-key')), '401 UNAUTHENTICATED')
  const { data } = await post('/admin/api-keys', { name: 'x', scopes: ['state:read'] }, bearing(ADMIN_KEY))
  t.equal((await get('/me', bearing(data.key))).statusCode, 200)
  await ask({ method: 'DELETE', url: `/admin/api-keys/${data.id}`, headers: bearing(ADMIN_KEY) })
  refused(t, await get('/me', bearing(data.key)), '401 UNAUTHENTICATED')
})

t.test('where nobody has to say who they are, everybody is anybody', async (t) => {
  for (const env of [{}, { AUTH: 'off' }] as Record<string, string>[]) {
    const { get } = await testService(t, { env })
    t.strictSame((await get('/me')).data, {
      principal: 'anonymous',
      kind: 'none',
      keyName: null,
      tenantId: DEFAULT_TENANT,
      scopes: [...SCOPES]
    })
  }
})
