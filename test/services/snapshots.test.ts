import { randomUUID } from 'node:crypto'
import t from 'tap'
import { isSnapshotDue } from '../../src/domain/snapshot.js'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'
import { logins, newKey, type Parts, testParts } from './parts.js'

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000

const turn = { turnMs: 60_000, pauseMs: 0, signal: new AbortController().signal }

/** Steps of the snapshotter from the start of the log until there is nothing new; returns how many. */
async function catchUp({ snapshots }: Parts, from = 0): Promise<number> {
  let position = from
  for (let steps = 0; ; steps++) {
    const { position: reached } = await snapshots.takeDue(0, position, turn)
    if (reached === position) return steps
    position = reached
  }
}

t.test('a snapshot is due at the threshold and not before', async (t) => {
  for (const newest of [0, 1, 700]) {
    t.equal(isSnapshotDue(newest + 99, newest, 100), false)
    t.equal(isSnapshotDue(newest + 100, newest, 100), true)
    t.equal(isSnapshotDue(newest + 101, newest, 100), true)
  }
  t.equal(isSnapshotDue(700, 750, 100), false, 'the newest snapshot may be ahead of what was looked at')
})

t.test('the snapshotter makes one at exactly the threshold, from the one before and the tail', async (t) => {
  const parts = await testParts(t, { policy: { threshold: 100 } })
  const key = newKey()
  const versions = async () =>
    (await parts.snapshots.list(key)).map(({ version, metadata }) => [version, metadata.eventCount])
  async function grow(from: number, to: number) {
    await parts.seed(key, logins(to - from + 1, from))
    await catchUp(parts)
  }
  await grow(1, 99)
  t.strictSame(await versions(), [])
  await grow(100, 100)
  t.strictSame(await versions(), [[100, 100]])
  await grow(101, 199)
  t.strictSame(await versions(), [[100, 100]])
  await grow(200, 200)
  t.strictSame(
    await versions(),
    [
      [200, 100],
      [100, 100]
    ],
    'only the tail is folded'
  )
  await grow(201, 450)
  t.strictSame(
    await versions(),
    [
      [450, 250],
      [200, 100],
      [100, 100]
    ],
    'one, however far the user grew'
  )
  const { state, metadata } = await parts.snapshots.latest(key)
  t.strictSame(state, (await parts.replay.stateAt(key, { useSnapshot: false })).state)
  t.strictSame(metadata, {
    reason: 'threshold',
    eventCount: 250,
    snapshotSize: Buffer.byteLength(JSON.stringify(state)),
    createdBy: 'snapshotter'
  })
  t.equal(await parts.counted('event_snapshots_created_total', { reason: 'threshold' }), 3)
})

t.test('what cannot be used does not count: another is due, and made of all events', async (t) => {
  const parts = await testParts(t, { policy: { threshold: 10 } })
  const [stale, broken] = [newKey(), newKey()]
  for (const key of [stale, broken]) await parts.seed(key, logins(15))
  await parts.putSnapshot(stale, { version: 14, state: {}, fingerprint: 'other rules' })
  await parts.putSnapshot(broken, { version: 5, state: {} })
  await catchUp(parts)
  for (const key of [stale, broken]) {
    const [newest] = await parts.snapshots.list(key)
    t.match(newest, { version: 15, usable: true, metadata: { eventCount: 15 } })
    t.match((await parts.replay.stateAt(key, { useCache: false })).replay, { source: 'snapshot', snapshotVersion: 15 })
  }
})

t.test('a snapshot by hand replaces a broken one of the same version', async (t) => {
  const parts = await testParts(t)
  const key = newKey()
  await parts.seed(key, logins(6))
  await parts.putSnapshot(key, { version: 6, state: {} })
  t.match(await parts.snapshots.take(key, 'manual', 'test'), {
    created: true,
    snapshot: { version: 6, metadata: { eventCount: 6 } }
  })
  t.match((await parts.replay.stateAt(key, { useCache: false })).replay, { source: 'snapshot', snapshotVersion: 6 })
  t.equal((await parts.snapshots.list(key)).length, 1)
})

t.test('the snapshotter goes through a long log in steps and misses nobody', async (t) => {
  const parts = await testParts(t)
  const keys = [newKey(), newKey(), newKey(), newKey()]
  for (const [i, key] of keys.entries()) await parts.seed(key, logins([4950, 99, 100, 2500][i]!))
  t.strictSame(await parts.snapshots.takeDue(0, 0, turn), { position: 5000, more: true }, 'a step looks at 5,000')
  t.equal(await catchUp(parts, 5000), 1)
  const newest = await Promise.all(keys.map(async (key) => (await parts.snapshots.list(key))[0]?.version))
  t.strictSame(newest, [4950, undefined, 100, 2500])
  t.strictSame(await parts.snapshots.takeDue(0, 7649, turn), { position: 7649, more: false }, 'the end')
  t.equal((await parts.snapshots.takeDue(0, 9999, turn)).position, 9999, 'never back')
  t.equal((await parts.snapshots.takeDue(1, 0, turn)).position, 0, 'another bucket')
})

