/** What operators see of projections and do about them: progress, rebuilds, users put aside, replaced tables. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { loggedIn, newUserId, updates, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { becomesExact } from '../support/projected.js'
import { type TestService, testService } from '../support/service.js'
import { testTaker } from '../support/taker.js'
import { until } from '../support/wait.js'

const ROUTE = '/admin/projections/users'

const rebuild = ({ post }: TestService) => post(`${ROUTE}/rebuild`)

/** Rebuilds and waits until the new tables serve. */
async function rebuilt(service: TestService): Promise<void> {
  const { filledAt } = (await service.get(ROUTE)).data
  await rebuild(service)
  await until(async () => (await service.get(ROUTE)).data.filledAt !== filledAt, { what: 'the new tables to serve' })
}

/** As if another instance had rebuilt up to a position, and held the lease. */
const rebuiltTo = (position: number): string => `
  INSERT INTO workers (bucket, name, holder, epoch, position, "leaseUntil")
  VALUES (0, 'projection/users/rebuild', gen_random_uuid(), 1, ${position}, 'infinity')`

/** Puts an event into the log that no instance knows how to apply, after those that a user has. */
const putUnknown = ({ database }: TestService, userId: string, eventType: string, eventData: object = {}) =>
  database.run(
    `INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
     SELECT 0, (SELECT max(position) + 1 FROM user_events), gen_random_uuid(), "aggregateId", max(version) + 1, '${eventType}', 1,
       '${JSON.stringify(eventData)}', "tenantId", max("createdAt")
     FROM user_events WHERE "aggregateId" = '${userId}' GROUP BY "aggregateId", "tenantId"`
  )

/** From now on the table `written` names every table, but those of projections and of leases, that a statement writes to. */
const NOTE_WRITES = `
  CREATE TABLE written (name text);
  GRANT INSERT ON written TO PUBLIC;
  CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO written VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
  DO $$
  DECLARE name text;
  BEGIN
    FOR name IN SELECT tablename FROM pg_tables
                WHERE schemaname = 'public' AND tablename !~ '^(admin_audit|user_read|user_activity|projection|workers|written)'
    LOOP
      EXECUTE format('CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %I EXECUTE FUNCTION note_write()', name);
    END LOOP;
  END $$`

t.test('before anything runs nothing serves; a rebuild begins once, and shows progress, rate and rest', async (t) => {
  const service = await testService(t)
  const { append, database, get } = service
  await append(newUserId(), [userCreated(), ...updates(9)])
  const before = await get(ROUTE)
  t.hasStrict(before.data, { servedVersion: 0, head: 0, position: 0, rebuild: null, oldTables: false })

  const first = await rebuild(service)
  t.equal(first.statusCode, 202)
  const { version, startedAt } = first.data.rebuild
  t.strictSame(first.data.rebuild, {
    version: first.data.version,
    stage: 'filling',
    startedAt,
    eventsDone: 0,
    eventsPerSecond: 0,
    secondsLeft: null,
    parkedUsers: 0
  })
  await database.run(rebuiltTo(4))
  await database.run(`UPDATE projections SET "rebuildStartedAt" = now() - interval '2 seconds'`)
  const second = await rebuild(service)
  t.equal(second.statusCode, 200, 'the one that is under way goes on')
  t.hasStrict(second.data, { head: 10, lagEvents: 10, rebuild: { version, stage: 'filling', eventsDone: 4 } })
  t.equal(second.data.rebuild.eventsPerSecond, 2)
  t.equal(second.data.rebuild.secondsLeft, 3)
  const { data } = await get('/admin/projections')
  t.equal(data.projections.length, 1)
  t.hasStrict(data.projections[0], { name: 'users', rebuild: { eventsDone: 4 } })
})

t.test('a name of none is refused by every route, whatever its length', async (t) => {
  const { ask, get, post } = await testService(t)
  const longest = 'n'.repeat(100)
  for (const name of ['nothing', 'users_next', longest, '%20']) {
    const path = `/admin/projections/${name}`
    for (const answer of [
      await get(path),
      await get(`${path}/parked`),
      await post(`${path}/rebuild`),
      await ask({ method: 'DELETE', url: `${path}/old-tables` })
    ]) {
      refused(t, answer, '404 PROJECTION_NOT_FOUND')
      t.match(answer.data.detail, /users/)
    }
  }
  t.equal(verdict(await get(`/admin/projections/${longest}n`)), '400 VALIDATION_FAILED')
})

