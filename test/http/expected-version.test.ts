/** What a writer may expect of the version, in the body and in headers, against every kind of user. */
import t from 'tap'
import { newUserId, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'

const { append, get } = await testService(t)

const histories = {
  'no user': [],
  'user at 2': [userCreated(), userUpdated()],
  'deleted at 3': [userCreated(), userUpdated(), userDeleted()]
}
type Who = keyof typeof histories

async function userOf(who: Who): Promise<string> {
  const userId = newUserId()
  if (histories[who].length > 0) await append(userId, histories[who])
  return userId
}

const STORED = '201'
const CONFLICT = '409 VERSION_CONFLICT'
const NOT_CREATED = '422 USER_NOT_CREATED'
const ALREADY_CREATED = '422 USER_ALREADY_CREATED'
const DELETED = '422 USER_DELETED'

type Row = [expectedVersion: number | string | undefined, create: string, update: string]

const matrix: Record<Who, Row[]> = {
  'no user': [
    [undefined, STORED, NOT_CREATED],
    ['any', STORED, NOT_CREATED],
    ['none', STORED, NOT_CREATED],
    [0, STORED, NOT_CREATED],
    ['exists', CONFLICT, CONFLICT],
    [1, CONFLICT, CONFLICT],
    [2_147_483_647, CONFLICT, CONFLICT]
  ],
  'user at 2': [
    [undefined, ALREADY_CREATED, STORED],
    ['any', ALREADY_CREATED, STORED],
    ['none', CONFLICT, CONFLICT],
    [0, CONFLICT, CONFLICT],
    ['exists', ALREADY_CREATED, STORED],
    [1, CONFLICT, CONFLICT],
    [2, ALREADY_CREATED, STORED],
    [3, CONFLICT, CONFLICT],
    [2_147_483_647, CONFLICT, CONFLICT]
  ],
  'deleted at 3': [
    [undefined, DELETED, DELETED],
    ['any', DELETED, DELETED],
    ['none', CONFLICT, CONFLICT],
    [0, CONFLICT, CONFLICT],
    ['exists', DELETED, DELETED],
    [2, CONFLICT, CONFLICT],
    [3, DELETED, DELETED],
    [4, CONFLICT, CONFLICT]
  ]
}

for (const who of Object.keys(matrix) as Who[]) {
  t.test(`${who}: each expected version, for a creation and for a change`, async (t) => {
    for (const [expectedVersion, create, update] of matrix[who]) {
      const options = expectedVersion === undefined ? {} : { expectedVersion }
      const created = await append(await userOf(who), [userCreated('eve')], options)
      t.equal(verdict(created), create, `create at ${expectedVersion}`)
      const updated = await append(await userOf(who), [userUpdated()], options)
      t.equal(verdict(updated), update, `update at ${expectedVersion}`)
      const currentVersion = histories[who].length
      for (const answer of [created, updated]) {
        if (answer.statusCode === 201) t.equal(answer.data.version, currentVersion + 1)
        else t.equal(answer.data.currentVersion, currentVersion)
        if (answer.statusCode === 409) t.equal(answer.data.expectedVersion, expectedVersion)
      }
    }
  })
}

t.test('headers say the same, and a refusal is then a failed precondition', async (t) => {
  const FAILED = '412 PRECONDITION_FAILED'
  const rows: [who: Who, headers: Record<string, string>, event: object, expected: string][] = [
    ['no user', { 'if-match': '*' }, userCreated(), FAILED],
    ['no user', { 'if-match': '"1"' }, userCreated(), FAILED],
    ['no user', { 'if-match': '"0"' }, userCreated(), STORED],
    ['no user', { 'if-none-match': '*' }, userCreated(), STORED],
    ['no user', { 'if-none-match': ' * ' }, userCreated(), STORED],
    ['no user', { 'if-none-match': '*' }, userUpdated(), NOT_CREATED],
    ['user at 2', { 'if-match': '*' }, userUpdated(), STORED],
    ['user at 2', { 'if-match': '"2"' }, userUpdated(), STORED],
    ['user at 2', { 'if-match': '"2-0123abc"' }, userUpdated(), STORED],
    ['user at 2', { 'if-match': '"1"' }, userUpdated(), FAILED],
    ['user at 2', { 'if-match': '"3"' }, userUpdated(), FAILED],
    ['user at 2', { 'if-none-match': '*' }, userCreated(), FAILED],
    ['deleted at 3', { 'if-match': '"3"' }, userUpdated(), DELETED],
    ['deleted at 3', { 'if-match': '*' }, userUpdated(), DELETED],
    ['deleted at 3', { 'if-none-match': '*' }, userCreated(), FAILED]
  ]
  for (const [who, headers, event, expected] of rows) {
    const answer = await append(await userOf(who), [event], { headers })
    t.equal(verdict(answer), expected, `${who}, ${JSON.stringify(headers)}`)
    if (expected === FAILED) t.equal(answer.data.currentVersion, histories[who].length)
  }
})

t.test('the entity tag of the state and that of an append can be sent back', async (t) => {
  const userId = await userOf('user at 2')
  const tagOfState = String((await get(`/users/${userId}/state`)).headers.etag)
  const appended = await append(userId, [userUpdated()], { headers: { 'if-match': tagOfState } })
  t.equal(verdict(appended), STORED)
  const stale = await append(userId, [userUpdated()], { headers: { 'if-match': tagOfState } })
  refused(t, stale, '412 PRECONDITION_FAILED', { currentVersion: 3, expectedVersion: 2 })
  const tagOfAppend = String(appended.headers.etag)
  t.equal(tagOfAppend, (await get(`/users/${userId}/state`)).headers.etag)
  t.equal(verdict(await append(userId, [userUpdated()], { headers: { 'if-match': tagOfAppend } })), STORED)
})

t.test('header and body may agree; when they do not, nothing is guessed', async (t) => {
  const AMBIGUOUS = '400 PRECONDITION_AMBIGUOUS'
  const rows: [expectedVersion: number | string, headers: Record<string, string>, expected: string][] = [
    [2, { 'if-match': '"2"' }, STORED],
    ['exists', { 'if-match': '*' }, STORED],
    [1, { 'if-match': '"1"' }, '412 PRECONDITION_FAILED'],
    ['none', { 'if-none-match': '*' }, '412 PRECONDITION_FAILED'],
    [0, { 'if-none-match': '*' }, '412 PRECONDITION_FAILED'],
    ['none', { 'if-match': '"0"' }, '412 PRECONDITION_FAILED'],
    [2, { 'if-match': '"1"' }, AMBIGUOUS],
    [1, { 'if-match': '"2"' }, AMBIGUOUS],
    [2, { 'if-match': '*' }, AMBIGUOUS],
    ['any', { 'if-match': '"2"' }, AMBIGUOUS],
    ['exists', { 'if-none-match': '*' }, AMBIGUOUS],
    [2, { 'if-none-match': '*' }, AMBIGUOUS],
    [2, { 'if-match': '"2"', 'if-none-match': '*' }, AMBIGUOUS]
  ]
  for (const [expectedVersion, headers, expected] of rows) {
    const answer = await append(await userOf('user at 2'), [userUpdated()], { expectedVersion, headers })
    t.equal(verdict(answer), expected, `${expectedVersion}, ${JSON.stringify(headers)}`)
  }
  refused(
    t,
    await append(newUserId(), [userCreated()], { headers: { 'if-match': '*', 'if-none-match': '*' } }),
    AMBIGUOUS
  )
})

t.test('a header that cannot be understood is refused, whatever the user', async (t) => {
  const userId = await userOf('user at 2')
  for (const value of ['2', '', '"2', '"two"', 'W/"2"', '"2", "3"', '"-1"', '"2147483648"', '"2-"', '"2-XYZ"', '""']) {
    const answer = await append(userId, [userUpdated()], { headers: { 'if-match': value } })
    t.equal(verdict(answer), '400 PRECONDITION_INVALID', `If-Match: ${value}`)
  }
  for (const value of ['"2"', '', '"*"', '"2-0123abc"']) {
    const answer = await append(userId, [userUpdated()], { headers: { 'if-none-match': value } })
    t.equal(verdict(answer), '400 PRECONDITION_INVALID', `If-None-Match: ${value}`)
  }
  refused(t, await append(userId, [userUpdated()], { headers: { 'if-match': '2' } }), '400 PRECONDITION_INVALID')
  t.equal((await get(`/users/${userId}/state`)).data.version, 2)
})