t.test('a user whose events cannot be folded is reported and holds nobody up', async (t) => {
  const parts = await testParts(t, { policy: { threshold: 3 } })
  const [holed, whole] = [newKey(), newKey()]
  await parts.seed(holed, [...logins(2), ...logins(2, 4)])
  await parts.seed(whole, logins(3))
  t.equal((await parts.snapshots.takeDue(0, 0, turn)).position, 7)
  t.match((await parts.snapshots.list(whole))[0], { version: 3 })
  t.equal(parts.unfoldable.length, 1)
  t.match(parts.unfoldable[0], { message: new RegExp(holed.userId) })
})

/** `count` users of nine events, each with a snapshot of other rules. */
async function staleUsers({ seed, putSnapshot }: Parts, count: number) {
  const keys = Array.from({ length: count }, () => newKey())
  for (const key of keys) {
    await seed(key, logins(9))
    await putSnapshot(key, { version: 8, state: {}, fingerprint: 'other rules' })
  }
  return keys
}

const madeOf = async ({ snapshots }: Parts, keys: Awaited<ReturnType<typeof staleUsers>>) => {
  const lists = await Promise.all(keys.map((key) => snapshots.list(key)))
  return lists.flat().filter(({ metadata }) => metadata.createdBy === 'snapshotter')
}

t.test(
  'snapshots that new rules made useless are made anew one after the other, after those that are due',
  async (t) => {
    const parts = await testParts(t, { policy: { threshold: 3 } })
    const stale = await staleUsers(parts, 4)
    const grown = newKey()
    await parts.seed(grown, logins(3))
    const startedAt = performance.now()
    t.strictSame(await parts.snapshots.takeDue(0, 0, { ...turn, pauseMs: 100 }), { position: 39, more: false })
    t.ok(performance.now() - startedAt >= 400, 'with a pause after each')
    const made = await madeOf(parts, [grown, ...stale])
    t.strictSame(
      made.map(({ metadata }) => metadata.reason),
      ['threshold', ...stale.map(() => 'rules changed')]
    )
    const [first, ...others] = made.map(({ createdAt }) => Date.parse(createdAt))
    t.ok(
      others.every((at) => at >= first!),
      'who has grown waits for nobody'
    )
    t.equal(await parts.counted('event_snapshots_created_total', { reason: 'rules changed' }), 4)
  }
)

t.test('a turn ends after the user it is at when the service stops, and the next goes on', async (t) => {
  const parts = await testParts(t, { policy: { threshold: 3 } })
  const stale = await staleUsers(parts, 3)
  const stopped = { turnMs: 60_000, pauseMs: 60_000, signal: AbortSignal.abort() }
  t.strictSame(await parts.snapshots.takeDue(0, 0, stopped), { position: 0, more: true })
  t.equal((await madeOf(parts, stale)).length, 1)
  const { made, next } = await parts.snapshots.refreshStale(null, { ...stopped, limit: 10 })
  t.equal(made, 1)
  t.ok(next, 'there is more')
  t.equal((await madeOf(parts, stale)).length, 2)
  t.strictSame(await parts.snapshots.takeDue(0, 0, turn), { position: 27, more: false })
  t.equal((await madeOf(parts, stale)).length, 3)
})

t.test('a turn takes no longer than its time, whatever there is to do', async (t) => {
  const parts = await testParts(t, { policy: { threshold: 3 } })
  const stale = await staleUsers(parts, 4)
  const slow = { ...turn, turnMs: 1000, pauseMs: 600 }
  t.match(await parts.snapshots.takeDue(0, 0, slow), { position: 0, more: true })
  const made = (await madeOf(parts, stale)).length
  t.ok(made === 1 || made === 2, `${made} before the time was over`)
  const refreshed = await parts.snapshots.refreshStale(null, { ...slow, turnMs: 0, limit: 10 })
  t.equal(refreshed.made, 1)
  t.ok(refreshed.next, 'there is more')
})