t.test('an instance changes nothing about tables or a rebuild of a newer version', async (t) => {
  const service = await testService(t, { background: true })
  const { append, database, get } = service
  const { position } = (await append(newUserId(), [userCreated()])).data.events[0]
  await get(`/users?atLeast=${position}`)
  await database.run('UPDATE projections SET version = version + 1')
  refused(t, await rebuild(service), '409 PROJECTION_NEWER')
  const { data } = await get(ROUTE)
  t.equal(data.servedVersion, data.version + 1)
  t.equal(data.rebuild, null)

  await database.run(
    `UPDATE projections SET version = version - 1, "rebuildVersion" = version, "rebuildRevision" = 0, "rebuildStage" = 'filling', "rebuildStartedAt" = now()`
  )
  await database.run(rebuiltTo(1))
  refused(t, await rebuild(service), '409 PROJECTION_NEWER')
  t.hasStrict((await get(ROUTE)).data.rebuild, { version: data.version + 1, eventsDone: 1 })
})

t.test('a rebuild takes over with the same answers, and keeps the old tables until they are dropped', async (t) => {
  const service = await testService(t, { background: true })
  const { append, ask, database, get } = service
  const dropOld = () => ask({ method: 'DELETE', url: `${ROUTE}/old-tables` })
  const userId = newUserId()
  const { position } = (await append(userId, [userCreated(), ...updates(3)])).data.events.at(-1)
  const before = (await get(`/users/${userId}?atLeast=${position}`)).data
  await database.run(`UPDATE user_read_model SET username = 'spoiled'`)
  t.strictSame((await dropOld()).data, { dropped: false })
  for (const round of ['first', 'second']) {
    await rebuilt(service)
    t.strictSame((await get(`/users/${userId}`)).data, before, `the ${round} rebuild mends the row`)
    t.equal((await get(ROUTE)).data.oldTables, true)
  }
  t.strictSame((await dropOld()).data, { dropped: true })
  t.strictSame((await dropOld()).data, { dropped: false })
  t.equal((await get(ROUTE)).data.oldTables, false)
  const [left] = await database.run<{ tables: string[] }>(
    `SELECT array_agg(tablename::text) AS tables FROM pg_tables WHERE tablename ~ '_(next|old)$'`
  )
  t.equal(left!.tables, null)
})

t.test('the tables that take over have every index of the ones before, under the same names', async (t) => {
  const service = await testService(t, { background: true })
  await service.append(newUserId(), [userCreated()])
  await until(async () => (await service.get(ROUTE)).data.position === 1)
  const indexes = () =>
    service.database.run(
      `SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'user_activity%' OR tablename LIKE 'user_read%' ORDER BY 1`
    )
  const before = (await indexes()).filter(({ indexname }: { indexname?: string }) => !indexname?.endsWith('_old'))
  t.ok(before.length >= 12)
  await rebuilt(service)
  t.strictSame(
    (await indexes()).filter(({ indexname }: { indexname?: string }) => !indexname?.endsWith('_old')),
    before
  )
})

t.test('a rebuild writes to nothing but the projection, and nobody is sent anything', async (t) => {
  const service = await testService(t, { background: true, env: { WEBHOOK_PRIVATE_ADDRESSES: 'true' } })
  const { append, database, get, post } = service
  const taker = await testTaker(t)
  const sink = { kind: 'webhook', url: taker.url }
  t.equal((await post('/admin/subscriptions', { name: 'crm', sink, start: 'beginning' })).statusCode, 201)
  const { position } = (await append(newUserId(), [userCreated(), ...updates(5)])).data.events.at(-1)
  await get(`/users?atLeast=${position}`)
  await until(async () => (await get('/admin/subscriptions/crm')).data.lagEvents === 0 && taker.taken.length === 6)
  await until(async () => {
    const [behind] = await database.run(
      `SELECT FROM workers WHERE name IN ('statistics', 'snapshots') AND position < 6`
    )
    return behind === undefined
  })
  await database.run(NOTE_WRITES)
  await rebuilt(service)
  t.strictSame(await database.run('SELECT DISTINCT name FROM written'), [])
  t.equal(taker.taken.length, 6)
  await append(newUserId(), [userCreated()])
  const written = await database.run<{ name: string }>('SELECT DISTINCT name FROM written')
  t.ok(
    written.some(({ name }) => name === 'user_events'),
    'what is written is noted'
  )
})

