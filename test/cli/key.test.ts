/** `user-events key …`: the way to the first key. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { bearing } from '../support/access.js'
import { cli } from '../support/cli.js'
import { testDatabase } from '../support/db.js'
import { verdict } from '../support/problem.js'
import { testService } from '../support/service.js'

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
  const made = JSON.parse((await cli(database, ...create, '--expires', '2100-01-01T00:00:00Z', '--json')).out)
  t.hasStrict(made, {
    tenantId: tenant,
    scopes: ['events:write', 'state:read'],
    expiresAt: '2100-01-01T00:00:00.000Z',
    createdBy: 'user-events'
  })
  t.match((await cli(database, 'key', 'list')).out, /no keys/)
  const listed = JSON.parse((await cli(database, 'key', 'list', '--tenant', tenant, '--json')).out)
  t.strictSame(listed, [Object.fromEntries(Object.entries(made).filter(([name]) => name !== 'key'))])
  t.match((await cli(database, 'key', 'list', '--tenant', tenant)).out, made.id)
  t.match(
    (await cli(database, 'key', 'revoke', made.id, '--tenant', tenant)).out,
    `The key ${made.id} (app) is revoked.`
  )
  t.match((await cli(database, 'key', 'list', '--tenant', tenant)).out, /20\d\d-/)
  const { get } = await testService(t, { database, env: { AUTH: 'off' } })
  const { data } = await get('/admin/audit', { 'x-tenant-id': tenant })
  const done = { principal: 'user-events', address: 'local', status: 200 }
  t.match(data.entries, [
    { action: 'revokeApiKey', path: `user-events key revoke ${made.id}`, ...done },
    { action: 'createApiKey', path: 'user-events key create', ...done }
  ])
})

t.test('what is wrong is said, and ends with 1', async (t) => {
  const database = await testDatabase(t)
  const wrong: [args: string[], says: string][] = [
    [['key', 'create'], "required option '--name"],
    [
      ['key', 'create', '--name', 'x', '--scopes', 'state:write'],
      '"state:write" is no scope; expected some of events:write'
    ],
    [['key', 'create', '--name', 'x', '--tenant', 'acme'], 'Expected a UUID.'],
    [['key', 'create', '--name', 'x', '--expires', 'tomorrow'], 'Expected an RFC 3339 date-time'],
    [['key', 'create', '--name', 'x', '--expires', '2020-01-01T00:00:00Z'], 'has passed'],
    [['key', 'revoke', '0123456789ab'], 'There is no API key 0123456789ab']
  ]
  for (const [args, says] of wrong) {
    const { code, err, out } = await cli(database, ...args)
    t.equal(code, 1, args.join(' '))
    t.match(err, says)
    t.equal(out, '')
  }
})
