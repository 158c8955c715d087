import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { testDatabase } from '../support/db.js'
import { newUserId, updates, userCreated, userUpdated } from '../support/events.js'
import { holdAppendLock } from '../support/lock.js'
import { acknowledgedOf, assertKept, readIntactLog } from '../support/log.js'
import { startProxy } from '../support/proxy.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const withId = <E extends object>(event: E) => ({ id: randomUUID(), ...event })

/** A service whose way to the database goes through a proxy. */
async function serviceBehindProxy(t: Test) {
  const database = await testDatabase(t)
  const proxy = await startProxy(t, database.url)
  return { proxy, ...(await testService(t, { database: { ...database, url: proxy.url } })) }
}

t.test('the same ids again give the first answer, however often and whatever version is expected', async (t) => {
  const { append, database } = await testService(t)
  const userId = newUserId()
  const events = [withId(userCreated()), ...updates(3).map(withId)]
  const first = await append(userId, events, { expectedVersion: 'none' })
  await append(userId, [userUpdated()])
  for (const expectedVersion of ['none', 'any', 'exists', 0, 4, 5, 77]) {
    const again = await append(userId, events, { expectedVersion })
    t.equal(again.statusCode, 200)
    t.strictSame(again.data, { ...first.data, duplicate: true }, `at expected version ${expectedVersion}`)
  }
  t.equal((await readIntactLog(t, database)).length, 5)
})

t.test('two clients at once with the same ids: one 201, one 200, the same content, stored once', async (t) => {
  const one = await testService(t)
  const two = await testService(t, { database: one.database })
  const userId = newUserId()
  await one.append(userId, [userCreated()])
  for (const other of [one, two]) {
    const events = updates(2).map(withId)
    const answers = await Promise.all(
      [one, other].map(({ append }) => append(userId, events, { expectedVersion: 'any' }))
    )
    const [duplicate, stored] = answers.sort((a, b) => a.statusCode - b.statusCode)
    t.strictSame([duplicate!.statusCode, stored!.statusCode], [200, 201])
    t.strictSame({ ...duplicate!.data, duplicate: false }, stored!.data)
  }
  t.equal((await readIntactLog(t, one.database)).length, 5)
})

t.test('twenty retries at once of one new user over two instances: one 201, stored once', async (t) => {
  const one = await testService(t)
  const two = await testService(t, { database: one.database })
  const userId = newUserId()
  const events = [withId(userCreated()), withId(userUpdated())]
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => (i % 2 ? one : two).append(userId, events, { expectedVersion: 'none' }))
  )
  t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 1)
  t.equal(answers.filter(({ statusCode }) => statusCode === 200).length, 19)
  t.equal(new Set(answers.map(({ data }) => JSON.stringify(data.events))).size, 1)
  t.equal((await readIntactLog(t, one.database)).length, 2)
})

t.test('a connection killed while the append waits for its turn costs the client nothing', async (t) => {
  const { append, database } = await testService(t)
  const userId = newUserId()
  await append(userId, [userCreated()])
  const lock = await holdAppendLock(t, database)
  const events = [withId(userUpdated())]
  const answering = append(userId, events, { expectedVersion: 1 })
  for (let kills = 0; kills < 3; kills++) {
    const [pid] = await lock.untilWaiting()
    await database.run(`SELECT pg_terminate_backend(${pid})`)
  }
  await lock.untilWaiting()
  await lock.release()
  const answer = await answering
  t.equal(answer.statusCode, 201)
  t.equal(answer.data.version, 2)
  assertKept(t, await readIntactLog(t, database), acknowledgedOf(answer.data))
})

t.test('a connection cut before the statement reaches the database: stored once, answered once', async (t) => {
  const { append, database, proxy } = await serviceBehindProxy(t)
  const userId = newUserId()
  await append(userId, [userCreated()])
  const event = withId(userUpdated())
  const cut = proxy.cutOn(event.id, 'before')
  const answer = await append(userId, [event], { expectedVersion: 1 })
  await cut
  t.equal(answer.statusCode, 201)
  const log = await readIntactLog(t, database)
  t.equal(log.length, 2)
  assertKept(t, log, acknowledgedOf(answer.data))
})

