import type { TSchema } from '@sinclair/typebox'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { builtInTypes, createCatalog } from '../../src/domain/catalog.js'
import type { FoldEvent, JsonObject, NewEvent } from '../../src/domain/event.js'
import { fold, nothingFolded, type Replay } from '../../src/domain/replay.js'
import { mergePatch, type User } from '../../src/domain/user.js'
import { deepFreeze } from '../support/freeze.js'
import { histories } from './histories.js'

const catalog = createCatalog()
const key = { tenantId: '00000000-0000-0000-0000-000000000000', userId: '0191d5a0-7c1e-7000-8000-000000000001' }
const start = Date.parse('2026-11-22T08:00:00.000Z')
/** createdAt of the event at a version. */
const at = (version: number): string => new Date(start + version * 1000).toISOString()

type Given = [eventType: string, eventData: JsonObject]

/** Events as the service would store them. */
const eventsOf = (given: readonly Given[]): FoldEvent[] =>
  given.map(([eventType, eventData], i) => ({
    version: i + 1,
    eventType,
    schemaVersion: catalog.schemaVersionOf({ eventType, eventData }, ''),
    eventData,
    createdAt: at(i + 1)
  }))

const created: Given = ['UserCreated', { username: 'ada', email: 'ada@example.com', phoneVerified: true }]

/** State after `created` alone. */
const fresh: User = {
  id: key.userId,
  tenantId: key.tenantId,
  status: 'active',
  username: 'ada',
  email: 'ada@example.com',
  fullName: null,
  phone: null,
  avatar: null,
  roleIds: [],
  attributes: {},
  loginAttempts: 0,
  lockedUntil: null,
  lockReason: null,
  totalLogins: 0,
  lastLoginAt: null,
  lastLoginIp: null,
  passwordChangedAt: null,
  createdAt: at(1),
  updatedAt: null,
  deletedAt: null
}

/** Claims that `given` folds to the fresh state with `changes`. Everything is frozen: a fold that writes to its input throws. */
function folds(t: Test, claim: string, given: Given[], changes: Partial<User>): void {
  const events = deepFreeze(eventsOf(given))
  let replay: Replay = nothingFolded
  for (const event of events) replay = deepFreeze(fold(catalog, key, replay, [event]))
  t.strictSame(replay, { version: events.length, asOf: at(events.length), state: { ...fresh, ...changes } }, claim)
}

const locked: Given = [
  'AccountLocked',
  { reason: 'too many attempts', loginAttempts: 5, lockedUntil: '2026-11-22T09:00:00.000Z' }
]
const loggedIn: Given = [
  'LoginInfoUpdated',
  { ipAddress: { address: '203.0.113.7', family: 4 }, loginAt: '2026-11-22T07:59:00.000Z', userAgent: 'curl' }
]

t.test('UserCreated gives an active user; what it leaves out is null or empty', async (t) => {
  folds(t, 'required fields alone', [created], {})
  folds(t, 'version 1', [['UserCreated', { username: 'ada', email: 'ada@example.com' }]], {})
  const all = { fullName: 'Ada', phone: '1', roleIds: ['admin'], attributes: { a: { b: 1 } } }
  folds(t, 'every field', [['UserCreated', { ...created[1], ...all }]], all)
  folds(
    t,
    'nulls in attributes remove nothing that is there',
    [['UserCreated', { ...created[1], attributes: { a: null, b: { c: null } } }]],
    {
      attributes: { b: {} }
    }
  )
})

t.test('UserUpdated merges what it names', async (t) => {
  const updatedAt = at(2)
  const values = {
    username: 'lovelace',
    email: 'l@example.com',
    fullName: 'Ada Lovelace',
    phone: '2',
    avatar: 'https://example.com/a.png',
    status: 'inactive' as const,
    roleIds: ['a', 'b']
  }
  for (const [field, value] of Object.entries(values)) {
    folds(t, field, [created, ['UserUpdated', { [field]: value }]], { [field]: value, updatedAt })
  }
  for (const field of ['fullName', 'phone', 'avatar']) {
    folds(
      t,
      `null removes ${field}`,
      [created, ['UserUpdated', { [field]: 'x' }], ['UserUpdated', { [field]: null }]],
      { updatedAt: at(3) }
    )
  }
  folds(t, 'roles are replaced', [created, ['UserUpdated', { roleIds: ['a'] }], ['UserUpdated', { roleIds: [] }]], {
    updatedAt: at(3)
  })
  folds(
    t,
    'and back to active',
    [created, ['UserUpdated', { status: 'suspended' }], ['UserUpdated', { status: 'active' }]],
    {
      updatedAt: at(3)
    }
  )
})

