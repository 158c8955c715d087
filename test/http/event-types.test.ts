/** The built-in event types: what their data may be, and what they do to the state. */
import t from 'tap'
import { newUserId, userCreated } from '../support/events.js'
import { refused } from '../support/problem.js'
import { testService } from '../support/service.js'

const { append, get } = await testService(t)

const moment = '2026-11-22T08:00:00.000Z'
const ipv4 = { address: '203.0.113.7', family: 4 }

type Wrong = [eventData: object, pointer: string]

/** eventData of the newest schema version. */
const types: Record<string, { minimal: object; full: object; wrong: Wrong[] }> = {
  UserCreated: {
    minimal: { username: 'ada', email: 'ada@example.com', phoneVerified: false },
    full: {
      username: 'ada',
      email: 'ada@example.com',
      fullName: 'Ada Lovelace',
      phone: '+44 20',
      roleIds: ['admin', 'author'],
      attributes: { theme: 'dark' },
      phoneVerified: true
    },
    wrong: [
      [{ username: 'ada', phoneVerified: true }, '/email'],
      [{ email: 'ada@example.com', phoneVerified: true }, '/username'],
      [{ username: 7, email: 'ada@example.com', phoneVerified: true }, '/username'],
      [{ username: '', email: 'ada@example.com', phoneVerified: true }, '/username'],
      [{ username: 'x'.repeat(101), email: 'ada@example.com', phoneVerified: true }, '/username'],
      [{ username: 'ada', email: 'ada', phoneVerified: true }, '/email'],
      [{ username: 'ada', email: 'a da@example.com', phoneVerified: true }, '/email'],
      [{ username: 'ada', email: 'ada@example.com', avatar: 'a.png', phoneVerified: true }, '/avatar'],
      [{ username: 'ada', email: 'ada@example.com', status: 'active', phoneVerified: true }, '/status'],
      [{ username: 'ada', email: 'ada@example.com', fullName: null, phoneVerified: true }, '/fullName'],
      [{ username: 'ada', email: 'ada@example.com', roleIds: 'admin', phoneVerified: true }, '/roleIds'],
      [{ username: 'ada', email: 'ada@example.com', roleIds: ['a', 1], phoneVerified: true }, '/roleIds/1'],
      [{ username: 'ada', email: 'ada@example.com', roleIds: ['a', 'a'], phoneVerified: true }, '/roleIds'],
      [{ username: 'ada', email: 'ada@example.com', attributes: [], phoneVerified: true }, '/attributes'],
      [{ username: 'ada', email: 'ada@example.com', phoneVerified: null }, '/phoneVerified'],
      [{ username: 7, email: 'ada@example.com' }, '/phoneVerified']
    ]
  },
  UserUpdated: {
    minimal: { status: 'suspended' },
    full: {
      username: 'eve',
      email: 'eve@example.com',
      fullName: null,
      phone: '1',
      avatar: 'https://example.com/a.png',
      status: 'inactive',
      roleIds: [],
      attributes: { theme: null }
    },
    wrong: [
      [{}, ''],
      [{ status: 'deleted' }, '/status'],
      [{ status: null }, '/status'],
      [{ username: null }, '/username'],
      [{ email: null }, '/email'],
      [{ nickname: 'a' }, '/nickname'],
      [{ 'a/b~c': 1 }, '/a~1b~0c'],
      [{ attributes: null }, '/attributes'],
      [{ avatar: 'x'.repeat(2049) }, '/avatar']
    ]
  },
  PasswordChanged: {
    minimal: { changedBy: 'self' },
    full: { changedBy: 'self' },
    wrong: [
      [{}, '/changedBy'],
      [{ changedBy: true }, '/changedBy'],
      [{ changedBy: 'self', at: moment }, '/at'],
      [{ changedBy: 'self', password: 'hunter2' }, '/password'],
      [{ changedBy: 'self', newPassword: 'hunter2' }, '/newPassword'],
      [{ changedBy: 'self', deep: { list: [{ passwd: 'x' }] } }, '/deep/list/0/passwd']
    ]
  },
  LoginInfoUpdated: {
    minimal: { ipAddress: ipv4, loginAt: moment },
    full: {
      ipAddress: { address: '2001:db8::1', family: 6 },
      loginAt: '2026-11-22T08:00:00+01:00',
      userAgent: 'curl/8'
    },
    wrong: [
      [{ loginAt: moment }, '/ipAddress'],
      [{ ipAddress: ipv4 }, '/loginAt'],
      [{ ipAddress: { ...ipv4, address: '203.0.113.300' }, loginAt: moment }, '/ipAddress'],
      [{ ipAddress: { ...ipv4, address: 'localhost' }, loginAt: moment }, '/ipAddress'],
      [{ ipAddress: { ...ipv4, family: 6 }, loginAt: moment }, '/ipAddress'],
      [{ ipAddress: { ...ipv4, port: 80 }, loginAt: moment }, '/ipAddress'],
      [{ ipAddress: 'localhost', loginAt: moment }, '/ipAddress'],
      [{ ipAddress: ipv4, loginAt: '2026-02-30T00:00:00Z' }, '/loginAt'],
      [{ ipAddress: ipv4, loginAt: '2026-11-22T24:00:00Z' }, '/loginAt'],
      [{ ipAddress: ipv4, loginAt: 1 }, '/loginAt'],
      [{ ipAddress: ipv4, loginAt: moment, country: 'GB' }, '/country']
    ]
  },
  AccountLocked: {
    minimal: { reason: 'too many attempts', loginAttempts: 5, lockedUntil: moment },
    full: { reason: 'too many attempts', loginAttempts: 0, lockedUntil: '2026-11-22 08:00:00.123456z' },
    wrong: [
      [{ loginAttempts: 5, lockedUntil: moment }, '/reason'],
      [{ reason: 'r', lockedUntil: moment }, '/loginAttempts'],
      [{ reason: 'r', loginAttempts: 5 }, '/lockedUntil'],
      [{ reason: 'r', loginAttempts: 5.5, lockedUntil: moment }, '/loginAttempts'],
      [{ reason: 'r', loginAttempts: -1, lockedUntil: moment }, '/loginAttempts'],
      [{ reason: 'r', loginAttempts: '5', lockedUntil: moment }, '/loginAttempts'],
      [{ reason: 'r', loginAttempts: 5, lockedUntil: 'for ever' }, '/lockedUntil'],
      [{ reason: 'r', loginAttempts: 5, lockedUntil: moment, lockedBy: 'x' }, '/lockedBy']
    ]
  },
  AccountUnlocked: {
    minimal: { unlockedBy: 'support' },
    full: { unlockedBy: 'support' },
    wrong: [
      [{}, '/unlockedBy'],
      [{ unlockedBy: '' }, '/unlockedBy'],
      [{ unlockedBy: 'support', reason: 'asked' }, '/reason']
    ]
  },
  RolesAssigned: {
    minimal: { roleIds: [], assignedBy: 'root' },
    full: { roleIds: ['admin'], assignedBy: 'root' },
    wrong: [
      [{ assignedBy: 'root' }, '/roleIds'],
      [{ roleIds: [] }, '/assignedBy'],
      [{ roleIds: [null], assignedBy: 'root' }, '/roleIds/0'],
      [{ roleIds: {}, assignedBy: 'root' }, '/roleIds'],
      [{ roleIds: [], assignedBy: 'root', until: moment }, '/until']
    ]
  },
  UserDeleted: {
    minimal: { deletedBy: 'support' },
    full: { deletedBy: 'support', reason: 'asked for it' },
    wrong: [
      [{}, '/deletedBy'],
      [{ reason: 'none' }, '/deletedBy'],
      [{ deletedBy: 'support', reason: 1 }, '/reason'],
      [{ deletedBy: 'support', at: moment }, '/at']
    ]
  }
}

