/** The archive: what moves, what stays, and that no answer shows it. */
import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import t from 'tap'
import { FIRST_SLICE_EVENTS, SLICE_EVENTS } from '../../src/store/replay.js'
import { type Line, randomLines, registerMoved } from '../domain/history-lines.js'
import { answersOf, archived, FAST, followed, sameAnswers, someUsers } from '../support/archive.js'
import { updates, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { importedEvent, sendLines } from '../support/import.js'
import { refused, verdict } from '../support/problem.js'
import { seedOf } from '../support/random.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const RUNS = '/admin/archive/runs'

const isBuiltIn = ({ eventType }: Line): boolean => eventType !== 'Moved'

/** A user with `count` events from long ago, as they were imported. */
async function oldUser(service: TestService, count: number, last = updates(1)[0]!): Promise<Line[]> {
  const userId = randomUUID()
  const contents = [userCreated(`u${userId.slice(0, 8)}`), ...updates(count - 2), last]
  const lines = contents.map((content, i) => importedEvent(userId, i + 1, content) as Line)
  const answer = await sendLines(service, lines)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return lines
}

const old = { olderThanDays: 365 }

for (const buckets of [1, 3]) {
  t.test(`every read answers as before, with EVENT_BUCKETS=${buckets}`, async (t) => {
    const seed = seedOf(t)
    const service = await testService(t, { background: true, env: { ...FAST, EVENT_BUCKETS: String(buckets) } })
    await registerMoved(service)
    const lines = someUsers(randomLines(seed), 5)
    const tenant = { 'x-tenant-id': randomUUID() }
    t.equal((await sendLines(service, lines)).statusCode, 200)
    t.equal((await sendLines(service, randomLines(seed + 1).filter(isBuiltIn), tenant)).statusCode, 200)
    await followed(service)
    const before = await answersOf(service, lines)
    const dry = await archived(service, { olderThanDays: 0, dryRun: true })
    t.equal((await service.get('/admin/archive')).data.cold.events, 0, 'a dry run moves nothing')
    const run = await archived(service, { olderThanDays: 0 })
    t.hasStrict(run, { status: 'done', error: null, events: dry.events })
    const { hot, cold } = (await service.get('/admin/archive')).data
    t.equal(cold.events, run.events)
    const sizes = (await service.get('/stats/events')).data.storageBytes
    t.ok(cold.bytes > 0 && sizes >= hot.bytes + cold.bytes, 'the size of the store is that of both')
    t.ok(cold.events > hot.events, `${cold.events} were moved, ${hot.events} stay`)
    sameAnswers(t, before, await answersOf(service, lines))

    const users = async () => (await service.get('/users?limit=100&includeDeleted=true')).data.users
    const listed = await users()
    t.equal((await service.post('/admin/projections/users/rebuild')).statusCode, 202)
    await until(async () => (await service.get('/admin/projections/users')).data.rebuild === null, {
      timeoutMs: 60_000
    })
    t.strictSame(await users(), listed, 'a rebuild reads the archive as well')

    const archivedOnes = await service.get('/events?limit=1000&includeSource=true')
    t.ok(archivedOnes.data.events.some((event: Line) => event.archived === true))
    for (const url of ['/events?limit=1000', '/events/export'])
      t.notMatch((await service.get(url)).body, /"archived"/, `${url} does not say where events are unless asked`)
    const [user] = lines
    const marked = await service.get(`/users/${user!.aggregateId}/events/1?includeSource=true`)
    t.equal(marked.data.archived, true)
    t.match((await service.get('/events/export?includeSource=true')).body, /"archived":true/)
  })
}

t.test('what readers see does not change while events move', async (t) => {
  const seed = seedOf(t)
  const service = await testService(t, { background: true, env: { ...FAST, ARCHIVE_EVENTS_PER_SECOND: '2000' } })
  await registerMoved(service)
  const lines = randomLines(seed)
  t.equal((await sendLines(service, lines)).statusCode, 200)
  for (let i = 0; i < 30; i++) await oldUser(service, 60)
  await followed(service)
  const shown = someUsers(lines, 2)
  const before = await answersOf(service, shown)
  const running = archived(service, { olderThanDays: 0 })
  let done = false
  running.finally(() => {
    done = true
  })
  let rounds = 0
  for (; !done; rounds++) sameAnswers(t, before, await answersOf(service, shown))
  t.equal((await running).status, 'done')
  t.ok(rounds > 0, `${rounds} rounds of ${before.size} answers while it ran`)
})

t.test('a fold goes from the archive over to the log, wherever one ends and the other begins', async (t) => {
  const service = await testService(t, { background: true, env: FAST })
  const { append, get } = service
  const [first, slice] = [FIRST_SLICE_EVENTS, SLICE_EVENTS]
  for (const [gone, kept] of [
    [first - 50, 100],
    [first - 1, 3],
    [first, first + slice],
    [first + 1, 1],
    [first + slice + 50, 100]
  ] as const) {
    const user = (await oldUser(service, gone))[0]!.aggregateId
    for (let sent = 0; sent < kept; sent += slice)
      t.equal((await append(user, updates(Math.min(slice, kept - sent)))).statusCode, 201)
    const ends = [1, first - 1, first, first + 1, gone, gone + 1, first + slice, first + slice + 1, gone + kept]
    const folds = [...new Set(ends)].filter((end) => end <= gone + kept)
    const answers = () => Promise.all(folds.map((end) => get(`/users/${user}/state?useSnapshot=false&version=${end}`)))
    const before = await answers()
    t.ok(before.every(({ statusCode }) => statusCode === 200))
    await followed(service)
    t.equal((await archived(service, old)).events, gone)
    const after = await answers()
    for (const [i, end] of folds.entries())
      t.strictSame(after[i]!.data, before[i]!.data, `${gone} archived, ${kept} kept, up to ${end}`)
  }
})

t.test('retries, expected versions and the life of a user are what they were', async (t) => {
  const service = await testService(t, { background: true, env: FAST })
  const { append, get } = service
  const [living, gone] = [await oldUser(service, 20), await oldUser(service, 5, userDeleted())]
  await followed(service)
  t.equal((await archived(service, old)).events, 19 + 4)
  const user = living[0]!.aggregateId
  const sent = ({ id, eventType, eventData }: Line) => ({ id, eventType, eventData }) as object

  const again = await append(user, living.slice(3, 6).map(sent))
  t.equal(again.statusCode, 200)
  t.hasStrict(again.data, { duplicate: true, version: 6 })
  t.strictSame(
    again.data.events.map(({ id, version }: Line) => [id, version]),
    living.slice(3, 6).map(({ id, version }) => [id, version])
  )
  const other = { ...sent(living[4]!), eventData: { fullName: 'Someone else' } }
  t.equal(verdict(await append(user, [other])), '409 EVENT_ID_REUSED')
  t.equal(verdict(await append(user, [sent(living[4]!), userUpdated()])), '409 EVENT_ID_REUSED', 'in another request')
  t.equal(verdict(await append(user, [userUpdated()], { expectedVersion: 19 })), '409 VERSION_CONFLICT')
  t.equal(verdict(await append(user, [userCreated()])), '422 USER_ALREADY_CREATED')
  t.equal(verdict(await append(gone[0]!.aggregateId, [userUpdated()])), '422 USER_DELETED')
  const foreign = { headers: { 'x-tenant-id': randomUUID() } }
  t.equal(verdict(await append(user, [userUpdated()], foreign)), '422 USER_NOT_CREATED')
  t.equal(verdict(await append(user, [userCreated()], foreign)), '409 USER_ID_TAKEN')
  t.equal((await append(user, [userUpdated()], { expectedVersion: 20 })).data.version, 21)

  t.hasStrict((await sendLines(service, [...living, ...gone])).data, { imported: 0, duplicates: 25 })
  const changed = { ...living[4]!, eventData: { fullName: 'Someone else' } }
  t.hasStrict((await sendLines(service, [changed])).data, { line: 1, imported: 0, duplicates: 0 })
  const newLine = { ...importedEvent(user, 22, userUpdated()), createdAt: new Date().toISOString() }
  t.match((await sendLines(service, [{ ...newLine, id: living[7]!.id }])).data.reason, /the id is stored/)
  t.hasStrict((await sendLines(service, [newLine])).data, { imported: 1 })
  t.equal((await get(`/users/${user}/state`)).data.version, 22)
})

t.test("what is too new, a user's newest event, and what a follower has not passed stay", async (t) => {
  const service = await testService(t, { background: true, env: FAST })
  const { get, post, ask, append } = service
  const lines = await oldUser(service, 10)
  const user = lines[0]!.aggregateId
  t.equal((await append(user, updates(5))).statusCode, 201)
  const subscription = { name: 'crm', sink: { kind: 'webhook', url: 'https://crm.example.com/' }, start: 'beginning' }
  t.equal((await post('/admin/subscriptions', subscription)).statusCode, 201)
  t.equal((await post('/admin/subscriptions/crm/pause')).statusCode, 200)
  await until(async () => (await get('/admin/archive')).data.heldBackBy[0]?.follower === 'subscription crm')
  t.strictSame((await get('/admin/archive')).data.heldBackBy, [
    { bucket: 0, follower: 'subscription crm', position: 0, head: 15 }
  ])
  t.hasStrict(await archived(service, old), { status: 'done', events: 0 }, 'held back')
  t.equal((await ask({ method: 'DELETE', url: '/admin/subscriptions/crm' })).statusCode, 204)
  await followed(service)
  t.hasStrict(await archived(service, old), { status: 'done', events: 10 }, 'those of long ago, and no later ones')
  t.hasStrict(await archived(service, { olderThanDays: 0 }), { events: 4 }, 'all but the newest')
  t.hasStrict(await archived(service, { olderThanDays: 0 }), { events: 0, windows: 0 }, 'nothing is left to move')
  t.equal((await get(`/users/${user}/state?useSnapshot=false`)).data.version, 15)
})

t.test('a run is asked for once at a time, with an age in range', async (t) => {
  const service = await testService(t, { env: { ARCHIVE_AFTER_DAYS: '0' } })
  const { post, get } = service
  refused(t, await post(RUNS, {}), '422 ARCHIVE_AGE_MISSING')
  for (const olderThanDays of [-1, 36_501, 1.5])
    t.equal(verdict(await post(RUNS, { olderThanDays })), '400 VALIDATION_FAILED', `${olderThanDays}`)
  t.equal((await post(RUNS, { olderThanDays: 36_500, dryRun: true })).statusCode, 202)
  refused(t, await post(RUNS, { olderThanDays: 0 }), '409 ARCHIVE_RUNNING')
  t.hasStrict((await get('/admin/archive')).data, { afterDays: 0, nextRun: null, runs: [{ status: 'waiting' }] })
})

t.test('a run begins by the schedule', async (t) => {
  const service = await testService(t, { background: true, env: { ...FAST, ARCHIVE_SCHEDULE: '* * * * * *' } })
  await oldUser(service, 10)
  await until(async () => (await service.get('/admin/archive')).data.cold.events === 9)
  const { nextRun, runs } = (await service.get('/admin/archive')).data
  t.ok(Date.parse(nextRun) > Date.now() - 2000)
  t.hasStrict(runs.at(-1), { origin: 'schedule', dryRun: false })
})

t.test('a copy that differs ends the run, and nothing is deleted', async (t) => {
  const service = await testService(t, { background: true, env: FAST })
  const lines = await oldUser(service, 10)
  await followed(service)
  const { run } = service.database
  await run(`SELECT create_archive_partition('2020-01-01Z')`)
  await run(`INSERT INTO user_events_archive SELECT bucket, position, id, "aggregateId", version, "eventType", "schemaVersion",
    '{"fullName": "Mallory"}', metadata, "tenantId", "occurredAt", "createdAt" FROM user_events WHERE version = 3`)
  const ended = await archived(service, old)
  t.equal(ended.status, 'failed')
  t.match(ended.error, /the copy of a window of 9 events differs/)
  t.equal((await run('SELECT FROM user_events')).length, 10)
  const history = await service.get(`/users/${lines[0]!.aggregateId}/events?upcast=false&fromVersion=2`)
  t.strictSame(
    history.data.events.map(({ eventData }: Line) => eventData),
    lines.slice(1).map(({ eventData }) => eventData),
    'reads go by user_events'
  )
})

t.test('names that archived events gave are unique all the same', async (t) => {
  const service = await testService(t, { background: true, env: FAST })
  const lines = await oldUser(service, 5)
  await followed(service)
  t.equal((await archived(service, old)).events, 4)
  await service.service.stop()
  const { username } = lines[0]!.eventData as { username: string }
  const unique = await testService(t, { database: service.database, env: { UNIQUE_CLAIMS: 'username' } })
  const taken = await unique.append(randomUUID(), [userCreated(username.toUpperCase())])
  t.equal(verdict(taken), '409 CLAIM_TAKEN')
  const { id, eventType, eventData } = lines[0]!
  const again = await unique.append(lines[0]!.aggregateId, [{ id, eventType, eventData }])
  t.hasStrict(again.data, { duplicate: true, version: 1 })
})

t.test('a user who can have no snapshot stays, and holds up nobody else', async (t) => {
  const service = await testService(t, { background: true, env: FAST })
  const [broken, whole] = [await oldUser(service, 6), await oldUser(service, 6)]
  await service.database.run(`SET user_event_store.maintenance = 'test'; UPDATE user_events SET "eventType" = 'Nobody'
    WHERE "aggregateId" = '${broken[0]!.aggregateId}' AND version = 3`)
  await followed(service)
  t.hasStrict(await archived(service, old), { status: 'done', events: 5 })
  const kept = async (userId: string) =>
    (await service.database.run(`SELECT FROM user_events WHERE "aggregateId" = '${userId}'`)).length
  t.equal(await kept(broken[0]!.aggregateId), 6)
  t.equal(await kept(whole[0]!.aggregateId), 1)
})

t.test('the archive is append-only, and so is each partition', async (t) => {
  const service = await testService(t, { background: true, env: FAST })
  await oldUser(service, 10)
  await followed(service)
  await archived(service, old)
  for (const table of ['user_events_archive', 'user_events_archive_2020_01'])
    for (const statement of [`UPDATE ${table} SET version = 7`, `DELETE FROM ${table}`, `TRUNCATE ${table}`])
      await t.rejects(service.database.run(statement), /events are never changed or removed/, statement)
})

t.test('reads that need no archived event do not touch the archive', async (t) => {
  const service = await testService(t, { background: true, env: FAST })
  const { get, append } = service
  const lines = await oldUser(service, 150)
  const user = lines[0]!.aggregateId
  await followed(service)
  t.equal((await archived(service, old)).events, 149)
  const fresh = randomUUID()
  await append(fresh, [userCreated('fresh'), ...updates(5)])
  const { head, next } = (await get('/events?limit=1&direction=backward')).data
  await append(fresh, updates(3))

  // Even to plan a statement on a table takes a lock on it, which here never comes.
  const locker = postgres(service.database.url, { max: 1 })
  t.teardown(() => locker.end({ timeout: 5 }))
  await locker.unsafe(
    'BEGIN; LOCK TABLE user_events_archive, user_events_archive_2020_01, user_events_offline IN ACCESS EXCLUSIVE MODE'
  )
  const direct = [
    `/users/${user}/state`,
    `/users/${user}/state?version=150`,
    `/users/${fresh}/events?direction=backward&limit=3`,
    `/users/${user}/diff?fromVersion=150&toVersion=150`,
    `/users/${user}/events/150`,
    `/users/${user}/events?fromVersion=150`,
    `/users/${fresh}/events`,
    `/users/${fresh}/events?eventType=UserUpdated`,
    `/users/${fresh}/state?useSnapshot=false`,
    `/users/${fresh}/state?at=2026-01-01T00:00:00Z`,
    `/users/${fresh}/state?at=2999-01-01T00:00:00Z`,
    `/events?limit=5&direction=backward`,
    `/events?limit=2&direction=backward&after=${next}`,
    `/events?userId=${fresh}`,
    `/events/export?userId=${fresh}`,
    '/users?username=fresh'
  ]
  t.ok(head > 150)
  for (const url of direct) t.match((await get(url)).statusCode, /^(200|404)$/, url)
  t.equal((await append(user, updates(1))).statusCode, 201)
  await locker.unsafe('ROLLBACK')
})