t.test('UserUpdated merges attributes by RFC 7396', async (t) => {
  folds(
    t,
    'nested, replaced, removed, new',
    [
      [
        'UserCreated',
        { ...created[1], attributes: { keep: 1, change: 'a', drop: true, deep: { x: 1, y: 2 }, list: [1, 2] } }
      ],
      [
        'UserUpdated',
        { attributes: { change: 'b', drop: null, deep: { y: null, z: { n: null, m: 0 } }, list: [3], fresh: {} } }
      ]
    ],
    {
      attributes: { keep: 1, change: 'b', deep: { x: 1, z: { m: 0 } }, list: [3], fresh: {} },
      updatedAt: at(2)
    }
  )
  // The examples of RFC 7396, appendix A, whose target and patch are objects.
  for (const [target, patch, result] of [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }]
  ]) {
    t.strictSame(mergePatch(target!, patch!), result, JSON.stringify([target, patch]))
  }
})

t.test('PasswordChanged notes when, and no more', async (t) => {
  folds(t, 'times', [created, ['PasswordChanged', { changedBy: 'self' }]], {
    passwordChangedAt: at(2),
    updatedAt: at(2)
  })
})

t.test('UserDeleted marks the user and keeps the rest', async (t) => {
  folds(t, 'status and time', [created, ['UserDeleted', { deletedBy: 'support', reason: 'asked' }]], {
    status: 'deleted',
    deletedAt: at(2)
  })
})

t.test('LoginInfoUpdated counts the login and ends the failed attempts', async (t) => {
  const lastLogin = { lastLoginAt: '2026-11-22T07:59:00.000Z', lastLoginIp: '203.0.113.7' }
  folds(t, 'one', [created, loggedIn], { ...lastLogin, totalLogins: 1 })
  const v1: Given = ['LoginInfoUpdated', { ...loggedIn[1], ipAddress: '203.0.113.7' }]
  folds(t, 'one of version 1', [created, v1], { ...lastLogin, totalLogins: 1 })
  folds(t, 'three, after a lock', [created, loggedIn, locked, loggedIn, loggedIn], {
    ...lastLogin,
    totalLogins: 3,
    loginAttempts: 0,
    lockedUntil: '2026-11-22T09:00:00.000Z',
    lockReason: 'too many attempts'
  })
})

t.test('AccountLocked and AccountUnlocked', async (t) => {
  folds(t, 'locked', [created, locked], {
    loginAttempts: 5,
    lockedUntil: '2026-11-22T09:00:00.000Z',
    lockReason: 'too many attempts'
  })
  folds(t, 'unlocked', [created, locked, ['AccountUnlocked', { unlockedBy: 'support' }]], {})
})

t.test('RolesAssigned replaces the roles', async (t) => {
  folds(t, 'roles', [created, ['RolesAssigned', { roleIds: ['a', 'b'], assignedBy: 'root' }]], {
    roleIds: ['a', 'b'],
    updatedAt: at(2)
  })
})

t.test(
  'folding changes neither events nor earlier states, and a state has every field and nothing undefined',
  async (t) => {
    const fields = Object.keys(fresh).sort()
    t.doesNotThrow(() =>
      fc.assert(
        fc.property(histories(30), (history) => {
          const events = deepFreeze(history)
          const states: [User, string][] = []
          let replay: Replay = nothingFolded
          for (const event of events) {
            replay = deepFreeze(fold(catalog, key, replay, [event]))
            states.push([replay.state!, JSON.stringify(replay.state)])
          }
          return states.every(
            ([state, before]) =>
              JSON.stringify(state) === before &&
              Object.keys(state).sort().join() === fields.join() &&
              Object.values(state).every((value) => value !== undefined)
          )
        })
      )
    )
  }
)

t.test('histories made by the generator are what the service accepts', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(histories(30), (events) =>
        events.every((event) => catalog.schemaVersionOf(unversioned(event), '') === event.schemaVersion)
      )
    )
  )
})

const unversioned = ({ eventType, eventData }: FoldEvent): NewEvent => ({ eventType, eventData })

t.test('the built-in types are those of the contract, and only UserCreated starts a stream', async (t) => {
  t.strictSame(builtInTypes.map(({ name }) => name).sort(), [
    'AccountLocked',
    'AccountUnlocked',
    'LoginInfoUpdated',
    'PasswordChanged',
    'RolesAssigned',
    'UserCreated',
    'UserDeleted',
    'UserUpdated'
  ])
  t.strictSame(
    builtInTypes.filter(({ creates }) => creates).map(({ name }) => name),
    ['UserCreated']
  )
  t.throws(() => catalog.evolve(key, null, eventsOf([loggedIn])[0]!), /was never created/)
})