for (const [eventType, { minimal, full, wrong }] of Object.entries(types)) {
  t.test(`${eventType}: the least and the most it may hold are kept, all else is refused with its place`, async (t) => {
    const before = eventType === 'UserCreated' ? [] : [userCreated()]
    for (const eventData of [minimal, full]) {
      const userId = newUserId()
      const answer = await append(userId, [...before, { eventType, eventData }])
      t.equal(answer.statusCode, 201, JSON.stringify(answer.data))
      const stored = await get(`/users/${userId}/events/${before.length + 1}`)
      t.hasStrict(stored.data, { eventType, eventData })
      t.equal((await get(`/users/${userId}/state`)).statusCode, 200)
    }
    for (const [eventData, pointer] of wrong) {
      const userId = newUserId()
      const answer = await append(userId, [...before, { eventType, eventData }])
      refused(t, answer, '422 INVALID_EVENT_DATA', { pointer: `/events/${before.length}/eventData${pointer}` })
      t.ok(answer.data.reason)
      t.equal((await get(`/users/${userId}/state`)).statusCode, 404, 'nothing is stored')
    }
  })
}

type Older = { eventType: string; eventData: object; lifted: object; wrong: Wrong }

/** Data of version 1 of the types that have two, and what it is read as. */
const older: Older[] = [
  {
    eventType: 'UserCreated',
    eventData: { username: 'ada', email: 'ada@example.com', attributes: { a: { b: null } } },
    lifted: { username: 'ada', email: 'ada@example.com', attributes: { a: { b: null } }, phoneVerified: false },
    wrong: [{ username: 'ada', email: 'ada' }, '/email']
  },
  {
    eventType: 'LoginInfoUpdated',
    eventData: { ipAddress: '203.0.113.7', loginAt: moment },
    lifted: { ipAddress: ipv4, loginAt: moment },
    wrong: [{ ipAddress: 'localhost', loginAt: moment }, '/ipAddress']
  },
  {
    eventType: 'LoginInfoUpdated',
    eventData: { ipAddress: '::ffff:203.0.113.7', loginAt: moment, userAgent: '' },
    lifted: { ipAddress: { address: '::ffff:203.0.113.7', family: 6 }, loginAt: moment, userAgent: '' },
    wrong: [{ ipAddress: ipv4, loginAt: moment }, '/ipAddress']
  }
]

