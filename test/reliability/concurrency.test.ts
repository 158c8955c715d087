import { randomUUID } from 'node:crypto'
import t from 'tap'
import { assertHonest, createClient, stepsOrTime } from '../support/client.js'
import { testDatabase } from '../support/db.js'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { acknowledgedOf, assertKept, readIntactLog } from '../support/log.js'
import { startProcess } from '../support/process.js'
import { randomOf, seedOf } from '../support/random.js'
import { testService } from '../support/service.js'

t.test('a hundred appends at once to one user, whatever its version: all are stored, versions 2 to 101', async (t) => {
  const { append, database } = await testService(t)
  const userId = newUserId()
  await append(userId, [userCreated()])
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => append(userId, [userUpdated()], { expectedVersion: 'any' }))
  )
  t.strictSame([...new Set(answers.map(({ statusCode }) => statusCode))], [201])
  t.strictSame(
    answers.map(({ data }) => data.version),
    Array.from({ length: 100 }, (_, i) => i + 2),
    'in the order they were sent'
  )
  assertKept(
    t,
    await readIntactLog(t, database),
    answers.flatMap(({ data }) => acknowledgedOf(data))
  )
})

t.test('a hundred appends at once at one version: exactly one wins, the others are told the version', async (t) => {
  const { append, database } = await testService(t)
  const userId = newUserId()
  await append(userId, [userCreated()])
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => append(userId, [userUpdated(), userUpdated()], { expectedVersion: 1 }))
  )
  const conflicts = answers.filter(({ statusCode }) => statusCode === 409)
  t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 1)
  t.equal(conflicts.length, 99)
  for (const { data } of conflicts.slice(0, 3))
    t.match(data, { code: 'VERSION_CONFLICT', currentVersion: 3, expectedVersion: 1 })
  t.ok(
    conflicts.every(({ data }) => data.code === 'VERSION_CONFLICT' && data.currentVersion === 3),
    'all conflicts say so'
  )
  t.equal((await readIntactLog(t, database)).length, 3)
})

t.test('a hundred creations at once of one user: exactly one wins', async (t) => {
  const { append, database } = await testService(t)
  const userId = newUserId()
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, i) => append(userId, [userCreated(`user${i}`)], { expectedVersion: 'none' }))
  )
  t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 1)
  t.equal(answers.filter(({ statusCode, data }) => statusCode === 409 && data.currentVersion === 1).length, 99)
  t.equal((await readIntactLog(t, database)).length, 1)
})

t.test('two processes, twelve clients, fifty users: one gap-free log that keeps every promise made', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const services = await Promise.all([1, 2].map(() => startProcess(t, { DATABASE_URL: database.url })))
  const users = Array.from({ length: 50 }, () => randomUUID())
  const clients = Array.from({ length: 12 }, (_, i) =>
    createClient({ url: () => services[i % 2]!.url, users, random: randomOf(seed + i), timeoutMs: 15_000 })
  )
  await Promise.all(clients.map((client) => client.run(stepsOrTime(150, 20_000))))
  const answers = assertHonest(t, clients)
  t.strictSame(
    Object.keys(answers).filter((code) => !['200', '201', 'VERSION_CONFLICT', 'OVERLOADED'].includes(code)),
    []
  )
  t.ok(answers['201']! > 100 && answers['200']! > 10 && answers.VERSION_CONFLICT! > 10, 'all kinds of answers came')
  const log = await readIntactLog(t, database)
  const acknowledged = clients.map((client) => client.acknowledged)
  assertKept(t, log, acknowledged.flat())
  t.equal(log.length, acknowledged.flat().length, 'nothing is stored that was not acknowledged')
  t.ok(
    acknowledged.every((events) => events.every(({ position }, i) => i === 0 || position > events[i - 1]!.position)),
    'to each client positions grew in the order of its acknowledgements'
  )
  for (const service of services) t.equal(await service.end('SIGTERM'), 0)
})