t.test('a connection cut after the commit and before the reply: stored once, answered once', async (t) => {
  const { append, database, proxy } = await serviceBehindProxy(t)
  const userId = newUserId()
  await append(userId, [userCreated()])
  const events = [withId(userUpdated()), withId(userUpdated())]
  const cut = proxy.cutOn(events[1]!.id, 'after')
  const answer = await append(userId, events, { expectedVersion: 1 })
  await cut
  t.equal(answer.statusCode, 200, 'the service found its own first try')
  t.match(answer.data, { version: 3, duplicate: true })
  const log = await readIntactLog(t, database)
  t.equal(log.length, 3)
  assertKept(t, log, acknowledgedOf(answer.data))

  const again = await append(userId, events, { expectedVersion: 1 })
  t.equal(again.statusCode, 200)
  t.strictSame(again.data, answer.data)
})

t.test('a cut after the commit of a batch: each of its requests gets its own answer, stored or refused', async (t) => {
  const { append, database, proxy } = await serviceBehindProxy(t)
  const [first, ...others] = Array.from({ length: 10 }, newUserId)
  await append(first!, [userCreated()])
  const lock = await holdAppendLock(t, database)
  const opening = append(first!, [withId(userUpdated())])
  await lock.untilWaiting()
  const events = others.map(() => [withId(userCreated()), withId(userUpdated())])
  const answering = others.map((userId, i) => append(userId, events[i]!, { expectedVersion: i === 4 ? 7 : 'none' }))
  const cut = proxy.cutOn(events[8]![1]!.id, 'after')
  await lock.release()
  await Promise.all([opening, cut])
  const answers = await Promise.all(answering)
  for (const [i, answer] of answers.entries()) {
    if (i === 4) t.match(answer.data, { code: 'VERSION_CONFLICT', currentVersion: 0 })
    else t.match(answer.data, { userId: others[i], version: 2, duplicate: true })
  }
  const log = await readIntactLog(t, database)
  t.equal(log.length, 2 + 8 * 2)
  assertKept(
    t,
    log,
    answers.filter(({ statusCode }) => statusCode === 200).flatMap(({ data }) => acknowledgedOf(data))
  )
})

t.test('an outcome that cannot be learnt is 503 OUTCOME_UNKNOWN with the ids, and the retry tells', async (t) => {
  const database = await testDatabase(t)
  const proxy = await startProxy(t, database.url)
  const { append } = await testService(t, {
    database: { ...database, url: proxy.url },
    env: { REQUEST_TIMEOUT_MS: '1500' }
  })
  const userId = newUserId()
  await append(userId, [userCreated()])
  const events = [withId(userUpdated())]
  const cut = proxy.cutOn(events[0]!.id, 'after').then(() => proxy.refuse())
  const unknown = await append(userId, events, { expectedVersion: 1 })
  await cut
  t.equal(unknown.statusCode, 503)
  t.match(unknown.data, { code: 'OUTCOME_UNKNOWN', eventIds: events.map(({ id }) => id) })
  t.ok(Number(unknown.headers['retry-after']) >= 1)

  await proxy.listen()
  const told = await append(userId, events, { expectedVersion: 1 })
  t.equal(told.statusCode, 200)
  t.match(told.data, { version: 2, duplicate: true })
  t.equal((await readIntactLog(t, database)).length, 2)
})

t.test('an append that certainly was not sent is 503 DATABASE_UNAVAILABLE, not an unknown outcome', async (t) => {
  const database = await testDatabase(t)
  const proxy = await startProxy(t, database.url)
  const { append, get } = await testService(t, {
    database: { ...database, url: proxy.url },
    env: { REQUEST_TIMEOUT_MS: '1500' }
  })
  const userId = newUserId()
  await proxy.refuse()
  t.equal((await get('/readyz')).statusCode, 503, 'the service has noticed')
  // Of an attempt that is under way at the deadline nothing is known; then the next append tells.
  await until(
    async () => {
      const refused = await append(userId, [userCreated()])
      t.equal(refused.statusCode, 503)
      return refused.data.code === 'DATABASE_UNAVAILABLE'
    },
    { what: 'an append to be told that it was not sent' }
  )
  await proxy.listen()
  t.equal((await append(userId, [userCreated()], { expectedVersion: 'none' })).statusCode, 201)
})