t.test(
  'data of an older version is stored as it came, and read as the newest unless the stored form is asked for',
  async (t) => {
    for (const { eventType, eventData, lifted, wrong } of older) {
      const before = eventType === 'UserCreated' ? [] : [userCreated()]
      for (const event of [
        { eventType, eventData },
        { eventType, eventData, schemaVersion: 1 }
      ]) {
        const userId = newUserId()
        const version = before.length + 1
        t.hasStrict((await append(userId, [...before, event])).data.events.at(-1), { schemaVersion: 1 })
        const one = `/users/${userId}/events/${version}`
        const page = `/users/${userId}/events?fromVersion=${version}`
        for (const read of [(await get(one)).data, (await get(page)).data.events[0]])
          t.strictSame([read.schemaVersion, read.eventData], [2, lifted])
        for (const read of [
          (await get(`${one}?upcast=false`)).data,
          (await get(`${page}&upcast=false`)).data.events[0]
        ])
          t.strictSame([read.schemaVersion, read.eventData], [1, eventData])
      }
      const refusal = await append(newUserId(), [...before, { eventType, eventData: wrong[0], schemaVersion: 1 }])
      refused(t, refusal, '422 INVALID_EVENT_DATA', { pointer: `/events/${before.length}/eventData${wrong[1]}` })
    }
  }
)

t.test('PasswordChanged never carries a password, however the field is called and wherever it is', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  const event = { eventType: 'PasswordChanged', eventData: { changedBy: 'self' } }
  for (const key of [
    'password',
    'Password',
    'newPassword',
    'PASSWORD_HASH',
    'passphrase',
    'passwd',
    'pwd',
    'newPwd',
    'pass',
    'pass_word',
    'passcode',
    'clientSecret',
    'credentials'
  ]) {
    const inMetadata = await append(userId, [{ ...event, metadata: { [key]: 'hunter2' } }])
    refused(t, inMetadata, '422 INVALID_EVENT_DATA', { pointer: `/events/0/metadata/${key}` })
    t.notMatch(inMetadata.body, 'hunter2')
    const nested = await append(userId, [{ ...event, metadata: { request: [{ [key]: 'x' }] } }])
    refused(t, nested, '422 INVALID_EVENT_DATA', { pointer: `/events/0/metadata/request/0/${key}` })
  }
  const harmless = { correlationId: 'c', passport: 'yes', bypass: true, encompass: 1, userId }
  t.equal((await append(userId, [{ ...event, metadata: harmless }])).statusCode, 201)
})

