/** Row-level security binds the service, or it does not start: whoever it connects as, and whoever made the tables. */
import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { compose } from '../../src/compose.js'
import { loadConfig } from '../../src/config.js'
import { ALL_TENANTS } from '../../src/db/as-tenants.js'
import { openDb } from '../../src/db/client.js'
import { migrate } from '../../src/db/migrate.js'
import { APP_ROLE, assertRowSecurity, RowSecurityRefused, settleRowSecurity } from '../../src/db/row-security.js'
import { StartError } from '../../src/start-error.js'
import { selectFoldStart } from '../../src/store/replay.js'
import { asAdmin, type TestDatabase, testDatabase } from '../support/db.js'
import { newUserId, userCreated } from '../support/events.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const [here, there] = [randomUUID(), randomUUID()]

/** A role that can log in, with a database of its own; and the URL of that for it. */
async function ownDatabase(t: Test, attributes = ''): Promise<{ role: string; database: TestDatabase }> {
  const database = await testDatabase(t, { empty: true })
  const role = database.name.replace('test', 'role')
  await asAdmin(`CREATE ROLE ${role} LOGIN PASSWORD 'secret' ${attributes}`)
  await asAdmin(`ALTER DATABASE ${database.name} OWNER TO ${role}`)
  t.teardown(async () => {
    await database.run(`DROP OWNED BY ${role} CASCADE`)
    await asAdmin(`ALTER DATABASE ${database.name} OWNER TO CURRENT_USER`)
    await asAdmin(`DROP ROLE ${role}`)
  })
  const url = new URL(database.url)
  url.username = role
  url.password = 'secret'
  return { role, database: { ...database, url: url.href } }
}

const starting = ({ url }: TestDatabase, env: Record<string, string> = {}) => compose(loadConfig(env), url, false)

const owners = async ({ run }: TestDatabase): Promise<string[]> => {
  const rows = await run<{ owner: string }>(
    `SELECT DISTINCT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')`
  )
  return rows.map(({ owner }) => owner)
}

/** Two users' events, one of each tenant. */
async function fill(t: Test, database: TestDatabase, env: Record<string, string> = {}) {
  const service = await testService(t, { database, env })
  for (const tenantId of [here, there]) {
    const answer = await service.append(newUserId(), [userCreated()], { headers: { 'x-tenant-id': tenantId } })
    t.equal(answer.statusCode, 201, answer.body)
  }
  return service
}

const EVENTS = 'SELECT "tenantId" FROM user_events ORDER BY position'

t.test('where a superuser made the tables, a role is made that owns them and is bound', async (t) => {
  const database = await testDatabase(t)
  t.not((await owners(database))[0], APP_ROLE)
  const settled = await settleRowSecurity(database.url, true)
  t.strictSame(settled, { role: APP_ROLE, rows: 'acting' })
  t.strictSame(await owners(database), [APP_ROLE], 'all tables')
  const [role] = await database.run<object>(
    `SELECT rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = '${APP_ROLE}'`
  )
  t.strictSame({ ...role }, { rolsuper: false, rolbypassrls: false, rolcanlogin: false })
  await fill(t, database)
  await t.test('what was made since is given to it at the next start', async (t) => {
    await database.run('ALTER TABLE event_statistics OWNER TO CURRENT_USER')
    t.strictSame(await settleRowSecurity(database.url, true), settled)
    t.strictSame(await owners(database), [APP_ROLE])
  })
})

t.test('twenty that start at once agree', async (t) => {
  const database = await testDatabase(t)
  await Promise.all(Array.from({ length: 20 }, () => settleRowSecurity(database.url, true)))
  t.strictSame(await owners(database), [APP_ROLE])
})

