/** The routes of snapshots; what makes them in the background is tested elsewhere. */
import t from 'tap'
import { LOADED, newUserId, updates, userCreated, userUpdated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'

const service = await testService(t, { env: { RETAIN_SNAPSHOTS: '3' } })
const { append, ask, get, post, database } = service

const take = (userId: string, body?: object) => post(`/admin/users/${userId}/snapshots`, body)
const versionsOf = async (userId: string): Promise<number[]> =>
  (await get(`/users/${userId}/snapshots`)).data.snapshots.map(({ version }: { version: number }) => version)

/** A user with a snapshot at each of versions 1 to `count`. */
async function userWithSnapshots(count: number): Promise<string> {
  const userId = newUserId()
  for (let version = 1; version <= count; version++) {
    await append(userId, [version === 1 ? userCreated() : userUpdated()])
    await take(userId)
  }
  return userId
}

t.test('a snapshot of the current state is made once for a version', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated(), ...updates(4)])
  const made = await take(userId)
  t.equal(made.statusCode, 201)
  t.hasStrict(made.data, { aggregateId: userId, version: 5 })
  t.hasStrict(made.data.metadata, { reason: 'manual', eventCount: 5, createdBy: 'api' })
  t.notOk('state' in made.data)
  const again = await take(userId, { reason: 'another' })
  t.equal(again.statusCode, 200)
  t.strictSame(again.data, made.data)
  await append(userId, updates(2))
  const next = await take(userId, { reason: 'before migration' })
  t.equal(next.statusCode, 201)
  t.hasStrict(next.data, { version: 7 })
  t.hasStrict(next.data.metadata, { reason: 'before migration', eventCount: 2 })
})

t.test('the list is newest first and without states; the latest has the state that the route shows', async (t) => {
  const userId = await userWithSnapshots(2)
  await append(userId, updates(1))
  const { data: list } = await get(`/users/${userId}/snapshots`)
  t.equal(list.userId, userId)
  t.strictSame(
    list.snapshots.map(({ version, usable }: Record<string, unknown>) => ({ version, usable })),
    [
      { version: 2, usable: true },
      { version: 1, usable: true }
    ]
  )
  const { data: latest } = await get(`/users/${userId}/snapshots/latest`)
  t.strictSame(Object.keys(latest), [
    'id',
    'aggregateId',
    'tenantId',
    'version',
    'fingerprint',
    'metadata',
    'createdAt',
    'state'
  ])
  t.equal(latest.version, 2)
  const { data: shown } = await get(`/users/${userId}/state?version=2`)
  t.strictSame(latest.state, shown.state)
  t.match(latest.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  const [row] = await database.run<{ size: number }>(
    `SELECT octet_length(state::text) AS size FROM user_snapshots WHERE id = '${latest.id}'`
  )
  t.equal(latest.metadata.snapshotSize, JSON.stringify(shown.state).length)
  t.ok(row!.size >= latest.metadata.snapshotSize)
})

t.test('the newest RETAIN_SNAPSHOTS stay', async (t) => {
  t.strictSame(await versionsOf(await userWithSnapshots(5)), [5, 4, 3])
})

t.test('a cleanup keeps as many as it is told to, the newest', async (t) => {
  const userId = await userWithSnapshots(3)
  const cleanUp = (retain: number) => post(`/admin/users/${userId}/snapshots/cleanup`, { retain })
  t.strictSame((await cleanUp(5)).data, { deleted: 0 })
  t.strictSame((await cleanUp(2)).data, { deleted: 1 })
  t.strictSame(await versionsOf(userId), [3, 2])
  t.strictSame((await cleanUp(0)).data, { deleted: 2 })
  t.strictSame(await versionsOf(userId), [])
  refused(t, await get(`/users/${userId}/snapshots/latest`), '404 SNAPSHOT_NOT_FOUND')
})

t.test('all snapshots of a user can be deleted, and nothing is lost', async (t) => {
  const [userId, other] = [await userWithSnapshots(2), await userWithSnapshots(1)]
  const before = (await get(`/users/${userId}/state`)).data
  const answer = await ask({ method: 'DELETE', url: `/admin/users/${userId}/snapshots` })
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.data, { deleted: 2 })
  t.strictSame((await get(`/users/${userId}/state?${LOADED}`)).data, {
    ...before,
    replay: { source: 'events', snapshotVersion: null, eventsApplied: 2 }
  })
  t.strictSame((await ask({ method: 'DELETE', url: `/admin/users/${userId}/snapshots` })).data, { deleted: 0 })
  t.strictSame(await versionsOf(other), [1])
})