t.test('every example is valid at the newest version, and folds', async (t) => {
  for (const { name, example, versions, creates } of builtInTypes) {
    t.equal(catalog.schemaVersionOf({ eventType: name, eventData: example }, ''), versions.length, name)
    const given: Given[] = creates ? [[name, example]] : [created, [name, example]]
    t.ok(fold(catalog, key, nothingFolded, eventsOf(given)).state, name)
  }
})

/** The schema version under which data is stored; throws when it is refused. */
const versionOf = (eventType: string, eventData: JsonObject, schemaVersion?: number): number =>
  catalog.schemaVersionOf(
    { eventType, eventData, ...(schemaVersion === undefined ? {} : { schemaVersion }) },
    '/events/3'
  )

/** Claims that data is refused at a pointer below eventData, when `schemaVersion` is asked for or none is. */
function refuses(t: Test, eventType: string, eventData: JsonObject, pointer: string, schemaVersion?: number): void {
  t.throws(
    () => versionOf(eventType, eventData, schemaVersion),
    { code: 'INVALID_EVENT_DATA', facts: { pointer: `/events/3/eventData${pointer}`, reason: /\w/ } },
    `${eventType} ${JSON.stringify(eventData).slice(0, 80)}`
  )
}

/** The least that each version of a type takes, from version 1 on: every field here is required, and no other is. */
const least: Record<string, [JsonObject, ...JsonObject[]]> = {
  UserCreated: [
    { username: 'a', email: 'a@b' },
    { username: 'a', email: 'a@b', phoneVerified: false }
  ],
  UserUpdated: [{ phone: '1' }],
  PasswordChanged: [{ changedBy: 'a' }],
  UserDeleted: [{ deletedBy: 'a' }],
  LoginInfoUpdated: [
    { ipAddress: '::1', loginAt: '2026-11-22T08:00:00Z' },
    { ipAddress: { address: '::1', family: 6 }, loginAt: '2026-11-22T08:00:00Z' }
  ],
  AccountLocked: [{ reason: 'a', loginAttempts: 0, lockedUntil: '2026-11-22T08:00:00Z' }],
  AccountUnlocked: [{ unlockedBy: 'a' }],
  RolesAssigned: [{ roleIds: [], assignedBy: 'a' }]
}

t.test('schemas are strict: required fields, right types, nothing unknown', async (t) => {
  for (const { name, versions } of builtInTypes) {
    t.equal(least[name]!.length, versions.length, `${name} has a least for each version`)
    for (const [i, data] of least[name]!.entries()) {
      const schemaVersion = i + 1
      t.equal(versionOf(name, data), schemaVersion, `${name} takes the least`)
      refuses(t, name, { ...data, extra: 1 }, '/extra', schemaVersion)
      refuses(t, name, { ...data, 'a/b~c': 1 }, '/a~1b~0c', schemaVersion)
      for (const field of Object.keys(data)) {
        const { [field]: _, ...without } = data
        refuses(t, name, without, name === 'UserUpdated' ? '' : `/${field}`, schemaVersion)
        refuses(t, name, { ...data, [field]: { a: 1 } }, `/${field}`, schemaVersion)
        refuses(t, name, { ...data, [field]: name === 'UserUpdated' ? '' : null }, `/${field}`, schemaVersion)
      }
    }
  }
})