t.test('an owner without privileges is bound as it is; a superuser who comes later takes that role', async (t) => {
  const { role, database } = await ownDatabase(t)
  await migrate(database.url)
  t.strictSame(await settleRowSecurity(database.url, true), { rows: 'acting' })
  const { get } = await fill(t, database)
  t.equal((await get('/stats/events', { 'x-tenant-id': here })).data.totalEvents, 1)
  t.strictSame(await owners(database), [role])
  const superuser = new URL(process.env.TEST_SERVER_URL!)
  superuser.pathname = `/${database.name}`
  t.strictSame(await settleRowSecurity(superuser.href, true), { role, rows: 'acting' })
  t.strictSame(await owners(database), [role])
  await t.test('switched off, everything is seen', async (t) => {
    t.strictSame(await settleRowSecurity(database.url, false), { rows: 'all' })
    const db = openDb(database.url, { rows: 'all' })
    t.teardown(() => db.close())
    t.equal((await db.query(EVENTS)).length, 2)
    t.equal((await db.as(here).query(EVENTS)).length, 2)
    await fill(t, database, { ROW_LEVEL_SECURITY: 'false' })
  })
})

t.test('a statement sees the rows of the tenants that it acts for, and without one none', async (t) => {
  const database = await testDatabase(t)
  await fill(t, database)
  const db = openDb(database.url, await settleRowSecurity(database.url, true))
  t.teardown(() => db.close())
  const seen = async (acting = db) => (await acting.query<{ tenantId: string }>(EVENTS)).map(({ tenantId }) => tenantId)
  t.strictSame(await seen(), [])
  t.strictSame(await seen(db.as(ALL_TENANTS)), [here, there])
  t.strictSame(await seen(db.as(here)), [here])
  t.strictSame(await seen(db.as(ALL_TENANTS).as(there)), [there], 'the last word counts')
  t.strictSame(await seen(db.as([there, here])), [here, there], 'the order is that of the statement')
  t.strictSame(await seen(db.as([])), [])
  for (const nobody of [['null'], ['NULL'], '', 'NULL'])
    t.strictSame(await seen(db.as(nobody)), [], 'what stands for all is said by * alone')
  t.strictSame(await seen(db.as(randomUUID())), [])
  await t.rejects(seen(db.as('no tenant')), { sqlState: '22P02', message: /refused a value/ })
  t.strictSame(await seen(), [], 'nothing is left of it on the connection')
  const counted = `WITH all_of_them AS (${EVENTS}) SELECT count(*)::integer AS n, 1 AS n FROM all_of_them`
  t.strictSame([...(await db.as(here).query(counted))], [{ n: 1 }], 'also in a WITH')

  await t.test('it writes none of others', async (t) => {
    const keep = `SELECT keep_snapshot(0::smallint, '${randomUUID()}', '${there}', '${randomUUID()}', 1, 'f', '{}', '{}')`
    await t.rejects(db.as(here).query(keep), { sqlState: '42501', message: /row-level security/ })
    await t.rejects(db.query(keep), { sqlState: '42501', message: /row-level security/ })
    await db.as(there).query(keep)
    await db.as(here).query('DELETE FROM user_snapshots')
    t.equal((await db.as(there).query('SELECT FROM user_snapshots')).length, 1, 'what is no SELECT acts for nobody')
  })

  await t.test('many at once do not mix', async (t) => {
    const tenants = Array.from({ length: 400 }, (_, i) => (i % 3 === 0 ? here : i % 3 === 1 ? there : null))
    const answers = await Promise.all(tenants.map((tenant) => seen(tenant === null ? db : db.as(tenant))))
    t.strictSame(
      answers,
      tenants.map((tenant) => (tenant === null ? [] : [tenant]))
    )
    const [prepared] = await db.query<{ n: number }>(
      'SELECT count(*)::integer AS n FROM pg_prepared_statements WHERE strpos(statement, $1) > 0',
      [`(${EVENTS}) statement`]
    )
    t.equal(prepared!.n, 1, 'a statement is prepared once on a connection, for whomever it acts')
  })

  await t.test('what a rebuild fills is behind it too, whoever begins it', async (t) => {
    t.ok((await database.run('SELECT start_rebuild($$users$$, 1000, 0, $${user_activity_days}$$)')).length > 0)
    const [next] = await database.run<object>(
      `SELECT relrowsecurity, relforcerowsecurity, pg_get_userbyid(relowner) AS owner,
         (SELECT count(*)::integer FROM pg_policy WHERE polrelid = c.oid) AS policies
       FROM pg_class c WHERE relname = 'user_activity_days_next'`
    )
    t.strictSame({ ...next }, { relrowsecurity: true, relforcerowsecurity: true, owner: APP_ROLE, policies: 1 })
  })
})