t.test('old snapshots go, but never the newest usable one of a user', async (t) => {
  const [old, mixed, stale, fresh] = [
    await userWithSnapshots(3),
    await userWithSnapshots(3),
    await userWithSnapshots(2),
    await userWithSnapshots(2)
  ]
  const age = (userId: string, days: number, where: string) =>
    database.run(
      `UPDATE user_snapshots SET "createdAt" = now() - interval '${days} days' WHERE "aggregateId" = '${userId}' AND ${where}`
    )
  await age(old, 100, 'true')
  await age(mixed, 91, 'version = 1')
  await age(mixed, 89, 'version > 1')
  await age(stale, 100, 'true')
  await database.run(
    `UPDATE user_snapshots SET fingerprint = 'other-rules' WHERE "aggregateId" = '${stale}' AND version = 2`
  )
  const answer = await post('/admin/snapshots/cleanup')
  t.equal(answer.statusCode, 200)
  t.strictSame(answer.data, { deleted: 4 })
  t.strictSame(await versionsOf(old), [3])
  t.strictSame(await versionsOf(mixed), [3, 2])
  t.strictSame(await versionsOf(stale), [1])
  t.strictSame(await versionsOf(fresh), [2, 1])
  t.strictSame((await post('/admin/snapshots/cleanup', { olderThanDays: 88 })).data, { deleted: 1 })
  t.strictSame(await versionsOf(mixed), [3])
})

t.test('an unknown user is unknown on every route', async (t) => {
  const userId = newUserId()
  const answers = [
    await get(`/users/${userId}/snapshots`),
    await get(`/users/${userId}/snapshots/latest`),
    await take(userId),
    await post(`/admin/users/${userId}/snapshots/cleanup`, { retain: 1 }),
    await ask({ method: 'DELETE', url: `/admin/users/${userId}/snapshots` })
  ]
  for (const answer of answers) refused(t, answer, '404 USER_NOT_FOUND')
})

t.test('a user without a snapshot has an empty list and no latest', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  t.strictSame((await get(`/users/${userId}/snapshots`)).data, { userId, snapshots: [] })
  refused(t, await get(`/users/${userId}/snapshots/latest`), '404 SNAPSHOT_NOT_FOUND')
})

t.test('bodies that do not fit the contract are refused', async (t) => {
  const userId = await userWithSnapshots(1)
  const requests: [url: string, body: object | undefined][] = [
    [`/admin/users/${userId}/snapshots`, { reason: '' }],
    [`/admin/users/${userId}/snapshots`, { reason: 'x'.repeat(101) }],
    [`/admin/users/${userId}/snapshots`, { reason: 7 }],
    [`/admin/users/${userId}/snapshots`, { because: 'x' }],
    [`/admin/users/${userId}/snapshots`, []],
    [`/admin/users/${userId}/snapshots/cleanup`, undefined],
    [`/admin/users/${userId}/snapshots/cleanup`, {}],
    [`/admin/users/${userId}/snapshots/cleanup`, { retain: -1 }],
    [`/admin/users/${userId}/snapshots/cleanup`, { retain: '0' }],
    [`/admin/users/${userId}/snapshots/cleanup`, { retain: null }],
    [`/admin/users/${userId}/snapshots/cleanup`, { retain: 1001 }],
    ['/admin/snapshots/cleanup', { olderThanDays: -1 }],
    ['/admin/snapshots/cleanup', { olderThanDays: 36_501 }],
    ['/admin/snapshots/cleanup', { olderThanDays: '0' }],
    ['/admin/snapshots/cleanup', { older: 0 }]
  ]
  for (const [url, body] of requests) {
    t.equal(verdict(await post(url, body)), '400 VALIDATION_FAILED', `${url} ${JSON.stringify(body)}`)
  }
  t.strictSame(await versionsOf(userId), [1])
})

t.test('a reason that PostgreSQL could not store is refused', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  for (const reason of ['a\u0000b', '\ud800']) {
    refused(t, await take(userId, { reason }), '400 VALIDATION_FAILED', { pointer: '/reason' })
  }
  t.equal((await take(userId, { reason: 'for 🙂' })).data.metadata.reason, 'for 🙂')
})
