import { readFile } from 'node:fs/promises'
import { generateDrizzleJson, generateMigration } from 'drizzle-kit/api'
import t from 'tap'
import * as accessTables from '../../src/db/access-tables.js'
import * as archiveTables from '../../src/db/archive-tables.js'
import * as deliveryTables from '../../src/db/delivery-tables.js'
import { type Migration, MigrationError, migrate, readMigrations } from '../../src/db/migrate.js'
import * as projectionTables from '../../src/db/projection-tables.js'
import * as logTables from '../../src/db/tables.js'
import { usersProjection } from '../../src/domain/projections/users.js'
import { type TestDatabase, testDatabase } from '../support/db.js'
import { newUserId } from '../support/events.js'
import { request } from '../support/http.js'
import { startProcess } from '../support/process.js'
import { startProxy } from '../support/proxy.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const TENANT = '00000000-0000-0000-0000-000000000000'

const known = await readMigrations()

const ledger = ({ run }: TestDatabase) =>
  run<{ number: number; name: string; hash: string }>(
    'SELECT number, name, hash FROM schema_migrations ORDER BY number'
  )

const asLedger = (migrations: Migration[]) => migrations.map(({ number, name, hash }) => ({ number, name, hash }))

const tables = { ...logTables, ...deliveryTables, ...projectionTables, ...archiveTables, ...accessTables }

