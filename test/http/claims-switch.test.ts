/** Which fields are unique is a fact of the database: what starts make of it, and what those do that were started before. */
import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { openDb } from '../../src/db/client.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { StartError } from '../../src/start-error.js'
import { selectUniqueClaims, setUniqueClaims } from '../../src/store/claims.js'
import { assertClaims, claimsIn } from '../support/claims.js'
import { type TestDatabase, testDatabase } from '../support/db.js'
import { newUserId, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { importedEvent, sendLines } from '../support/import.js'
import { refused, verdict } from '../support/problem.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

/** A start on `database` with this setting. */
const start = (t: Test, database: TestDatabase, claims?: string): Promise<TestService> =>
  testService(t, { database, env: claims === undefined ? {} : { UNIQUE_CLAIMS: claims } })

/** The sentence with which a start is refused. */
const refusal = async (t: Test, database: TestDatabase, claims?: string): Promise<string> => {
  const err = await start(t, database, claims).then(
    () => new Error('it started'),
    (err: Error) => err
  )
  t.ok(err instanceof StartError, err.message)
  return err.message
}

/** A busy machine says so and is asked again. */
const create = ({ append }: TestService, username: string, more: object = {}, headers = {}) =>
  until(async () => {
    const answer = await append(newUserId(), [userCreated(username, more)], { headers })
    return answer.data.code === 'OVERLOADED' ? null : answer
  })

t.test('switching on takes what the users have: those who are not deleted, and only the last of each', async (t) => {
  const before = await testService(t)
  const [ada, bob] = [newUserId(), newUserId()]
  await before.append(ada, [
    userCreated('ada'),
    userUpdated({ username: 'countess' }),
    userUpdated({ fullName: 'Ada' })
  ])
  await before.append(bob, [userCreated('bob', { email: 'BOB@example.com' })])
  await before.append(newUserId(), [userCreated('bob'), userDeleted()])
  await create(before, 'bob', {}, { 'x-tenant-id': randomUUID() })
  const store = await start(t, before.database, 'username,email')
  t.equal(await assertClaims(t, store), 6)
  t.equal(verdict(await create(store, 'Countess')), '409 CLAIM_TAKEN')
  t.equal(verdict(await create(store, 'ada', { email: 'lovelace@example.com' })), '201')
  t.equal(verdict(await create(store, 'robert', { email: 'bob@example.com' })), '409 CLAIM_TAKEN')
})

t.test(
  'users who clash stop the start, which says how many there are and names some, and nothing is changed',
  async (t) => {
    const before = await testService(t)
    const users = [newUserId(), newUserId(), newUserId()]
    for (const [i, userId] of users.entries()) await before.append(userId, [userCreated(['ada', 'ADA', 'Ada'][i]!)])
    for (const username of ['bob', 'Bob']) await create(before, username, { email: `${randomUUID()}@example.com` })
    const sentence = await refusal(t, before.database, 'username,email')
    t.match(sentence, /2 values of username belong to more than one user/)
    t.match(sentence, /1 values of email belong to more than one user, one to /)
    for (const userId of users) t.ok(sentence.includes(userId))
    t.match(sentence, /Nothing was changed\. .*UserUpdated/)
    t.strictSame(await claimsIn(before.database), [])
    t.equal(verdict(await create(before, 'ada')), '201', 'nothing is unique')

    const [first, ...others] = (await before.database.run<{ id: string }>(
      `SELECT "aggregateId" AS id FROM user_events WHERE lower("eventData" ->> 'username') = 'ada'`
    )) as [{ id: string }, ...{ id: string }[]]
    for (const { id } of others) await before.append(id, [userDeleted()])
    t.match(await refusal(t, before.database, 'username,email'), /: 1 values of username belong/)
    const store = await start(t, before.database, 'email')
    t.equal(verdict(await create(store, 'x', { email: 'ADA@example.com' })), '409 CLAIM_TAKEN')
    t.equal(verdict(await store.append(first.id, [userDeleted()])), '201')
    t.equal(await assertClaims(t, store, ['email']), 2)
  }
)

t.test('one asks for more, never for less by mistake; off ends it, and it can begin again', async (t) => {
  const { database } = await testService(t)
  const one = await start(t, database, 'email')
  await create(one, 'ada')
  await create(one, 'bob')
  for (const [asked, shown] of [
    [undefined, 'not set'],
    ['username', 'username']
  ] as const) {
    const sentence = await refusal(t, database, asked)
    t.ok(
      sentence.startsWith(
        `UNIQUE_CLAIMS is ${shown}, but email must be unique in this database. Set UNIQUE_CLAIMS=email,`
      )
    )
  }
  const both = await start(t, database, 'email,username')
  await start(t, database, 'username,email')
  t.equal(await assertClaims(t, both), 4)
  t.match(await refusal(t, database, 'email'), /but email and username must be unique/)
  t.equal(
    verdict(await create(one, 'ADA', { email: 'other@example.com' })),
    '409 CLAIM_TAKEN',
    'where it ran before as well'
  )

  const off = await start(t, database, 'off')
  t.strictSame(await claimsIn(database), [])
  for (const store of [one, both, off, await start(t, database)])
    t.equal(verdict(await create(store, 'eve')), '201', 'nothing is unique, on any instance')
  t.match(await refusal(t, database, 'email'), /1 values of email belong/)
  for (const { id } of await database.run<{ id: string }>(
    `SELECT "aggregateId" AS id FROM user_events WHERE "eventData" ->> 'username' = 'eve'`
  ))
    await off.append(id, [userUpdated({ email: `${id}@example.com` })])
  const again = await start(t, database, 'email')
  t.equal(await assertClaims(t, again, ['email']), 6)
  t.equal(verdict(await create(off, 'x', { email: 'ada@example.com' })), '409 CLAIM_TAKEN')
})

t.test('an instance that was started before sees to it from its next append or import on', async (t) => {
  const database = await testDatabase(t)
  const [appends, imports] = [await start(t, database), await start(t, database)]
  await create(appends, 'ada')
  const now = await start(t, database, 'username')
  const answers = await Promise.all(
    ['ada', 'bob', 'BOB', 'eve'].map((username) => create(appends, username, { email: 'same@example.com' }))
  )
  t.strictSame(answers.map(verdict).sort(), ['201', '201', '409 CLAIM_TAKEN', '409 CLAIM_TAKEN'])
  const lines = ['grace', 'Ada'].map((username) => importedEvent(newUserId(), 1, userCreated(username)))
  refused(t, await sendLines(imports, lines), '422 IMPORT_LINE_INVALID', {
    line: 2,
    lineCode: 'CLAIM_TAKEN',
    imported: 1
  })
  t.equal(await assertClaims(t, now, ['username']), 4)
})

t.test('any number of instances may start at once', async (t) => {
  const { database, append } = await testService(t)
  await append(newUserId(), [userCreated('ada')])
  const stores = await Promise.all(Array.from({ length: 6 }, () => start(t, database, 'username,email')))
  for (const store of stores) t.equal(verdict(await create(store, 'ada')), '409 CLAIM_TAKEN')
  t.equal(await assertClaims(t, stores[0]!), 2)
})

t.test('switched on in the midst of appends, with EVENT_BUCKETS=2: nothing slips through', async (t) => {
  const database = await testDatabase(t)
  const env = { EVENT_BUCKETS: '2' }
  const before = [await testService(t, { database, env }), await testService(t, { database, env })]
  let done = false
  let stored = 0
  const users: string[] = []
  const refusals: string[] = []
  const writers = before.map(async ({ append }, w) => {
    for (let i = 0; !done; i++) {
      const answers = await Promise.all(
        Array.from({ length: 10 }, async (_, k) => {
          const userId = newUserId()
          const first = await append(userId, [userCreated(`w${w}-${i}-${k}`)])
          users.push(userId)
          return [first, await append(userId, [userUpdated({ username: `W${w}-${i}-${k}-x` })])]
        })
      )
      refusals.push(
        ...answers
          .flat()
          .map(verdict)
          .filter((found) => found !== '201')
      )
      stored += 20
    }
  })
  const untilMore = async (events: number) => {
    const from = stored
    await until(() => stored >= from + events, { what: 'more appends' })
  }
  await untilMore(40)
  const store = await testService(t, { database, env: { ...env, UNIQUE_CLAIMS: 'username,email' } })
  await untilMore(40)
  done = true
  await Promise.all(writers)
  t.strictSame(refusals, [])
  t.equal(await assertClaims(t, store), 2 * users.length)
})

t.test(
  'a type whose effect writes what is unique cannot be registered, nor claims be switched on while there is one',
  async (t) => {
    const schema = { type: 'object', properties: { to: { type: 'string' } }, required: ['to'] }
    const value = { $event: '/eventData/to' }
    const put = (
      { ask }: TestService,
      type: string,
      operations: object[] | null,
      { version = 1, query = '', scope = 'tenant' } = {}
    ) =>
      ask({
        method: 'PUT',
        url: `/event-types/${type}/versions/${version}?scope=${scope}${query}`,
        payload: {
          schema,
          effect: operations ? { kind: 'patch', operations } : { kind: 'none' },
          ...(version > 1 ? { upcast: [] } : {})
        }
      })
    const writesEmail = [{ op: 'replace', path: '/email', value }]
    const before = await testService(t)
    const { database } = before
    t.equal((await put(before, 'Mine', writesEmail)).statusCode, 201)
    t.equal((await put(before, 'Shared', writesEmail, { scope: 'global' })).statusCode, 201)
    const sentence = await refusal(t, database, 'username,email')
    t.match(
      sentence,
      /the effect of 2 registered event types writes email or username: Mine of tenant 0{8}-[0-]+, Shared\. Nothing was changed/
    )
    const store = await start(t, database, 'username')
    t.equal((await put(store, 'Mailed', writesEmail)).statusCode, 201, 'e-mail is free to write')

    const writers = [
      [{ op: 'replace', path: '/username', value }],
      [
        { op: 'test', path: '/username', value: 'x' },
        { op: 'add', path: '/username', value }
      ],
      [{ op: 'remove', path: '/username' }],
      [{ op: 'remove', path: '/username/0' }],
      [{ op: 'move', from: '/username', path: '/fullName' }],
      [{ op: 'copy', from: '/fullName', path: '/username' }]
    ]
    for (const operations of writers) {
      for (const query of ['', '&dryRun=true']) {
        const pointer = `/effect/operations/${operations.length - 1}`
        refused(t, await put(store, 'Renamed', operations, { query }), '422 INVALID_EFFECT', { pointer })
      }
      refused(t, await put(before, 'Renamed', operations), '422 INVALID_EFFECT')
    }
    for (const path of ['', '/', '/username/'])
      t.equal(
        verdict(await put(store, 'Whole', [{ op: 'replace', path, value }])),
        '422 INVALID_EFFECT',
        `path "${path}"`
      )
    for (const operations of [
      [
        { op: 'copy', from: '/username', path: '/fullName' },
        { op: 'test', path: '/username', value: 'x' }
      ],
      [{ op: 'add', path: '/attributes/username', value }]
    ])
      t.equal((await put(store, `Reads${operations.length}`, operations)).statusCode, 201, 'to read is fine')

    // Of a type the newest version has the effect.
    await put(store, 'Mine', null, { version: 2 })
    await put(store, 'Mailed', null, { version: 2 })
    t.match(await refusal(t, database, 'username,email'), /the effect of 1 registered event types writes .*: Shared\./)
    await put(store, 'Shared', null, { version: 2, scope: 'global' })
    const both = await start(t, database, 'username,email')
    t.equal((await put(both, 'Mine', writesEmail)).statusCode, 200, 'what is registered already can be said again')
    t.equal(verdict(await put(both, 'Mine', writesEmail, { version: 3 })), '422 INVALID_EFFECT')
  }
)

t.test('types that were registered since they were examined are examined again', async (t) => {
  const { database, ask } = await testService(t)
  const db = openDb(database.url)
  t.teardown(() => db.close())
  const effect = { kind: 'none' }
  await ask({ method: 'PUT', url: '/event-types/Seen/versions/1', payload: { schema: { type: 'object' }, effect } })
  t.strictSame(await setUniqueClaims(db, ['email'], 0), { outcome: 'types' })
  t.strictSame(await selectUniqueClaims(db), [])
  t.strictSame(await setUniqueClaims(db, ['email'], 1), { outcome: 'changed' })
  t.strictSame(await setUniqueClaims(db, ['email'], 0), { outcome: 'same' })
  t.strictSame(await selectUniqueClaims(db), ['email'])
})

t.test('what the function of appends may it does not leave to the rest of its transaction', async (t) => {
  const { database } = await testService(t, { env: { UNIQUE_CLAIMS: 'email' } })
  const copy = `INSERT INTO user_events SELECT 0, 1, gen_random_uuid(), gen_random_uuid(), 1, 'UserCreated', 1, '{}', NULL,
    '${DEFAULT_TENANT}', NULL, now()`
  await t.rejects(database.run(copy), /fields of users are unique here/)
  const request = JSON.stringify([{ n: 1, tenant: DEFAULT_TENANT, user: newUserId() }])
  for (const data of [{ email: 'ada@example.com' }, { fullName: 'Nobody who has a claim' }]) {
    const events = JSON.stringify([{ n: 1, i: 1, id: randomUUID(), type: 'UserCreated', schema: 1, data }])
    const append = `SELECT * FROM append_claiming_events(0::smallint, '${request}', '${events}', false)`
    await t.rejects(database.run(`BEGIN; ${append}; ${copy}; COMMIT`), /fields of users are unique here/)
  }
})