t.test('it takes no index away: however large the log, nothing reads all of it', async (t) => {
  const database = await testDatabase(t)
  const user = (n: string) => `('00000000-0000-4000-8000-' || lpad((${n})::text, 12, '0'))::uuid`
  await database.run(`
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
    SELECT 0, n, ${user('n')}, ${user('n % 400')}, 1 + n / 400, CASE WHEN n < 400 THEN 'UserCreated' ELSE 'UserUpdated' END, 1,
      jsonb_build_object('username', 'user' || n % 400, 'email', n % 400 || '@example.com', 'passwordHash', 'x'),
      CASE WHEN n % 2 = 0 THEN '${here}'::uuid ELSE '${there}' END, now() - (20000 - n) * interval '1 second'
    FROM generate_series(1, 20000) AS n WHERE n % 400 <> 0;
    INSERT INTO user_snapshots (id, bucket, "aggregateId", version, state, fingerprint, "tenantId", metadata)
    SELECT ${user('n')}, 0, ${user('n % 400')}, 1 + n / 400, '{}', 'old', '${here}',
      '{"eventCount":1,"snapshotSize":2,"reason":"manual","createdBy":"test"}' FROM generate_series(1, 20000) AS n`)
  await database.run('VACUUM ANALYZE')
  const scans = () =>
    database.run<{ name: string }>(`SELECT relname AS name, seq_scan FROM pg_stat_user_tables
      WHERE relname IN ('user_events', 'user_snapshots') ORDER BY 1`)
  const before = await scans()
  const { get, service } = await testService(t, { database, background: true })
  const id = '00000000-0000-4000-8000-000000000002'
  // Often enough for plans that are kept.
  for (const url of [
    `/users/${id}/events?limit=20`,
    `/users/${id}/events?direction=backward&eventType=UserUpdated`,
    `/users/${id}/events?to=2100-01-01T00:00:00Z&fromVersion=3`,
    `/users/${id}/events/3`,
    `/users/${id}/state`,
    `/users/${id}/state?version=20`,
    `/users/${id}/state?at=2100-01-01T00:00:00Z`,
    `/users/${id}/diff?fromVersion=1&toVersion=9`,
    `/users/${id}/snapshots`,
    '/events?limit=100',
    '/events?limit=100&eventType=UserCreated',
    `/events?limit=100&userId=${id}`,
    `/events/export?userId=${id}`,
    '/admin/projections',
    '/admin/subscriptions',
    '/admin/archive'
  ])
    for (let i = 0; i < 8; i++) {
      const { statusCode, body } = await get(url, { 'x-tenant-id': here })
      t.equal(statusCode, 200, `${url} ${statusCode === 200 ? '' : body}`)
    }
  await service.stop()
  t.strictSame(await scans(), before)
})

