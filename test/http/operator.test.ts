/** The service that is there for one command: it knows one token, and nobody else gets in. */
import t from 'tap'
import { compose } from '../../src/compose.js'
import { loadConfig } from '../../src/config.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { ADMIN_KEY, bearing, GUARDED } from '../support/access.js'
import { testDatabase } from '../support/db.js'

const TOKEN = 'known-to-one-process'

for (const env of [{}, { AUTH: 'off' }, GUARDED] as Record<string, string>[]) {
  t.test(`only who has its token is let in, with ${JSON.stringify(env)}`, async (t) => {
    const { url, run } = await testDatabase(t)
    const operator = { token: TOKEN, command: 'user-events x' }
    const service = await compose(loadConfig(env), url, false, { operator })
    t.teardown(() => service.stop())
    const ask = (headers: Record<string, string>) => service.app.inject({ url: '/admin/api-keys', headers })
    for (const headers of [{}, bearing('other'), bearing(ADMIN_KEY), bearing(`${TOKEN}x`)])
      t.equal((await ask(headers as Record<string, string>)).statusCode, 401)
    t.equal((await ask(bearing(TOKEN))).statusCode, 200)
    const made = await service.app.inject({
      method: 'POST',
      url: '/admin/api-keys',
      headers: bearing(TOKEN),
      payload: { name: 'x', scopes: ['events:read'] }
    })
    t.equal(made.statusCode, 201)
    t.match(await run('SELECT principal, path, address FROM admin_audit'), [
      { principal: 'user-events', path: 'user-events x', address: 'local' }
    ])
    t.strictSame(await run('SELECT FROM workers'), [], 'and it does no work in the background')
  })
}

t.test('a command may ask as often as it needs, whatever the limits of keys and tenants', async (t) => {
  const { url, run } = await testDatabase(t)
  await run(`INSERT INTO tenant_limits ("tenantId", "requestsPerSecond", "updatedAt", "updatedBy")
    VALUES ('${DEFAULT_TENANT}', 1, now(), 'test')`)
  const config = loadConfig({ RATE_LIMIT_PER_SECOND: '1' })
  const service = await compose(config, url, false, { operator: { token: TOKEN, command: 'user-events x' } })
  t.teardown(() => service.stop())
  for (let n = 0; n < 5; n++)
    t.equal((await service.app.inject({ url: '/stats/events', headers: bearing(TOKEN) })).statusCode, 200)
})