t.test('a running service makes the snapshot soon after the append', async (t) => {
  const { append, get } = await testService(t, { background: true, env: { SNAPSHOT_THRESHOLD: '3' } })
  const id = newUserId()
  // It may say that it is too busy while it is still starting.
  await until(async () => (await append(id, [userCreated(), userUpdated(), userUpdated()])).statusCode === 201)
  const { data } = await until(async () => {
    const answer = await get(`/users/${id}/snapshots/latest`)
    return answer.statusCode === 200 ? answer : null
  })
  t.match(data, { version: 3, metadata: { reason: 'threshold', eventCount: 3 } })
})

t.test('a snapshot by hand is made once per version', async (t) => {
  const parts = await testParts(t)
  const key = newKey()
  await parts.seed(key, logins(7))
  const first = await parts.snapshots.take(key, 'before the audit', 'ada')
  t.match(first, {
    created: true,
    snapshot: { aggregateId: key.userId, tenantId: key.tenantId, version: 7, fingerprint: parts.catalog.fingerprint }
  })
  t.match(first.snapshot.metadata, { reason: 'before the audit', eventCount: 7, createdBy: 'ada' })
  const again = await parts.snapshots.take(key, 'again', 'bob')
  t.strictSame(again, { created: false, snapshot: first.snapshot })
  const many = await Promise.all(Array.from({ length: 8 }, () => parts.snapshots.take(key, 'at once', 'eve')))
  t.notOk(many.some(({ created }) => created))
  await parts.seed(key, logins(1, 8))
  t.match(await parts.snapshots.take(key, 'manual', 'ada'), {
    created: true,
    snapshot: { version: 8, metadata: { eventCount: 1 } }
  })
  const newer = newKey()
  await parts.seed(newer, logins(3))
  const racing = await Promise.all(Array.from({ length: 8 }, () => parts.snapshots.take(newer, 'manual', 'ada')))
  t.equal(racing.filter(({ created }) => created).length, 1)
  t.equal(new Set(racing.map(({ snapshot }) => snapshot.id)).size, 1)
})

t.test('the newest stay, up to the number to retain', async (t) => {
  const parts = await testParts(t, { policy: { retain: 3 } })
  const key = newKey()
  const versions = async () => (await parts.snapshots.list(key)).map(({ version }) => version)
  for (const version of [1, 2, 3]) {
    await parts.seed(key, logins(1, version))
    await parts.snapshots.take(key, 'manual', 'test')
  }
  t.strictSame(await versions(), [3, 2, 1])
  await parts.seed(key, logins(1, 4))
  await parts.snapshots.take(key, 'manual', 'test')
  t.strictSame(await versions(), [4, 3, 2])
})

t.test('cleaning up deletes all but the number asked for: newest first, usable ones before others', async (t) => {
  const parts = await testParts(t)
  const [key, other] = [newKey(), newKey()]
  for (const each of [key, other]) {
    await parts.seed(each, logins(9))
    for (const version of [2, 4, 6]) await parts.putSnapshot(each, { version, state: {} })
    for (const version of [5, 8]) await parts.putSnapshot(each, { version, state: {}, fingerprint: 'other rules' })
  }
  const versions = async (of = key) =>
    (await parts.snapshots.list(of)).map(({ version, usable }) => (usable ? version : -version))
  t.strictSame(await versions(), [-8, 6, -5, 4, 2])
  for (const [retain, deleted, left] of [
    [6, 0, [-8, 6, -5, 4, 2]],
    [5, 0, [-8, 6, -5, 4, 2]],
    [4, 1, [-8, 6, 4, 2]],
    [3, 1, [6, 4, 2]],
    [1, 2, [6]],
    [0, 1, []]
  ] as const) {
    t.equal(await parts.snapshots.cleanUp(key, retain), deleted, `retain ${retain}`)
    t.strictSame(await versions(), left)
  }
  t.equal((await versions(other)).length, 5, 'of nobody else')
})

