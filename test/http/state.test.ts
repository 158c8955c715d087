/** The state of a user now, at a version and at a moment, and what changed between two versions. */
import jsonPatch from 'fast-json-patch'
import t from 'tap'
import { LOADED, loggedIn, newUserId, updates, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const { append, ask, get, post } = await testService(t)

/** A user with five events, each recorded at a moment of its own. */
async function grownUser() {
  const userId = newUserId()
  const moments: string[] = []
  for (const event of [
    userCreated(),
    userUpdated({ fullName: 'Ada' }),
    loggedIn(),
    userUpdated({ fullName: 'Ada King', attributes: { 'a/b': 1 } }),
    userUpdated({ phone: '1' })
  ]) {
    const now = Date.now()
    await until(() => Date.now() > now + 1)
    moments.push((await append(userId, [event])).data.events[0].createdAt)
  }
  return { userId, moments }
}

t.test('the current state, how it was made, and when its last event was recorded', async (t) => {
  const { userId, moments } = await grownUser()
  const { data, headers } = await get(`/users/${userId}/state`)
  t.strictSame(Object.keys(data), ['userId', 'version', 'asOf', 'state', 'replay'])
  t.hasStrict(data, { userId, version: 5, asOf: moments[4] })
  t.strictSame(data.replay, { source: 'events', snapshotVersion: null, eventsApplied: 5 })
  t.hasStrict(data.state, { fullName: 'Ada King', phone: '1', createdAt: moments[0], updatedAt: moments[4] })
  t.match(headers.etag, /^"5-[0-9a-f]{12}"$/)
})

t.test('the state includes an append as soon as it is acknowledged', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  for (let i = 2; i < 30; i++) {
    await append(userId, [userUpdated({ fullName: `Name ${i}` })])
    t.hasStrict((await get(`/users/${userId}/state`)).data, { version: i, state: { fullName: `Name ${i}` } })
  }
})

t.test('every version and every moment has its state', async (t) => {
  const { userId, moments } = await grownUser()
  for (const [i, moment] of moments.entries()) {
    const version = i + 1
    const atVersion = await get(`/users/${userId}/state?version=${version}`)
    t.hasStrict(atVersion.data, { version, asOf: moment })
    const inclusive = await get(`/users/${userId}/state?at=${moment}`)
    t.strictSame(inclusive.data, atVersion.data, 'a createdAt that was read includes its event')
    const finer = await get(`/users/${userId}/state?at=${moment.replace('Z', '999Z')}`)
    t.strictSame(finer.data, atVersion.data)
    const before = await get(`/users/${userId}/state?at=${new Date(Date.parse(moment) - 1).toISOString()}`)
    if (i === 0) refused(t, before, '404 NO_STATE_YET')
    else t.equal(before.data.version, version - 1)
    const offset = encodeURIComponent(new Date(Date.parse(moment) + 7_200_000).toISOString().replace('Z', '+02:00'))
    t.strictSame((await get(`/users/${userId}/state?at=${offset}`)).data, atVersion.data)
  }
  t.equal((await get(`/users/${userId}/state?at=9999-12-31T23:59:59Z`)).data.version, 5)
  refused(t, await get(`/users/${userId}/state?at=0001-01-01T00:00:00Z`), '404 NO_STATE_YET')
})

t.test('what cannot be asked for', async (t) => {
  const { userId, moments } = await grownUser()
  refused(t, await get(`/users/${newUserId()}/state`), '404 USER_NOT_FOUND')
  refused(t, await get(`/users/${newUserId()}/state?version=1`), '404 USER_NOT_FOUND')
  refused(t, await get(`/users/${newUserId()}/state?at=${moments[0]}`), '404 USER_NOT_FOUND')
  refused(t, await get(`/users/${userId}/state?version=6`), '404 VERSION_NOT_FOUND', { currentVersion: 5 })
  refused(t, await get(`/users/${userId}/state?version=2&at=${moments[1]}`), '400 TARGET_AMBIGUOUS')
  refused(t, await get(`/users/${userId}/state?at=2016-12-31T23:59:60Z`), '400 MOMENT_INVALID', { pointer: '/at' })
  for (const query of [
    'version=0',
    'version=x',
    'version=',
    'at=now',
    'useSnapshot=no',
    'version=1&version=2',
    'Version=1'
  ]) {
    t.equal(verdict(await get(`/users/${userId}/state?${query}`)), '400 VALIDATION_FAILED', query)
  }
})