t.test('attributes are merged by RFC 7396', async (t) => {
  const userId = newUserId()
  const merge = async (attributes: object) => {
    await append(userId, [{ eventType: 'UserUpdated', eventData: { attributes } }])
    return (await get(`/users/${userId}/state`)).data.state.attributes
  }
  await append(userId, [userCreated('ada', { attributes: { a: 1, none: null, deep: { x: 1, y: { z: [1, null] } } } })])
  t.strictSame((await get(`/users/${userId}/state`)).data.state.attributes, {
    a: 1,
    deep: { x: 1, y: { z: [1, null] } }
  })
  t.strictSame(await merge({ b: 2 }), { a: 1, b: 2, deep: { x: 1, y: { z: [1, null] } } })
  t.strictSame(await merge({ deep: { x: null, y: { w: 3 } } }), { a: 1, b: 2, deep: { y: { w: 3, z: [1, null] } } })
  t.strictSame(await merge({ a: null, missing: null, deep: { y: { z: { q: null, r: 1 } } } }), {
    b: 2,
    deep: { y: { w: 3, z: { r: 1 } } }
  })
  t.strictSame(await merge({ deep: 'flat', b: [null] }), { deep: 'flat', b: [null] })
  t.strictSame(await merge({ deep: { n: null, again: {} } }), { deep: { again: {} }, b: [null] })
  t.strictSame(await merge({}), { deep: { again: {} }, b: [null] })
})

t.test('the state after each type of event', async (t) => {
  const userId = newUserId()
  const fresh = {
    id: userId,
    tenantId: '00000000-0000-0000-0000-000000000000',
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
    updatedAt: null,
    deletedAt: null
  }
  let expected: Record<string, unknown> = fresh
  /** Appends one event; `changes` is what it does to the state, given the moment it was recorded. */
  async function after(eventType: string, eventData: object, changes: (now: string) => object): Promise<void> {
    const answer = await append(userId, [{ eventType, eventData }])
    expected = { ...expected, ...changes(answer.data.events[0].createdAt) }
    const { data } = await get(`/users/${userId}/state`)
    t.strictSame(data.state, expected, eventType)
  }
  await after('UserCreated', types.UserCreated!.minimal, (createdAt) => ({ createdAt }))
  await after('LoginInfoUpdated', types.LoginInfoUpdated!.minimal, () => ({
    lastLoginAt: moment,
    lastLoginIp: '203.0.113.7',
    totalLogins: 1
  }))
  await after('AccountLocked', types.AccountLocked!.minimal, () => ({
    loginAttempts: 5,
    lockedUntil: moment,
    lockReason: 'too many attempts'
  }))
  await after('LoginInfoUpdated', types.LoginInfoUpdated!.minimal, () => ({ totalLogins: 2, loginAttempts: 0 }))
  await after('AccountLocked', { reason: 'again', loginAttempts: 9, lockedUntil: moment }, () => ({
    loginAttempts: 9,
    lockReason: 'again'
  }))
  await after('AccountUnlocked', types.AccountUnlocked!.minimal, () => ({
    loginAttempts: 0,
    lockedUntil: null,
    lockReason: null
  }))
  await after('UserUpdated', { fullName: 'Ada', phone: '1', avatar: 'a.png', status: 'suspended' }, (updatedAt) => ({
    fullName: 'Ada',
    phone: '1',
    avatar: 'a.png',
    status: 'suspended',
    updatedAt
  }))
  await after('UserUpdated', { fullName: null, phone: null, avatar: null, status: 'active' }, (updatedAt) => ({
    fullName: null,
    phone: null,
    avatar: null,
    status: 'active',
    updatedAt
  }))
  await after('RolesAssigned', { roleIds: ['b', 'a'], assignedBy: 'root' }, (updatedAt) => ({
    roleIds: ['b', 'a'],
    updatedAt
  }))
  await after('PasswordChanged', { changedBy: 'self' }, (now) => ({ passwordChangedAt: now, updatedAt: now }))
  await after('UserDeleted', { deletedBy: 'support' }, (deletedAt) => ({ status: 'deleted', deletedAt }))
  t.strictSame(Object.keys(expected).length, 20)
})
