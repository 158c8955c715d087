/** A snapshot that cannot be trusted is as if it were not there, is counted, and is replaced in time. */
import t, { type Test } from 'tap'
import { LOADED, newUserId, updates, userCreated } from '../support/events.js'
import { refused } from '../support/problem.js'
import { testService } from '../support/service.js'

const { append, get, post, database } = await testService(t)

async function ignored(reason: 'stale' | 'broken'): Promise<number> {
  const { body } = await get('/metrics')
  return Number(new RegExp(`^event_snapshots_ignored_total\\{reason="${reason}"\\} (\\d+)$`, 'm').exec(body)?.[1] ?? 0)
}

/** A user at version 8 with snapshots at 3 and 6. */
async function grownUser(): Promise<string> {
  const userId = newUserId()
  await append(userId, [userCreated('ada', { attributes: { kept: true } }), ...updates(2)])
  await post(`/admin/users/${userId}/snapshots`)
  await append(userId, updates(3))
  await post(`/admin/users/${userId}/snapshots`)
  await append(userId, updates(2))
  return userId
}

const spoil = (userId: string, change: string, where = 'version = 6') =>
  database.run(`UPDATE user_snapshots SET ${change} WHERE "aggregateId" = '${userId}' AND ${where}`)

async function answersAsAllEventsDo(t: Test, userId: string): Promise<void> {
  for (const query of ['', LOADED, 'version=7', 'version=6', 'version=3']) {
    const shown = await get(`/users/${userId}/state?${query}`)
    const { data: folded } = await get(`/users/${userId}/state?${query}&useSnapshot=false`)
    t.equal(shown.statusCode, 200, query)
    t.strictSame(shown.data, { ...folded, replay: shown.data.replay }, query)
  }
}

t.test('a snapshot made under other rules is not used: the one before it is', async (t) => {
  const userId = await grownUser()
  await spoil(userId, `fingerprint = 'other-rules', state = state || '{"fullName": "wrong"}'`)
  const before = await ignored('stale')
  const { data } = await get(`/users/${userId}/state?${LOADED}`)
  t.strictSame(data.replay, { source: 'snapshot', snapshotVersion: 3, eventsApplied: 5 })
  t.equal(await ignored('stale'), before + 1)
  await answersAsAllEventsDo(t, userId)
  const { data: list } = await get(`/users/${userId}/snapshots`)
  t.hasStrict(list.snapshots, [
    { version: 6, usable: false },
    { version: 3, usable: true }
  ])
  t.equal((await get(`/users/${userId}/snapshots/latest`)).data.version, 3)
})

t.test('a snapshot made under other rules that is older than the one used is nothing to count', async (t) => {
  const userId = await grownUser()
  await spoil(userId, "fingerprint = 'other-rules'", 'version = 3')
  const before = await ignored('stale')
  await get(`/users/${userId}/state?${LOADED}`)
  t.equal(await ignored('stale'), before)
})

const brokenStates = ['null', '"text"', '[]', '{}', '{"id": 1}', `{"id": "00000000-0000-0000-0000-000000000000"}`]

t.test('a state that cannot be decoded is not used, and the answers stay right', async (t) => {
  for (const state of brokenStates) {
    const userId = await grownUser()
    await spoil(userId, `state = '${state}'`)
    const before = await ignored('broken')
    const answer = await get(`/users/${userId}/state?${LOADED}`)
    t.equal(answer.statusCode, 200, state)
    t.not(answer.data.replay.snapshotVersion, 6)
    t.equal(await ignored('broken'), before + 1)
    await answersAsAllEventsDo(t, userId)
    const diff = await get(`/users/${userId}/diff?fromVersion=6&toVersion=7`)
    t.equal(diff.statusCode, 200)
  }
})

t.test('the state of another user is not used', async (t) => {
  const [userId, other] = [await grownUser(), await grownUser()]
  await spoil(userId, `state = (SELECT state FROM user_snapshots WHERE "aggregateId" = '${other}' AND version = 6)`)
  await answersAsAllEventsDo(t, userId)
})

t.test('the routes of snapshots answer whatever stands in the table', async (t) => {
  for (const state of brokenStates) {
    const userId = await grownUser()
    await spoil(userId, `state = '${state}'`)
    const latest = await get(`/users/${userId}/snapshots/latest`)
    t.ok(latest.statusCode < 500, `${state}: ${latest.statusCode} ${latest.body}`)
    await spoil(userId, `state = '${state}'`, 'true')
    const none = await get(`/users/${userId}/snapshots/latest`)
    t.ok(none.statusCode < 500, `${state}: ${none.statusCode} ${none.body}`)
  }
})

t.test('asking for a snapshot where a broken or a stale one stands gives a good one', async (t) => {
  for (const change of [`state = '{}'`, "fingerprint = 'other-rules'"]) {
    const userId = newUserId()
    await append(userId, [userCreated(), ...updates(3)])
    await post(`/admin/users/${userId}/snapshots`)
    await spoil(userId, change, 'true')
    t.equal((await post(`/admin/users/${userId}/snapshots`)).statusCode, 201, change)
    const { data } = await get(`/users/${userId}/state?${LOADED}`)
    t.strictSame(data.replay, { source: 'snapshot', snapshotVersion: 4, eventsApplied: 0 }, change)
  }
})

t.test('a user who has only a snapshot of other rules has no latest', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  await post(`/admin/users/${userId}/snapshots`)
  await spoil(userId, "fingerprint = 'other-rules'", 'true')
  refused(t, await get(`/users/${userId}/snapshots/latest`), '404 SNAPSHOT_NOT_FOUND')
})