const tablesOf = async ({ run }: TestDatabase): Promise<string[]> => {
  const rows = await run<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename`
  )
  return rows.map(({ name }) => name)
}

t.test('of twenty instances that start at once on an empty database each file is applied by one', async (t) => {
  const database = await testDatabase(t, { empty: true })
  const [calls, services] = await Promise.all([
    Promise.all(Array.from({ length: 18 }, () => migrate(database.url))),
    Promise.all(Array.from({ length: 2 }, () => startProcess(t, { DATABASE_URL: database.url })))
  ])
  t.strictSame(await ledger(database), asLedger(known))
  const applied = calls.flat()
  t.equal(new Set(applied).size, applied.length, 'no file was applied by two')
  for (const { url } of services) t.equal((await request(`${url}/readyz`)).status, 200)
  for (const service of services) t.equal(await service.end('SIGTERM'), 0)
})

t.test('a second run applies nothing', async (t) => {
  const database = await testDatabase(t, { empty: true })
  t.strictSame(
    await migrate(database.url),
    known.map(({ name }) => name)
  )
  t.strictSame(await migrate(database.url), [])
  t.strictSame(await ledger(database), asLedger(known))
})

t.test('a database that a newer version migrated is refused with a sentence, and not touched', async (t) => {
  const database = await testDatabase(t)
  await database.run(`INSERT INTO schema_migrations (number, name, hash) VALUES (${known.length}, '9999_future', 'x')`)
  const before = await ledger(database)
  await t.rejects(migrate(database.url), {
    constructor: MigrationError,
    message: /newer version.*9999_future.*Start that newer version/
  })
  t.strictSame(await ledger(database), before)
})

t.test('the process says why it does not start on such a database, and ends', async (t) => {
  const database = await testDatabase(t)
  await database.run(`INSERT INTO schema_migrations (number, name, hash) VALUES (${known.length}, '9999_future', 'x')`)
  await t.rejects(startProcess(t, { DATABASE_URL: database.url }), { message: /code 1:\n.*newer version/ })
})

t.test('a file that was edited after it was applied is refused, and the newer files are not applied', async (t) => {
  const database = await testDatabase(t, { empty: true })
  const [first, ...rest] = known
  await migrate(database.url, { migrations: [first!] })
  const edited = { ...first!, hash: 'of another text' }
  await t.rejects(migrate(database.url, { migrations: [edited, ...rest] }), {
    constructor: MigrationError,
    message: /0000_tables was edited/
  })
  t.strictSame(await ledger(database), asLedger([first!]))
})

t.test(
  'a file that was mended for empty databases only is taken as applied where the older text was, and no other',
  async (t) => {
    const database = await testDatabase(t)
    const noteHash = (hash: string) =>
      database.run(`UPDATE schema_migrations SET hash = '${hash}' WHERE name = '0008_claims'`)
    await noteHash('51c9dff8bc4bf306ba268182fb1dcb5b134a495cbb20f14cc89d1f0d1d5cf356')
    t.strictSame(await migrate(database.url), [])
    await noteHash('055888875f25e797a222b843e613006aa66b0fe2110b32d0cff106636489bb47') // that of 0009
    await t.rejects(migrate(database.url), { constructor: MigrationError, message: /0008_claims was edited/ })
  }
)

t.test('a file that fails in its middle leaves nothing of itself, and those before it stay', async (t) => {
  const database = await testDatabase(t, { empty: true })
  const broken: Migration = {
    number: known.length,
    name: '9999_broken',
    sql: 'CREATE TABLE half_done (id integer);\n--> statement-breakpoint\nINSERT INTO half_done VALUES (1);\nSELECT 1 / 0;',
    hash: 'broken'
  }
  await t.rejects(migrate(database.url, { migrations: [...known, broken] }), { code: '22012' })
  t.strictSame(await ledger(database), asLedger(known))
  t.notOk((await tablesOf(database)).includes('half_done'))

  const mended = { ...broken, sql: 'CREATE TABLE half_done (id integer)', hash: 'mended' }
  t.strictSame(await migrate(database.url, { migrations: [...known, mended] }), ['9999_broken'])
  t.ok((await tablesOf(database)).includes('half_done'))
})

t.test('a database that refuses connections first is migrated as soon as it takes them', async (t) => {
  const database = await testDatabase(t, { empty: true })
  const proxy = await startProxy(t, database.url)
  proxy.hangUp()
  const migrating = migrate(proxy.url, { waitMs: 60_000 })
  await until(() => proxy.accepted() > 10, { what: 'several attempts' })
  proxy.pass()
  const passedAt = performance.now()
  t.equal((await migrating).length, known.length)
  const waitedMs = performance.now() - passedAt
  t.ok(waitedMs < 3000, `it took ${Math.round(waitedMs)} ms from then on`)
  t.strictSame(await ledger(database), asLedger(known))
})

t.test('a database that stays away fails the start when the wait is over', async (t) => {
  const database = await testDatabase(t, { empty: true })
  const proxy = await startProxy(t, database.url)
  await proxy.refuse()
  const startedAt = performance.now()
  await t.rejects(migrate(proxy.url, { waitMs: 500 }), { code: 'ECONNREFUSED' })
  const waitedMs = performance.now() - startedAt
  t.ok(waitedMs > 500 && waitedMs < 3000, `${Math.round(waitedMs)} ms`)
})

t.test('a wrong name or password fails at once, because waiting would not help', async (t) => {
  const database = await testDatabase(t, { empty: true })
  const wrong = new URL(database.url)
  wrong.pathname = '/no_such_database'
  const startedAt = performance.now()
  await t.rejects(migrate(wrong.href, { waitMs: 20_000 }), { code: '3D000' })
  t.ok(performance.now() - startedAt < 5000)
})

t.test('what the read model holds when states are set apart is shown as before', async (t) => {
  const database = await testDatabase(t, { empty: true })
  const number = known.findIndex(({ name }) => name === '0017_read_state')
  await migrate(database.url, { migrations: known.slice(0, number) })
  /** What a state says, and what is shown of it. */
  const profile = {
    tenantId: TENANT,
    username: 'ada',
    email: 'ada@example.com',
    fullName: null,
    phone: '+1 555',
    status: 'active',
    roleIds: ['admin'],
    totalLogins: 3,
    lastLoginAt: '2026-02-01T00:00:00.000Z',
    attributes: { theme: 'dark' },
    createdAt: '2026-01-01T00:00:00.000Z',
    deletedAt: null
  }
  const changed = {
    userId: newUserId(),
    updatedAt: '2026-03-01T00:00:00.000Z',
    lockedUntil: '2999-01-01T00:00:00.000Z'
  }
  const created = { userId: newUserId(), updatedAt: null, lockedUntil: null }
  const orNull = (text: string | null) => (text === null ? 'NULL' : `'${text}'`)
  for (const { userId, updatedAt, lockedUntil } of [changed, created]) {
    const state = JSON.stringify({ ...profile, userId, updatedAt, lockedUntil, loginAttempts: 1 })
    await database.run(
      `INSERT INTO user_read_model (bucket, "userId", "tenantId", username, email, phone, status, "roleIds", "totalLogins",
         "failedLoginAttempts", "lockedUntil", "lastLoginAt", "createdAt", "updatedAt", "lastUpdatedVersion", "lastPosition", state)
       VALUES (0, '${userId}', '${TENANT}', 'ada', 'ada@example.com', '+1 555', 'active', '{admin}', 3,
         1, ${orNull(lockedUntil)}, '2026-02-01', '2026-01-01', ${orNull(updatedAt)}, 9, 90, '${state}')`
    )
  }
  await database.run(
    `INSERT INTO projections (name, version, "typesRevision", "rebuildVersion", "rebuildRevision", "rebuildStage", "rebuildStartedAt")
     VALUES ('users', ${usersProjection.version}, 0, 99, 0, 'filling', now());
     CREATE TABLE user_read_model_next (LIKE user_read_model)`
  )
  await migrate(database.url)
  const { get } = await testService(t, { database })
  const shown = (user: typeof changed | typeof created) => ({
    ...profile,
    ...user,
    failedLoginAttempts: 1,
    accountLocked: user.lockedUntil !== null,
    lastUpdatedVersion: 9,
    lastPosition: 90
  })
  const found = async (query: string) => (await get(`/users?${query}`)).data.users
  t.strictSame(await found('sort=updatedAt'), [shown(changed), shown(created)])
  t.strictSame(await found('sort=updatedAt&status=active'), [shown(changed), shown(created)])
  t.strictSame(await found('sort=updatedAt&locked=true'), [shown(changed)])
  const [rebuild] = await database.run(
    `SELECT "rebuildVersion", "rebuildStage", to_regclass('user_read_model_next') AS next FROM projections`
  )
  t.strictSame(
    rebuild,
    { rebuildVersion: null, rebuildStage: null, next: null },
    'nothing fills tables of the old shape'
  )
})

t.test('drizzle/ is what drizzle-kit makes of the tables in src/db', async (t) => {
  const folder = new URL('../../drizzle/', import.meta.url)
  const journal = JSON.parse(await readFile(new URL('meta/_journal.json', folder), 'utf8'))
  const newest = String(journal.entries.at(-1).idx).padStart(4, '0')
  const committed = JSON.parse(await readFile(new URL(`meta/${newest}_snapshot.json`, folder), 'utf8'))
  const generated = generateDrizzleJson(tables, committed.id)
  t.strictSame(await generateMigration(committed, generated), [], 'npm run db:generate has nothing to add')
  t.strictSame(
    { ...JSON.parse(JSON.stringify(generated)), id: '', prevId: '' },
    { ...committed, id: '', prevId: '' },
    'the committed snapshot is the generated one'
  )
})

t.test('what the files make in the database is what the tables in src/db say', async (t) => {
  const [byFiles, byTables] = [await testDatabase(t), await testDatabase(t, { empty: true })]
  const statements = await generateMigration(generateDrizzleJson({}), generateDrizzleJson(tables))
  for (const statement of statements) await byTables.run(statement)
  const described = `
    SELECT c.relname AS name, replace(pg_get_indexdef(c.oid), ' ON ONLY ', ' ON ') AS definition FROM pg_class c
    WHERE c.relkind IN ('i', 'I') AND c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT table_name || '.' || column_name,
      concat_ws(' ', data_type, character_maximum_length, datetime_precision, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'whole_log'`
  // The index for words is made only where the extension is, which Drizzle cannot say.
  const shape = (database: TestDatabase) =>
    database.run<{ name: string }>(
      `SELECT * FROM (${described}) d WHERE name NOT LIKE 'schema_migrations%' AND name <> 'IDX_READ_MODEL_SEARCH' ORDER BY name, definition`
    )
  t.strictSame(await shape(byFiles), await shape(byTables))
})