t.test('values have the limits that the schemas name', async (t) => {
  const limits: [string, string, (length: number) => unknown, number, number][] = [
    ['UserCreated', 'username', (n) => 'x'.repeat(n), 1, 100],
    ['UserCreated', 'fullName', (n) => 'x'.repeat(n), 1, 200],
    ['UserCreated', 'phone', (n) => 'x'.repeat(n), 1, 50],
    ['UserCreated', 'email', (n) => 'x'.repeat(Math.max(0, n - 2)).concat('@b'), 3, 254],
    ['UserUpdated', 'avatar', (n) => 'x'.repeat(n), 1, 2048],
    ['UserDeleted', 'reason', (n) => 'x'.repeat(n), 1, 1000],
    ['UserDeleted', 'deletedBy', (n) => 'x'.repeat(n), 1, 100],
    ['LoginInfoUpdated', 'userAgent', (n) => 'x'.repeat(n), 0, 1000],
    ['AccountLocked', 'loginAttempts', (n) => n, 0, 2_147_483_647],
    ['RolesAssigned', 'roleIds', (n) => Array.from({ length: n }, (_, i) => `r${i}`), 0, 1000]
  ]
  for (const [name, field, value, min, max] of limits) {
    for (const [i, rest] of least[name]!.entries()) {
      const data = (n: number) => ({ ...rest, [field]: value(n) })
      for (const n of [min, max]) t.equal(versionOf(name, data(n)), i + 1, `${field} ${n}`)
      if (min > 0 || field === 'loginAttempts') refuses(t, name, data(min - 1), `/${field}`, i + 1)
      refuses(t, name, data(max + 1), `/${field}`, i + 1)
    }
  }
  for (const email of ['ada', '@b', 'a@', 'a b@c', 'a@b@c', '']) {
    for (const [i, data] of least.UserCreated!.entries()) refuses(t, 'UserCreated', { ...data, email }, '/email', i + 1)
  }
  for (const status of ['deleted', 'ACTIVE', '', null]) refuses(t, 'UserUpdated', { status }, '/status')
  const [loginV1, loginV2] = least.LoginInfoUpdated as [JsonObject, JsonObject]
  for (const ipAddress of ['1.2.3', '256.1.1.1', 'localhost', '']) {
    refuses(t, 'LoginInfoUpdated', { ...loginV1, ipAddress }, '/ipAddress', 1)
    for (const family of [4, 6])
      refuses(t, 'LoginInfoUpdated', { ...loginV2, ipAddress: { address: ipAddress, family } }, '/ipAddress')
  }
  for (const ipAddress of [
    { address: '203.0.113.7', family: 6 },
    { address: '::1', family: 4 },
    { address: '::ffff:203.0.113.7', family: 4 },
    { address: '::1', family: '6' },
    { address: '::1', family: 5 },
    { address: '::1', family: 0 },
    { address: '::1' },
    { family: 6 },
    { address: '::1', family: 6, zone: 'eth0' }
  ]) {
    refuses(t, 'LoginInfoUpdated', { ...loginV2, ipAddress }, '/ipAddress')
  }
  for (const loginAt of ['2026-02-30T00:00:00Z', '2026-11-22', '2026-11-22T08:00:00', 'now']) {
    refuses(t, 'LoginInfoUpdated', { ...loginV1, loginAt }, '/loginAt', 1)
    refuses(t, 'LoginInfoUpdated', { ...loginV2, loginAt }, '/loginAt')
  }
  refuses(t, 'RolesAssigned', { assignedBy: 'a', roleIds: ['x', 'x'] }, '/roleIds')
  refuses(t, 'RolesAssigned', { assignedBy: 'a', roleIds: ['x', ''] }, '/roleIds/1')
  refuses(t, 'UserUpdated', {}, '')
  for (const attributes of [{ 'any\nkey': 1 }, { '': { deep: [1, null] } }, {}]) {
    t.equal(catalog.schemaVersionOf({ eventType: 'UserUpdated', eventData: { attributes } }, ''), 1)
  }
  refuses(t, 'UserUpdated', { attributes: [] }, '/attributes')
})

t.test('a PasswordChanged event carries no password, in data or metadata, however it is called', async (t) => {
  for (const name of [
    'password',
    'newPassword',
    'PASSWORD_HASH',
    'passwd',
    'passphrase',
    'pwd',
    'secret',
    'credentials'
  ]) {
    const eventData = { changedBy: 'self', [name]: 'hunter2' }
    const refused = {
      code: 'INVALID_EVENT_DATA',
      message: /must never be stored/,
      facts: { pointer: `/events/0/eventData/${name}` }
    }
    t.throws(() => catalog.schemaVersionOf({ eventType: 'PasswordChanged', eventData }, '/events/0'), refused, name)
    const hidden: NewEvent = {
      eventType: 'PasswordChanged',
      eventData: { changedBy: 'self' },
      metadata: { a: [{ [name]: 1 }] }
    }
    t.throws(
      () => catalog.schemaVersionOf(hidden, '/events/0'),
      { code: 'INVALID_EVENT_DATA', facts: { pointer: `/events/0/metadata/a/0/${name}` } },
      name
    )
  }
  const fine: NewEvent = {
    eventType: 'PasswordChanged',
    eventData: { changedBy: 'self' },
    metadata: { correlationId: 'x' }
  }
  t.equal(catalog.schemaVersionOf(fine, ''), 1)
})

/** The schemas of the values that a dotted path can lead to. */
const schemasAt = (schemas: TSchema[], path: string): TSchema[] =>
  path
    .split('.')
    .reduce(
      (found, field) =>
        found.flatMap((schema) => schema.anyOf ?? [schema]).map((schema) => schema.properties?.[field] ?? null),
      schemas
    )

t.test('personal data is named by paths that the newest schema has, in all its alternatives', async (t) => {
  for (const { name, personalData, versions } of builtInTypes) {
    for (const path of personalData) t.ok(schemasAt([versions.at(-1)!.schema], path).every(Boolean), `${name}: ${path}`)
  }
})