t.test('a snapshot shortens the replay, changes nothing else, and can be left aside', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated('ada', { attributes: { deep: { list: [1] } } }), ...updates(11)])
  const whole = (await get(`/users/${userId}/state`)).data
  t.equal((await post(`/admin/users/${userId}/snapshots`)).statusCode, 201)
  const short = (await get(`/users/${userId}/state?${LOADED}`)).data
  t.strictSame(short, { ...whole, replay: { source: 'snapshot', snapshotVersion: 12, eventsApplied: 0 } })
  await append(userId, [userUpdated({ attributes: { deep: { list: null } } }), loggedIn(), userDeleted()])

  const sources: [query: string, version: number, replay: object][] = [
    ['', 15, { source: 'cache', snapshotVersion: null, eventsApplied: 3 }],
    ['', 15, { source: 'cache', snapshotVersion: null, eventsApplied: 0 }],
    ['version=15', 15, { source: 'cache', snapshotVersion: null, eventsApplied: 0 }],
    [LOADED, 15, { source: 'snapshot', snapshotVersion: 12, eventsApplied: 3 }],
    ['version=13', 13, { source: 'snapshot', snapshotVersion: 12, eventsApplied: 1 }],
    ['version=12', 12, { source: 'snapshot', snapshotVersion: 12, eventsApplied: 0 }],
    ['version=11', 11, { source: 'events', snapshotVersion: null, eventsApplied: 11 }],
    [`at=${whole.asOf}`, 12, { source: 'snapshot', snapshotVersion: 12, eventsApplied: 0 }]
  ]
  for (const [query, version, replay] of sources) {
    const { data } = await get(`/users/${userId}/state?${query}`)
    t.hasStrict(data, { version, replay }, query)
    const full = await get(`/users/${userId}/state?${query}&useSnapshot=false`)
    t.strictSame(full.data, { ...data, replay: { source: 'events', snapshotVersion: null, eventsApplied: version } })
  }
})

t.test('a client that has the state is told so, and only then', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  const etag = String((await get(`/users/${userId}/state`)).headers.etag)
  const ask304 = (value: string) => get(`/users/${userId}/state`, { 'if-none-match': value })
  for (const value of [etag, `W/${etag}`, `"x", ${etag}`, `"a,b", W/${etag} , "y"`, '*', ' * ']) {
    const answer = await ask304(value)
    t.equal(answer.statusCode, 304, value)
    t.equal(answer.body, '')
    t.equal(answer.headers.etag, etag)
    t.ok(answer.headers['x-request-id'])
  }
  for (const value of ['"1"', '"2-000000000000"', etag.replaceAll('"', ''), '']) {
    t.equal((await ask304(value)).statusCode, 200, value)
  }
  const head = await ask({ method: 'HEAD', url: `/users/${userId}/state`, headers: { 'if-none-match': etag } })
  t.equal(head.statusCode, 304)
  await append(userId, [userUpdated()])
  t.equal((await ask304(etag)).statusCode, 200)
  const old = await get(`/users/${userId}/state?version=1`, { 'if-none-match': etag })
  t.equal(old.statusCode, 304, 'the state at version 1 is still the same')
  refused(t, await get(`/users/${newUserId()}/state`, { 'if-none-match': '*' }), '404 USER_NOT_FOUND')
})

t.test('a difference turns one state into the other, in both directions', async (t) => {
  const { userId } = await grownUser()
  const states: unknown[] = [null]
  for (let version = 1; version <= 5; version++) {
    states.push((await get(`/users/${userId}/state?version=${version}`)).data.state)
  }
  for (let from = 0; from <= 5; from++) {
    for (let to = 0; to <= 5; to++) {
      const { data } = await get(`/users/${userId}/diff?fromVersion=${from}&toVersion=${to}`)
      t.hasStrict(data, { userId, fromVersion: from, toVersion: to })
      const patched = jsonPatch.applyPatch(structuredClone(states[from]), data.operations).newDocument
      t.strictSame(patched, states[to], `${from} to ${to}`)
      if (from === to) t.strictSame(data.operations, [])
    }
  }
  const { data } = await get(`/users/${userId}/diff?fromVersion=3&toVersion=4`)
  t.ok(
    data.operations.some(({ op, path }: { op: string; path: string }) => op === 'add' && path === '/attributes/a~1b')
  )
})

t.test('a difference of versions that are not there', async (t) => {
  const { userId } = await grownUser()
  const url = (id: string, from: number, to: number) => `/users/${id}/diff?fromVersion=${from}&toVersion=${to}`
  refused(t, await get(url(userId, 1, 6)), '404 VERSION_NOT_FOUND', { currentVersion: 5 })
  refused(t, await get(url(userId, 6, 0)), '404 VERSION_NOT_FOUND', { currentVersion: 5 })
  refused(t, await get(url(newUserId(), 0, 1)), '404 USER_NOT_FOUND')
  refused(t, await get(url(newUserId(), 0, 0)), '404 USER_NOT_FOUND')
  for (const query of [
    '',
    'fromVersion=1',
    'toVersion=1',
    'fromVersion=-1&toVersion=1',
    'fromVersion=1&toVersion=2&x=1'
  ]) {
    t.equal(verdict(await get(`/users/${userId}/diff?${query}`)), '400 VALIDATION_FAILED', query)
  }
})
