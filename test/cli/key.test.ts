/** `user-events key …`: the way to the first key. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { cli, cliTargets, runIn } from '../support/cli.js'
import { testDatabase } from '../support/db.js'
import { verdict } from '../support/problem.js'
import { listen, testService } from '../support/service.js'

t.test('the first key of an empty database opens the service that starts on it', async (t) => {
  const database = await testDatabase(t, { empty: true })
  const { out, err, code } = await cli(database, 'key', 'create', '--name', 'first')
  t.strictSame({ code, err }, { code: 0, err: '' })
  t.match(out, /^ues_[A-Za-z0-9_-]{43}\n$/, 'the key alone, ready for a variable')
  const { get } = await testService(t, { database, env: { HOST: '0.0.0.0' } })
  t.equal(verdict(await get('/stats/events')), '401 UNAUTHENTICATED')
  t.equal(verdict(await get('/stats/events', bearing(out.trim()))), '200')
})

t.test('keys are listed and revoked', async (t) => {
  const database = await testDatabase(t)
  const tenant = randomUUID()
  const create = ['key', 'create', '--name', 'app', '--tenant', tenant, '--scopes', 'state:read,events:write']
  const made = JSON.parse(
    (await runIn({ DATABASE_URL: database.url }, ...create, '--expires', '2100-01-01T00:00:00Z', '--json')).out
  )
  t.hasStrict(made, {
    tenantId: tenant,
    scopes: ['events:write', 'state:read'],
    expiresAt: '2100-01-01T00:00:00.000Z',
    createdBy: 'user-events'
  })
  t.match((await runIn({ DATABASE_URL: database.url }, 'key', 'list')).out, /no keys/)
  const listed = JSON.parse(
    (await runIn({ DATABASE_URL: database.url }, 'key', 'list', '--tenant', tenant, '--json')).out
  )
  t.strictSame(listed, [Object.fromEntries(Object.entries(made).filter(([name]) => name !== 'key'))])
  t.match((await runIn({ DATABASE_URL: database.url }, 'key', 'list', '--tenant', tenant)).out, made.id)
  t.match(
    (await runIn({ DATABASE_URL: database.url }, 'key', 'revoke', made.id, '--tenant', tenant)).out,
    `The key ${made.id} (app) is revoked.`
  )
  t.match((await runIn({ DATABASE_URL: database.url }, 'key', 'list', '--tenant', tenant)).out, /20\d\d-/)
  const { get } = await testService(t, { database, env: { AUTH: 'off' } })
  const { data } = await get('/admin/audit', { 'x-tenant-id': tenant })
  const by = { principal: 'user-events', address: 'local' }
  t.match(data.entries, [
    { action: 'revokeApiKey', path: `user-events key revoke ${made.id}`, ...by, status: 200 },
    { action: 'createApiKey', path: 'user-events key create', ...by, status: 201 }
  ])
})

t.test('what is wrong is said, and the exit code tells what kind of wrong it is', async (t) => {
  const database = await testDatabase(t)
  const wrong: [code: number, args: string[], says: string][] = [
    [2, ['key', 'create'], "required option '--name"],
    [
      2,
      ['key', 'create', '--name', 'x', '--scopes', 'state:write'],
      '"state:write" is no scope; expected some of events:write'
    ],
    [2, ['key', 'create', '--name', 'x', '--tenant', 'acme'], 'Expected a UUID.'],
    [2, ['key', 'create', '--name', 'x', '--expires', 'tomorrow'], 'Expected an RFC 3339 date-time'],
    [3, ['key', 'create', '--name', 'x', '--expires', '2020-01-01T00:00:00Z'], 'has passed'],
    [3, ['key', 'revoke', '0123456789ab'], 'There is no API key 0123456789ab']
  ]
  for (const [expected, args, says] of wrong) {
    const { code, err, out } = await runIn({ DATABASE_URL: database.url }, ...args)
    t.equal(code, expected, args.join(' '))
    t.match(err, says)
    t.equal(out, '')
  }
})

t.test('keys are made, listed and revoked wherever the store is', async (t) => {
  for (const target of await cliTargets(t)) {
    const made = await target.json(['key', 'create', '--name', 'app'])
    // The first key of a store that was open: what runs on it asks for one from then on.
    t.match(
      (await target.json(['key', 'list'])).map(({ id }: { id: string }) => id),
      [made.id],
      target.name
    )
    t.match(await target.run('key', 'revoke', made.id), { code: 0, out: `The key ${made.id} (app) is revoked.` })
  }
})

t.test('a key of a tenant acts for that tenant at a service, and may not do more than it may', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const env = { USER_EVENTS_URL: await listen(service) }
  const { authorization } = await keyOf(service, ['state:read'], { tenantId: randomUUID() })
  const key = authorization.slice('Bearer '.length)
  t.match(await runIn({ ...env, USER_EVENTS_KEY: key }, 'key', 'list'), { code: 3, err: /SCOPE_MISSING/ })
  t.match(await runIn(env, 'key', 'list'), { code: 3, err: /USER_EVENTS_KEY, or --key\. \(UNAUTHENTICATED\)/ })
  t.match(await runIn(env, 'key', 'list', '--key', ADMIN_KEY, '--json'), { code: 0, out: /"bootstrap"/ })
})
