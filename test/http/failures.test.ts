/** What a client is told when the database is slow, away or broken: never that something was not stored when it may have been. */
import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import t from 'tap'
import { testDatabase } from '../support/db.js'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { holdAppendLock } from '../support/lock.js'
import { refused, verdict } from '../support/problem.js'
import { startProxy } from '../support/proxy.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const database = await testDatabase(t)
const proxy = await startProxy(t, database.url)
const { append, get } = await testService(t, {
  env: { REQUEST_TIMEOUT_MS: '1000' },
  database: { ...database, url: proxy.url }
})

const userId = newUserId()
await append(userId, [userCreated()])

const withId = <E extends object>(event: E) => ({ id: randomUUID(), ...event })

t.test(
  'an append that waits too long may have been stored, and the same request again tells; one whose turn did not come was not',
  async (t) => {
    const lock = await holdAppendLock(t, database)
    const events = [withId(userUpdated()), withId(userUpdated())]
    const first = append(userId, events)
    await lock.untilWaiting()
    const behind = append(userId, [userUpdated()])
    const unknown = await first
    refused(t, unknown, '503 OUTCOME_UNKNOWN', { eventIds: events.map(({ id }) => id) })
    t.equal(unknown.headers['retry-after'], '1')
    const late = await behind
    refused(t, late, '503 OVERLOADED')
    t.equal(late.headers['retry-after'], '1')
    await lock.release()
    const again = await until(async () => {
      const answer = await append(userId, events)
      return answer.statusCode === 503 ? null : answer
    })
    t.match(verdict(again), /^20[01]$/)
    t.equal((await get(`/users/${userId}/state`)).data.version, 3)
  }
)

t.test('a read that takes too long ends at the deadline', async (t) => {
  const sql = postgres(database.url, { max: 1, fetch_types: false })
  t.teardown(() => sql.end({ timeout: 5 }))
  await sql.begin(async (tx) => {
    await tx`LOCK TABLE user_events IN ACCESS EXCLUSIVE MODE`
    for (const headers of [{}, { accept: 'application/x-ndjson' }]) {
      const answer = await get(`/users/${userId}/events`, headers)
      refused(t, answer, '503 DEADLINE_EXCEEDED')
      t.equal(answer.headers['retry-after'], '1')
    }
  })
  t.equal(verdict(await until(async () => await get(`/users/${userId}/events`))), '200')
})

t.test('while the database is away, reads and appends say so, and the process lives', async (t) => {
  t.equal((await get('/readyz')).statusCode, 200)
  await proxy.refuse()
  for (const url of [
    `/users/${userId}/state`,
    `/users/${userId}/events`,
    `/users/${userId}/events/1`,
    `/users/${userId}/snapshots`,
    '/stats/events',
    '/stats/snapshots'
  ]) {
    const answer = await get(url)
    refused(t, answer, '503 DATABASE_UNAVAILABLE', { instance: url })
    t.equal(answer.headers['retry-after'], '1')
  }
  refused(t, await get(`/users/${userId}/events`, { accept: 'application/x-ndjson' }), '503 DATABASE_UNAVAILABLE')
  const event = withId(userUpdated({ fullName: 'Late' }))
  const answer = await append(userId, [event])
  refused(t, answer, '503 DATABASE_UNAVAILABLE')
  t.equal(answer.headers['retry-after'], '1')
  t.equal((await get('/livez')).statusCode, 200)
  const readiness = await get('/readyz')
  t.equal(readiness.statusCode, 503)
  t.hasStrict(readiness.data, { ready: false, checks: { process: { ok: true }, database: { ok: false } } })
  t.match(readiness.data.checks.database.detail, 'ECONNREFUSED')
  t.equal((await get('/metrics')).statusCode, 200)

  await proxy.listen()
  await until(async () => (await get('/readyz')).data.ready)
  t.equal(verdict(await append(userId, [event])), '201')
})

t.test('what should not happen is an internal error that tells nothing of the inside', async (t) => {
  await database.run('ALTER TABLE user_snapshots RENAME TO elsewhere')
  const answer = await get(`/users/${userId}/snapshots`)
  refused(t, answer, '500 INTERNAL_ERROR')
  t.notMatch(answer.body, /user_snapshots|relation|select|42P01/i)
  await database.run('ALTER TABLE elsewhere RENAME TO user_snapshots')
  t.equal((await get(`/users/${userId}/snapshots`)).statusCode, 200)
})