t.test('of a long user with a snapshot only what came after it is read', async (t) => {
  const database = await testDatabase(t)
  const userId = newUserId()
  const [events, kept, times] = [5000, 4990, 10]
  await database.run(`
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
    SELECT 0, n, gen_random_uuid(), '${userId}', n, CASE WHEN n = 1 THEN 'UserCreated' ELSE 'UserUpdated' END, 1,
      '{"fullName": "Ada"}', '${here}', now() FROM generate_series(1, ${events}) AS n;
    INSERT INTO user_snapshots (id, bucket, "aggregateId", version, state, fingerprint, "tenantId", metadata)
    SELECT gen_random_uuid(), 0, '${userId}', ${kept}, '{}', 'rules', '${here}', '{}'`)
  await database.run('VACUUM ANALYZE')
  const db = openDb(database.url, { poolMax: 1, ...(await settleRowSecurity(database.url, true)) })
  const read = async () => {
    const [row] = await database.run<{ rows: string }>(
      `SELECT sum(idx_tup_read) AS rows FROM pg_stat_user_indexes WHERE relname = 'user_events'`
    )
    return Number(row!.rows)
  }
  const before = await read()
  const key = { tenantId: here, userId }
  for (let i = 0; i < times; i++)
    t.match(await selectFoldStart(db, 0, key, { fingerprint: 'rules' }), { headVersion: events, ignored: 'broken' })
  await db.close() // Only then is all of it counted.
  const rows = await until(async () => (await read()) - before || null, { what: 'the count of rows' })
  t.ok(rows <= times * 2 * (events - kept), `${rows} rows in ${times} reads of the ${events - kept} newest events`)
})

t.test('a service that it would not bind does not start, and says why', async (t) => {
  const refused = async (
    t: Test,
    start: Promise<unknown>,
    kind: new (message: string) => Error,
    ...words: RegExp[]
  ) => {
    for (const message of words) await t.rejects(start, { constructor: kind, message })
  }
  await t.test('the login bypasses it and may not make a role', async (t) => {
    const { role, database } = await ownDatabase(t, 'BYPASSRLS')
    const start = starting(database)
    await refused(
      t,
      start,
      StartError,
      new RegExp(`^${role}, as whom`),
      /may not give the tables to a role/,
      /ROW_LEVEL_SECURITY=false/
    )
    const service = await starting(database, { ROW_LEVEL_SECURITY: 'false' })
    await service.stop()
  })
  await t.test('a table is not behind it', async (t) => {
    const database = await testDatabase(t)
    await database.run(`ALTER TABLE user_snapshots NO FORCE ROW LEVEL SECURITY; ALTER TABLE user_events DISABLE ROW LEVEL SECURITY;
      DROP POLICY acting_tenants ON event_statistics`)
    const start = starting(database)
    const tables = 'user_events, user_snapshots, event_statistics'
    await refused(
      t,
      start,
      StartError,
      new RegExp(`bind ${APP_ROLE} on ${tables}\\.`),
      /SELECT secure_rows\('user_events'\)/
    )
    for (const table of tables.split(', ')) await database.run(`SELECT secure_rows('${table}')`)
    const service = await starting(database)
    await service.stop()
  })
  await t.test('connections are of a role that bypasses it', async (t) => {
    const database = await testDatabase(t)
    const db = openDb(database.url, { rows: 'acting' })
    t.teardown(() => db.close())
    await t.rejects(assertRowSecurity(db), { constructor: RowSecurityRefused, message: /superuser or has BYPASSRLS/ })
  })
  await t.test('connections cannot take the role', async (t) => {
    const database = await testDatabase(t)
    const none = openDb(database.url, { rows: 'acting', role: 'nobody_has_this_name' })
    t.teardown(() => none.close())
    const missing = assertRowSecurity(none, 'nobody_has_this_name')
    await refused(
      t,
      missing,
      RowSecurityRefused,
      /may not take the role nobody_has_this_name/,
      /ROW_LEVEL_SECURITY=false/
    )
    const { database: other } = await ownDatabase(t)
    await settleRowSecurity(database.url, true)
    const stranger = openDb(other.url, { rows: 'acting', role: APP_ROLE })
    t.teardown(() => stranger.close())
    await t.rejects(assertRowSecurity(stranger, APP_ROLE), {
      constructor: RowSecurityRefused,
      message: new RegExp(`may not take the role ${APP_ROLE},`)
    })
  })
})