t.test('expired snapshots go, but never the newest usable one of a user', async (t) => {
  const parts = await testParts(t)
  const ago = (ms: number) => new Date(Date.now() - ms).toISOString()
  const [before, after] = [ago(90 * DAY_MS - MINUTE_MS), ago(90 * DAY_MS + MINUTE_MS)]
  const other = 'other rules'
  type Given = [version: number, createdAt: string, fingerprint?: string][]
  const cases: [string, Given, number[]][] = [
    [
      'one minute before its time',
      [
        [2, before],
        [4, before]
      ],
      [4, 2]
    ],
    [
      'one minute after',
      [
        [2, after],
        [4, before]
      ],
      [4]
    ],
    [
      'all are old',
      [
        [2, after],
        [4, after],
        [6, after]
      ],
      [6]
    ],
    [
      'the newest was made before the others',
      [
        [2, before],
        [4, after]
      ],
      [4, 2]
    ],
    [
      'of other rules',
      [
        [2, before, other],
        [4, after, other]
      ],
      [2]
    ],
    [
      'an unusable one keeps nothing',
      [
        [2, after],
        [4, before, other]
      ],
      [4, 2]
    ],
    [
      'nor is it kept',
      [
        [2, after],
        [4, after, other]
      ],
      [2]
    ]
  ]
  const keys = cases.map(() => newKey())
  for (const [i, [, given]] of cases.entries()) {
    await parts.seed(keys[i]!, logins(9))
    for (const [version, createdAt, fingerprint] of given) {
      await parts.putSnapshot(keys[i]!, { version, state: {}, createdAt, ...(fingerprint ? { fingerprint } : {}) })
    }
  }
  t.equal(await parts.snapshots.expire(91), 0)
  const gone = cases.reduce((sum, [, given, left]) => sum + given.length - left.length, 0)
  t.equal(await parts.snapshots.expire(90), gone)
  for (const [i, [name, , left]] of cases.entries()) {
    t.strictSame(
      (await parts.snapshots.list(keys[i]!)).map(({ version }) => version),
      left,
      name
    )
  }
  t.equal(await parts.snapshots.expire(90), 0)
})

/** Snapshots 1 to `versions` of `users` users, all expired, many made in the same moment. */
async function seedExpired({ db, catalog }: Parts, users: number, versions: number): Promise<void> {
  await db.query(
    `INSERT INTO user_snapshots (id, bucket, "aggregateId", "tenantId", version, state, fingerprint, metadata, "createdAt")
     SELECT gen_random_uuid(), 0, md5(u::text)::uuid, '00000000-0000-0000-0000-000000000000', v, '{}', $3::text, '{}',
            now() - interval '100 days' - (u % 3) * interval '1 day'
     FROM generate_series(1, $1::integer) u, generate_series(1, $2::integer) v`,
    [users, versions, catalog.fingerprint]
  )
}

t.test('expiry goes through more than one batch, also when all were made in one moment', async (t) => {
  const parts = await testParts(t)
  await seedExpired(parts, 600, 5)
  t.equal(await parts.snapshots.expire(90), 2400)
  const left = await parts.db.query<{ version: number; count: string }>(
    'SELECT version, count(*) FROM user_snapshots GROUP BY version'
  )
  t.strictSame(
    left.map(({ version, count }) => [version, Number(count)]),
    [[5, 600]]
  )
})

t.test('expiry ends after the running batch when it is told to stop', async (t) => {
  const parts = await testParts(t)
  await seedExpired(parts, 300, 5)
  const deleted = await parts.snapshots.expire(90, AbortSignal.abort())
  t.ok(deleted > 0 && deleted <= 1000, `${deleted}`)
  t.equal(await parts.snapshots.expire(90), 1200 - deleted, 'the next goes on')
})

t.test('users and snapshots that are not there are said, and tenants do not see each other', async (t) => {
  const parts = await testParts(t)
  const key = newKey()
  await parts.seed(key, logins(3))
  await t.rejects(parts.snapshots.latest(key), { code: 'SNAPSHOT_NOT_FOUND' })
  await parts.putSnapshot(key, { version: 2, state: {}, fingerprint: 'other rules' })
  await t.rejects(parts.snapshots.latest(key), { code: 'SNAPSHOT_NOT_FOUND' }, 'none that can be used')
  await parts.snapshots.take(key, 'manual', 'test')
  for (const stranger of [newKey(), { ...key, tenantId: randomUUID() }]) {
    await t.rejects(parts.snapshots.take(stranger, 'manual', 'test'), { code: 'USER_NOT_FOUND' })
    await t.rejects(parts.snapshots.list(stranger), { code: 'USER_NOT_FOUND' })
    await t.rejects(parts.snapshots.latest(stranger), { code: 'USER_NOT_FOUND' })
    await t.rejects(parts.snapshots.cleanUp(stranger, 0), { code: 'USER_NOT_FOUND' })
  }
  t.equal((await parts.snapshots.list(key)).length, 2)
})

t.test('every background handler is timed under its name', async (t) => {
  const { append, get } = await testService(t, { background: true, env: { SNAPSHOT_THRESHOLD: '3' } })
  await append(newUserId(), [userCreated(), userUpdated(), userUpdated()])
  for (const name of ['statistics', 'snapshots', 'snapshot-expiry']) {
    const timed = `event_handler_duration_seconds_count{handler_name="${name}",event_type="_batch"}`
    await until(async () => (await get('/metrics')).body.includes(timed), { what: timed })
    t.pass(name)
  }
})