t.test('an event that cannot be applied puts its user aside, and others go on', async (t) => {
  const service = await testService(t, { background: true })
  const { append, get } = service
  const userId = newUserId()
  await append(userId, [userCreated('stuck')])
  await putUnknown(service, userId, 'Unheard')
  const [later] = (await append(userId, [userUpdated({ fullName: 'Later' })])).data.events
  const [other] = (await append(newUserId(), [userCreated('free')])).data.events
  t.equal((await get(`/users?username=free&atLeast=${other.position}`)).data.users.length, 1)
  t.hasStrict((await get(`/users/${userId}?atLeast=${later.position}`)).data, { lastUpdatedVersion: 1 })
  const { data } = await get(`${ROUTE}/parked`)
  t.equal(data.users.length, 1)
  t.hasStrict(data.users[0], { userId, version: 2 })
  t.match(data.users[0].error, /Unheard/)
  t.equal((await get(ROUTE)).data.parkedUsers, 1)
  t.match((await get('/metrics')).body, 'event_projection_parkings_total{projection="users"} 1')
  t.match((await get('/metrics')).body, 'event_projection_parked_users{projection="users"} 1')
  const ready = await get('/readyz')
  t.equal(ready.statusCode, 200)
  t.hasStrict(ready.data, { ready: true, checks: { projections: { ok: false } } })
  t.match(ready.data.checks.projections.detail, 'users has put 1 users aside')
})

t.test('a user who can be applied by now is tried again when asked, and its row becomes exact', async (t) => {
  const service = await testService(t, { background: true })
  const { append, ask, get, post } = service
  const retry = (body: object = {}) => post(`${ROUTE}/parked/retry`, body)
  const [userId, hopeless] = [newUserId(), newUserId()]
  for (const [id, type] of [
    [userId, 'Moved'],
    [hopeless, 'Unheard']
  ] as const) {
    await append(id, [userCreated(id.slice(0, 8))])
    await putUnknown(service, id, type, { city: 'Bath' })
    await append(id, [userUpdated({ fullName: 'Later' })])
  }
  await until(async () => (await get(ROUTE)).data.parkedUsers === 2)
  t.strictSame((await retry({ userId })).data, { retried: 1 })
  t.strictSame((await retry({ userId: newUserId() })).data, { retried: 0 })

  const definition = { schema: { type: 'object' }, effect: { kind: 'merge', namespace: 'address' } }
  const registered = await ask({ method: 'PUT', url: '/event-types/Moved/versions/1', payload: definition })
  t.equal(registered.statusCode, 201)
  t.strictSame((await retry()).data, { retried: 2 })
  await until(async () => (await get(ROUTE)).data.parkedUsers === 1, { what: 'the one to be applied' })
  t.hasStrict((await get(`/users/${userId}`)).data, {
    fullName: 'Later',
    attributes: { address: { city: 'Bath' } },
    lastUpdatedVersion: 3
  })
  const activity = await get('/stats/activity')
  t.equal(activity.statusCode, 200, activity.body)
  t.hasStrict((await get(`/users/${hopeless}`)).data, { lastUpdatedVersion: 1 })
  t.strictSame(
    (await get(`${ROUTE}/parked`)).data.users.map((user: { userId: string }) => user.userId),
    [hopeless]
  )
  t.equal(verdict(await post('/admin/projections/nothing/parked/retry', {})), '404 PROJECTION_NOT_FOUND')
  for (const body of [{ userId: 'x' }, { user: userId }]) t.equal(verdict(await retry(body)), '400 VALIDATION_FAILED')
})

