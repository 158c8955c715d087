/** Unique usernames and e-mails: who gets a value, when it is free again, and that nothing else is different. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { assertClaims, claimsIn } from '../support/claims.js'
import { testDatabase } from '../support/db.js'
import { newUserId, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { appendTo } from '../support/http.js'
import { holdAppendLock } from '../support/lock.js'
import { readIntactLog } from '../support/log.js'
import { refused, verdict } from '../support/problem.js'
import { listen, testService } from '../support/service.js'

const env = { UNIQUE_CLAIMS: 'username,email' }

/** One store for all tests that need no other; each uses names and tenants of its own. */
const shared = await testService(t, { env })
const { append, database } = shared
const unique = (): string => `u${randomUUID()}`

for (const buckets of ['1', '3']) {
  t.test(`50 racing creates with one e-mail at two instances: one wins, with EVENT_BUCKETS=${buckets}`, async (t) => {
    const database = await testDatabase(t)
    const settings = { ...env, EVENT_BUCKETS: buckets }
    const instances = [
      await testService(t, { env: settings, database }),
      await testService(t, { env: settings, database })
    ]
    const urls = [await listen(instances[0]!), await listen(instances[1]!)]
    for (let round = 0; round < 3; round++) {
      const email = `${unique()}@example.com`
      const users = Array.from({ length: 50 }, newUserId)
      const answers = await Promise.all(
        users.map((userId, i) => appendTo(urls[i % 2]!, userId, [userCreated(unique(), { email })]))
      )
      const winner = users[answers.findIndex(({ status }) => status === 201)]!
      const losers = answers.filter(({ status }) => status !== 201)
      t.equal(losers.length, 49)
      for (const { status, data } of losers) {
        t.strictSame([status, data.code, data.field], [409, 'CLAIM_TAKEN', 'email'])
        t.notMatch(JSON.stringify(data), winner, 'the other user is not named')
      }
    }
    const [row] = await database.run<{ events: string }>('SELECT count(*) AS events FROM user_events')
    t.equal(Number(row!.events), 3)
    t.equal(await assertClaims(t, instances[0]!), 6)
  })
}

t.test('a value that another user has is refused, and the field is named', async (t) => {
  const name = unique()
  await append(newUserId(), [userCreated(name)])
  const userId = newUserId()
  const created = await append(userId, [userCreated(name, { email: `${unique()}@example.com` })])
  refused(t, created, '409 CLAIM_TAKEN', {
    field: 'username',
    pointer: '/events/0/eventData/username',
    currentVersion: 0
  })
  t.equal(verdict(await shared.get(`/users/${userId}/state`)), '404 USER_NOT_FOUND', 'nothing is stored')

  await append(userId, [userCreated(unique())])
  const changed = await append(userId, [userUpdated(), userUpdated({ email: `${name}@example.com` }), userUpdated()])
  refused(t, changed, '409 CLAIM_TAKEN', { field: 'email', pointer: '/events/1/eventData/email', currentVersion: 1 })
  t.equal((await shared.get(`/users/${userId}/state`)).data.version, 1, 'all or none')
})

t.test('case and the way in which Unicode composes a letter make no difference; accents do', async (t) => {
  const name = `Zo\u00eb-${randomUUID()}`
  t.equal((await append(newUserId(), [userCreated(name)])).statusCode, 201)
  for (const same of [
    name.toUpperCase(),
    name.toLowerCase(),
    name.normalize('NFD'),
    name.normalize('NFD').toUpperCase()
  ])
    t.equal(
      verdict(await append(newUserId(), [userCreated(same, { email: `${unique()}@example.com` })])),
      '409 CLAIM_TAKEN',
      same
    )
  t.equal((await append(newUserId(), [userCreated(name.replace('\u00eb', 'e'))])).statusCode, 201)
})

t.test('another tenant may have the same, and so may a user with itself', async (t) => {
  const name = unique()
  const userId = newUserId()
  t.equal((await append(userId, [userCreated(name)])).statusCode, 201)
  const headers = { 'x-tenant-id': randomUUID() }
  t.equal((await append(newUserId(), [userCreated(name)], { headers })).statusCode, 201)
  t.equal((await append(userId, [userUpdated({ username: name, email: `${name}@example.com` })])).statusCode, 201)
  t.equal((await append(userId, [userUpdated({ username: name.toUpperCase() })])).statusCode, 201)
})

t.test('what a user no longer has is free: after a change, and after the deletion', async (t) => {
  const [first, second] = [unique(), unique()]
  const userId = newUserId()
  const create = (username: string) =>
    append(newUserId(), [userCreated(username, { email: `${unique()}@example.com` })])
  await append(userId, [userCreated(first)])
  await append(userId, [userUpdated({ username: second })])
  t.equal(verdict(await create(second)), '409 CLAIM_TAKEN')
  t.equal(verdict(await create(first)), '201')
  t.equal(
    verdict(await append(userId, [userUpdated({ username: first })])),
    '409 CLAIM_TAKEN',
    'and cannot be had back'
  )
  await append(userId, [userDeleted()])
  t.equal(verdict(await create(second)), '201')
  t.equal(
    verdict(await append(newUserId(), [userCreated(first, { email: `${first}@example.com` })])),
    '409 CLAIM_TAKEN'
  )
  t.equal(verdict(await append(newUserId(), [userCreated(unique(), { email: `${first}@example.com` })])), '201')
})

