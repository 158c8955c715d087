/** What the claims of a verified token mean: every form that issuers use, and what is no principal. */
import t from 'tap'
import { SCOPES } from '../../src/domain/access.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { type ClaimNames, principalOf } from '../../src/domain/token-claims.js'

const TENANT = '0191d5a0-7c1e-7000-8000-00000000000a'
const NAMES: ClaimNames = { tenant: 'tenant_id', scope: 'scope', scopePrefix: '' }

/** The principal with its scopes as a list, or the reason. */
function read(claims: object, names: Partial<ClaimNames> = {}) {
  const outcome = principalOf({ sub: 'ada', tenant_id: TENANT, ...claims }, { ...NAMES, ...names })
  if ('refused' in outcome) return outcome.refused
  return { ...outcome.principal, scopes: [...outcome.principal.scopes] }
}

const scopes = (claims: object, names: Partial<ClaimNames> = {}) => {
  const outcome = read(claims, names)
  return typeof outcome === 'string' ? outcome : outcome.scopes
}

t.test('subject, tenant and scopes make the principal', async (t) => {
  t.strictSame(read({ scope: 'events:read state:read' }), {
    name: 'jwt:ada',
    tenantId: TENANT,
    scopes: ['events:read', 'state:read']
  })
})

t.test('a subject has 1 to 200 characters, counted as people count, and shows all of them', async (t) => {
  for (const sub of ['a', 'x'.repeat(200), '😀'.repeat(200), 'auth0|5f7c', 'Ada Lovelace', 'ünï', '{"a":1}', ' '])
    t.match(read({ sub }), { name: `jwt:${sub}` }, sub)
  const controls = [
    '\0',
    '\n',
    '\r',
    '\t',
    '\x1b[2J',
    '\x7f',
    '\x85',
    '\u2028',
    '\u2029',
    '\u202e',
    '\u200b',
    '\ufeff',
    '\ud800',
    '\udc00'
  ]
  const wrong = ['', 'x'.repeat(201), '😀'.repeat(201), ...controls.flatMap((bad) => [bad, `a${bad}`, `${bad}a`])]
  for (const sub of wrong)
    t.match(read({ sub }), /^sub is not/, `UTF-16 ${Buffer.from(sub.slice(0, 3), 'utf16le').toString('hex')}`)
  for (const sub of [undefined, null, 7, true, ['ada'], { id: 'ada' }])
    t.match(read({ sub }), /^sub is not/, JSON.stringify(sub))
})

t.test('scopes come as text or as a list, each word once, in any order, and unknown words are ignored', async (t) => {
  t.strictSame(scopes({ scope: SCOPES.join(' ') }), [...SCOPES])
  t.strictSame(scopes({ scope: [...SCOPES].reverse() }), [...SCOPES])
  t.strictSame(scopes({ scope: 'openid events:read  profile events:read' }), ['events:read'])
  t.strictSame(scopes({ scope: ['openid', 'events:read', 'events:read'] }), ['events:read'])
  for (const scope of [
    '',
    ' ',
    [],
    [''],
    ['events:read state:read'],
    'EVENTS:READ',
    'events:read,state:read',
    'events:read\tstate:read',
    'events:*',
    'events',
    'xevents:read',
    'constructor __proto__'
  ])
    t.strictSame(scopes({ scope }), [], JSON.stringify(scope))
  t.strictSame(scopes({}), [], 'no claim')
  t.strictSame(scopes({ scope: null }), [], 'null')
  for (const scope of [7, true, { 'events:read': true }, ['events:read', 7], [['events:read']]])
    t.match(scopes({ scope }), /^scope is neither/, JSON.stringify(scope))
})

t.test('with a prefix only words that have it count, without it', async (t) => {
  const scopePrefix = 'ues/'
  t.strictSame(scopes({ scope: 'ues/events:read state:read ues/nothing ues/' }, { scopePrefix }), ['events:read'])
  t.strictSame(scopes({ scope: ['ues/ues/events:read', 'UES/state:read'] }, { scopePrefix }), [])
})

t.test('the name of a claim is a path, unless a claim is called so', async (t) => {
  const scope = 'realm_access.roles'
  t.strictSame(scopes({ realm_access: { roles: ['events:read'] } }, { scope }), ['events:read'])
  t.strictSame(scopes({ [scope]: 'state:read', realm_access: { roles: ['events:read'] } }, { scope }), ['state:read'])
  t.strictSame(scopes({ 'https://x.example/scope': 'state:read' }, { scope: 'https://x.example/scope' }), [
    'state:read'
  ])
  t.match(read({ app: { tenant: TENANT.replace('a', 'b') } }, { tenant: 'app.tenant' }), {
    tenantId: TENANT.replace('a', 'b')
  })
  for (const realm_access of [undefined, null, 'roles', 7, [], {}, { roles: null }])
    t.strictSame(scopes({ realm_access }, { scope }), [], JSON.stringify(realm_access))
  for (const name of ['constructor.name', '__proto__.toString', 'scope.length', 'toString', '.', ''])
    t.strictSame(scopes({ scope: 'state:read' }, { scope: name }), [], name)
  t.match(read({}, { tenant: 'constructor.name' }), 'constructor.name is missing')
})

t.test('a tenant is a UUID in either case', async (t) => {
  t.match(read({ tenant_id: TENANT.toUpperCase() }), { tenantId: TENANT })
  const wrong = [
    '',
    ' ',
    'default',
    `${TENANT} `,
    ` ${TENANT}`,
    `${TENANT}\n`,
    `urn:uuid:${TENANT}`,
    `{${TENANT}}`,
    TENANT.replaceAll('-', ''),
    '*',
    null,
    7,
    [TENANT],
    { id: TENANT }
  ]
  for (const tenant_id of wrong) {
    t.equal(read({ tenant_id }), 'tenant_id is not a UUID', JSON.stringify(tenant_id))
    t.equal(read({ tenant_id, scope: 'tenants:all' }), 'tenant_id is not a UUID', 'whatever the scopes')
  }
})

t.test('no tenant is refused, but for one who may act for all', async (t) => {
  t.equal(read({ tenant_id: undefined, scope: undefined }, { tenant: 'org' }), 'org is missing')
  t.equal(read({ scope: 'events:admin tenants' }, { tenant: 'org' }), 'org is missing')
  t.match(read({ scope: 'events:read tenants:all' }, { tenant: 'org' }), { tenantId: DEFAULT_TENANT })
  t.match(read({ scope: 'tenants:all' }), { tenantId: TENANT }, 'who names one has it')
})

t.test('a reason holds nothing of the claims', async (t) => {
  for (const claims of [{ sub: 'secret\n' }, { scope: { secret: 1 } }, { tenant_id: 'secret' }])
    t.notMatch(JSON.stringify(read(claims)), /secret/)
})