t.test('of a batch that the database refuses only the user who is to blame is put aside', async (t) => {
  const service = await testService(t, { background: true })
  const { append, database, get, post } = service
  await database.run(`ALTER TABLE user_read_model ADD CONSTRAINT never CHECK (username <> 'poison')`)
  const users = Array.from({ length: 40 }, newUserId)
  const poisoned = users[17]!
  await Promise.all(
    users.map((id, i) => append(id, [userCreated(id === poisoned ? 'poison' : `user${i}`), ...updates(2)]))
  )
  await until(async () => (await get(ROUTE)).data.lagEvents === 0)
  t.strictSame((await get('/users/count')).data.count, 39)
  const [parked, ...others] = (await get(`${ROUTE}/parked`)).data.users
  t.hasStrict(parked, { userId: poisoned, version: 1 })
  t.match(parked.error, /refused .*23514/)
  t.equal(others.length, 0)
  await database.run('ALTER TABLE user_read_model DROP CONSTRAINT never')
  await post(`${ROUTE}/parked/retry`, { userId: poisoned })
  await becomesExact(t, database, 'exact when it can be stored')
  t.equal((await get(ROUTE)).data.parkedUsers, 0)
})

t.test('what a user is found by is written when that changes, and at no other event', async (t) => {
  const { append, database, get } = await testService(t, { background: true })
  const userId = newUserId()
  const written = async (event: object): Promise<boolean> => {
    const row = async () =>
      (
        await database.run<{ row: string }>(
          `SELECT xmin::text AS row FROM user_read_model WHERE "userId" = '${userId}'`
        )
      )[0]?.row
    const before = await row()
    const { position } = (await append(userId, [event])).data.events[0]
    const { lastPosition } = (await get(`/users/${userId}?atLeast=${position}`)).data
    t.equal(lastPosition, position)
    return (await row()) !== before
  }
  const roles = (...roleIds: string[]) => ({ eventType: 'RolesAssigned', eventData: { roleIds, assignedBy: 'root' } })
  const locked = {
    eventType: 'AccountLocked',
    eventData: { reason: 'attempts', loginAttempts: 5, lockedUntil: '2999-01-01T00:00:00.000Z' }
  }
  for (const [event, expected] of [
    [userCreated(), true],
    [userUpdated({ attributes: { theme: 'dark' }, phone: '+1 555' }), false],
    [loggedIn(), false],
    [userUpdated({ username: 'grace' }), true],
    [userUpdated({ email: 'grace@example.com' }), true],
    [userUpdated({ fullName: 'Grace' }), true],
    [userUpdated({ fullName: 'Grace' }), false],
    [roles('admin', 'member'), true],
    [roles('admin', 'owner'), true],
    [roles('admin'), true],
    [locked, true],
    [locked, false],
    [{ eventType: 'AccountUnlocked', eventData: { unlockedBy: 'root' } }, true],
    [userUpdated({ status: 'suspended' }), true],
    [userDeleted(), true]
  ] as const)
    t.equal(await written(event), expected, JSON.stringify(event))
})

t.test('users put aside are paged by id', async (t) => {
  const { database, get } = await testService(t)
  const ids = Array.from({ length: 5 }, () => randomUUID()).sort()
  for (const id of ids)
    await database.run(
      `INSERT INTO projection_parked (bucket, worker, "aggregateId", "tenantId", position, version, error)
       VALUES (0, 'projection/users', '${id}', '${randomUUID()}', 1, 1, 'why')`
    )
  const page = async (query: string): Promise<string[]> =>
    (await get(`${ROUTE}/parked?${query}`)).data.users.map(({ userId }: { userId: string }) => userId)
  t.strictSame(await page('limit=2'), ids.slice(0, 2))
  t.strictSame(await page(`limit=2&after=${ids[1]}`), ids.slice(2, 4))
  t.strictSame(await page(`limit=1000&after=${ids[3]}`), ids.slice(4))
  t.strictSame(await page(`after=${ids[4]}`), [])
  for (const query of ['limit=0', 'limit=1001', 'after=x', 'before=x'])
    t.equal(verdict(await get(`${ROUTE}/parked?${query}`)), '400 VALIDATION_FAILED', query)
})