t.test('of a request only what it leaves behind counts', async (t) => {
  const [passing, last, gone] = [unique(), unique(), unique()]
  const holder = newUserId()
  await append(holder, [userCreated(passing)])
  const userId = newUserId()
  const email = `${last}@example.com`
  t.equal(
    verdict(await append(userId, [userCreated(passing, { email }), userUpdated({ username: last })])),
    '201',
    'a name that it gives and takes again'
  )
  t.equal(verdict(await append(newUserId(), [userCreated(gone), userDeleted()])), '201')
  t.equal(verdict(await append(newUserId(), [userCreated(gone)])), '201')
  t.equal(verdict(await append(newUserId(), [userCreated(last)])), '409 CLAIM_TAKEN')
})

t.test('a retry answers what was stored, whoever has the value now', async (t) => {
  const name = unique()
  const userId = newUserId()
  const events = [{ ...userCreated(name), id: randomUUID() }]
  const stored = await append(userId, events)
  await append(userId, [userUpdated({ username: unique(), email: `${unique()}@example.com` })])
  t.equal(verdict(await append(newUserId(), [userCreated(name)])), '201')
  const again = await append(userId, events)
  t.equal(again.statusCode, 200)
  t.strictSame(again.data, { ...stored.data, duplicate: true })
  const other = unique()
  const renamed = [{ ...userUpdated({ username: other }), id: randomUUID() }]
  await append(userId, renamed)
  await append(userId, [userUpdated({ username: unique() })])
  t.equal(verdict(await append(newUserId(), [userCreated(other)])), '201')
  t.equal(verdict(await append(userId, renamed)), '200')
  const reused = await append(userId, [{ ...events[0], eventData: userCreated(`${name}x`).eventData }])
  t.equal(verdict(reused), '409 EVENT_ID_REUSED')
})

t.test('what is refused for another reason says so', async (t) => {
  const name = unique()
  const userId = newUserId()
  await append(newUserId(), [userCreated(name)])
  await append(userId, [userCreated(unique())])
  const wanted = userUpdated({ username: name })
  t.equal(verdict(await append(userId, [wanted], { expectedVersion: 7 })), '409 VERSION_CONFLICT')
  t.equal(verdict(await append(newUserId(), [wanted])), '422 USER_NOT_CREATED')
  t.equal(verdict(await append(userId, [userCreated(name)])), '422 USER_ALREADY_CREATED')
  await append(userId, [userDeleted()])
  t.equal(verdict(await append(userId, [wanted])), '422 USER_DELETED')
})

t.test('requests that wait together: the first that is fit gets a value, and no neighbour is touched', async (t) => {
  const [one, two, three] = [unique(), unique(), unique()]
  const retried = { userId: newUserId(), events: [{ ...userCreated(unique()), id: randomUUID() }] }
  await append(retried.userId, retried.events)
  const lock = await holdAppendLock(t, database)
  // This one goes first and waits; all others queue, and are one batch.
  const first = append(newUserId(), [userCreated(unique())])
  await lock.untilWaiting()
  const create = (username: string, email = `${unique()}@example.com`, expectedVersion: number | string = 'none') =>
    append(newUserId(), [userCreated(username, { email })], { expectedVersion })
  const batch = [
    create(one, undefined, 5),
    create(one, `${two}@example.com`),
    create(one),
    create(three, `${two}@example.com`),
    create(three.toUpperCase()),
    create(unique()),
    append(retried.userId, retried.events)
  ]
  await lock.release()
  t.equal((await first).statusCode, 201)
  t.strictSame(
    (await Promise.all(batch)).map((answer) => [verdict(answer), answer.data.field]),
    [
      ['409 VERSION_CONFLICT', undefined],
      ['201', undefined],
      ['409 CLAIM_TAKEN', 'username'],
      ['409 CLAIM_TAKEN', 'email'],
      ['201', undefined],
      ['201', undefined],
      ['200', undefined]
    ]
  )
})

t.test('only what is asked for is unique', async (t) => {
  const store = await testService(t, { env: { UNIQUE_CLAIMS: 'email' } })
  t.equal((await store.append(newUserId(), [userCreated('ada')])).statusCode, 201)
  t.equal((await store.append(newUserId(), [userCreated('ada', { email: 'b@example.com' })])).statusCode, 201)
  const third = await store.append(newUserId(), [userCreated('grace', { email: 'B@example.com' })])
  refused(t, third, '409 CLAIM_TAKEN', { field: 'email' })
  t.equal(await assertClaims(t, store, ['email']), 2)

  const none = await testService(t)
  for (let users = 0; users < 2; users++)
    t.equal((await none.append(newUserId(), [userCreated('ada')])).statusCode, 201)
  t.strictSame(await claimsIn(none.database), [])
})

t.test('after all of it, what is taken is what the users have, and the log is whole', async (t) => {
  t.ok((await assertClaims(t, shared)) > 10)
  await readIntactLog(t, database)
})
