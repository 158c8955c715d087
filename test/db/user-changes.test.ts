/** What becomes of a directory that was filled before user_changes came (0011_user_changes.sql). */
import t from 'tap'
import { migrate, readMigrations } from '../../src/db/migrate.js'
import { testDatabase } from '../support/db.js'

const known = await readMigrations()
const before = known.filter(({ name }) => name < '0010')

t.test('the newest change of every user is known at once, also while the tables are rebuilt', async (t) => {
  const database = await testDatabase(t, { empty: true })
  await migrate(database.url, { migrations: before })
  await database.run(`
    INSERT INTO user_read_model (bucket, "userId", "tenantId", username, email, status, "roleIds", "totalLogins", "failedLoginAttempts",
      "lockedUntil", "createdAt", "updatedAt", "lastUpdatedVersion", "lastPosition", state)
    SELECT n, gen_random_uuid(), gen_random_uuid(), 'u' || n, 'u@example.com', 'active', '{}', 0, 0,
      CASE WHEN n % 3 = 0 THEN now() END, now(), CASE WHEN n % 2 = 0 THEN now() + n * interval '1 hour' END, 1, n, '{}'
    FROM generate_series(1, 12) AS n`)
  await migrate(database.url)
  const rows = (columns: string, table: string) =>
    database.run<object>(`SELECT ${columns} FROM ${table} ORDER BY bucket`)
  t.strictSame(
    await rows(
      'bucket, "userId", "tenantId", "changedAt"::text AS at, status, "lockedUntil"::text AS locked',
      'user_changes'
    ),
    await rows(
      'bucket, "userId", "tenantId", coalesce("updatedAt", "createdAt")::text AS at, status, "lockedUntil"::text AS locked',
      'user_read_model'
    )
  )
})

t.test(
  'tables that an older version is filling take over without the index that is gone, and with room in their pages',
  async (t) => {
    const database = await testDatabase(t, { empty: true })
    await migrate(database.url, { migrations: before })
    const tables = `'{user_read_model,user_activity_events,user_activity_days}'`
    await database.run(`SELECT start_rebuild('users', 20, 0, ${tables})`)
    for (const { sql } of await database.run<{ sql: string }>(`SELECT sql FROM missing_rebuild_indexes(${tables})`))
      await database.run(sql)
    await migrate(database.url)
    await database.run(`
    INSERT INTO workers (bucket, name, holder, epoch, position, "leaseUntil")
    VALUES (0, 'projection/users/rebuild', gen_random_uuid(), 1, 0, 'infinity')`)
    await database.run(`UPDATE projections SET "rebuildStage" = 'closing'`)
    const [swap] = await database.run<{ done: boolean }>(
      `SELECT swap_projection('users', 20, 1, ${tables}, 1000) AS done`
    )
    t.equal(swap!.done, true)
    const [found] = await database.run<object>(`
    SELECT reloptions::text AS options, (SELECT count(*)::integer FROM pg_indexes WHERE indexname LIKE '%UPDATED%') AS indexes
    FROM pg_class WHERE relname = 'user_read_model'`)
    t.strictSame(found, { options: '{fillfactor=80}', indexes: 0 })
  }
)
