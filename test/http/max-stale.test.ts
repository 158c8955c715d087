/** `Cache-Control: max-stale`: a client that would rather have a state at once than the newest. */
import t from 'tap'
import { testDatabase } from '../support/db.js'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { refused } from '../support/problem.js'
import { startProxy } from '../support/proxy.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const database = await testDatabase(t)
const proxy = await startProxy(t, database.url)
const writer = await testService(t, { database })
const { get } = await testService(t, { database: { ...database, url: proxy.url } })

const stale = (directives: string) => ({ 'cache-control': directives })

/** A user whose state at version 1 this instance has cached, and who is at version 2. */
async function overtakenUser() {
  const userId = newUserId()
  const url = `/users/${userId}/state`
  await writer.append(userId, [userCreated()])
  t.equal((await get(url)).data.version, 1)
  await writer.append(userId, [userUpdated({ fullName: 'Ada King' })])
  return url
}

t.test('a state at most that old is given as it is cached; without max-stale it is the newest', async (t) => {
  const url = await overtakenUser()
  const old = await get(url, stale('max-stale=60'))
  t.hasStrict(old.data, { version: 1, state: { fullName: null } })
  t.strictSame(old.data.replay, { source: 'cache', snapshotVersion: null, eventsApplied: 0 })
  t.match(old.headers.etag, /^"1-/)
  t.hasStrict((await get(url)).data, { version: 2, state: { fullName: 'Ada King' } })
  t.equal((await get(url, stale('max-stale=60'))).data.version, 2, 'and who asks after that gets what is known now')
})

t.test('it asks the database for nothing: the answer comes while there is none', async (t) => {
  const url = await overtakenUser()
  await proxy.refuse()
  t.equal((await get(url, stale('max-stale=60'))).data.version, 1)
  t.equal((await get(url, { ...stale('max-stale=60'), 'if-none-match': '*' })).statusCode, 304)
  refused(t, await get(url), '503 DATABASE_UNAVAILABLE')
  refused(t, await get(`/users/${newUserId()}/state`, stale('max-stale=60')), '503 DATABASE_UNAVAILABLE')
  await proxy.listen()
  t.equal((await get(url)).data.version, 2)
})

t.test('a state older than that is looked after', async (t) => {
  const startedAt = performance.now()
  const url = await overtakenUser()
  await until(async () => (await get(url, stale('max-stale=1'))).data.version === 2)
  t.ok(performance.now() - startedAt >= 1000, 'but not before, and reading it did not make it newer')
})

t.test('what is no max-stale of so many seconds is as if it were not there', async (t) => {
  for (const directives of [
    'max-stale=0',
    'max-stale',
    'max-stale=',
    'max-stale=-1',
    'max-stale=1.5',
    'max-stale="60"',
    'max-stale=9999999999',
    'max-stale=60s',
    'max-stale = 60',
    'x-max-stale=60',
    'no-cache',
    'max-age=60',
    ','
  ]) {
    const url = await overtakenUser()
    t.equal((await get(url, stale(directives))).data.version, 2, directives)
  }
  for (const directives of ['max-stale=999999999', 'Max-Stale=60', 'no-transform, max-stale=60 , max-age=0']) {
    const url = await overtakenUser()
    t.equal((await get(url, stale(directives))).data.version, 1, directives)
  }
})

t.test('it does nothing for a version, a moment, or useSnapshot=false', async (t) => {
  const url = await overtakenUser()
  const patient = stale('max-stale=60')
  t.equal((await get(`${url}?version=2`, patient)).data.version, 2)
  t.equal((await get(`${url}?at=2999-01-01T00:00:00Z`, patient)).data.version, 2)
  t.equal((await get(`${url}?useSnapshot=false`, patient)).data.version, 2)
  refused(t, await get(`${url}?version=3`, patient), '404 VERSION_NOT_FOUND', { currentVersion: 2 })
})

t.test('a user whose state is not cached is loaded', async (t) => {
  const userId = newUserId()
  refused(t, await get(`/users/${userId}/state`, stale('max-stale=60')), '404 USER_NOT_FOUND')
  await writer.append(userId, [userCreated()])
  t.equal((await get(`/users/${userId}/state`, stale('max-stale=60'))).data.version, 1)
})
