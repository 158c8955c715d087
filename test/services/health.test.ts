import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openDb } from '../../src/db/client.js'
import { startEmbeddedPostgres } from '../../src/db/embedded/start.js'
import { migrate, readMigrations } from '../../src/db/migrate.js'
import { createHealthService } from '../../src/services/health.js'
import { asAdmin, testDatabase } from '../support/db.js'
import { startProxy } from '../support/proxy.js'

const migrations = await readMigrations()
const newest = migrations.at(-1)!

type Projections = Parameters<typeof createHealthService>[0]['projections']

function healthOf(t: Test, url: string, projections: Projections = async () => []) {
  const db = openDb(url)
  t.teardown(() => db.close())
  return createHealthService({ db, migrations, projections })
}

t.test('a migrated database with safe settings is ready, and says what it is', async (t) => {
  const { url } = await testDatabase(t)
  t.match(await healthOf(t, url).readiness(), {
    ready: true,
    checks: {
      process: { ok: true, detail: 'serving' },
      database: { ok: true, detail: /^PostgreSQL \d+/ },
      migrations: { ok: true, detail: newest.name },
      durability: { ok: true, detail: 'every acknowledged event is on disk' },
      projections: { ok: true, detail: 'every event is applied' }
    }
  })
})

t.test('what is the matter with projections is told, and leaves the instance ready', async (t) => {
  const { url } = await testDatabase(t)
  const well = { name: 'users', version: 5, servedVersion: 5, parkedUsers: 0, rebuild: null }
  const rebuild = { stage: 'filling', startedAt: '', eventsDone: 0, eventsPerSecond: 0, secondsLeft: 0, parkedUsers: 0 }
  for (const [found, detail] of [
    [{ parkedUsers: 2 }, /^users has put 2 users aside/],
    [{ servedVersion: 0 }, /^users is being filled for the first time/],
    [{ servedVersion: 6 }, /^users is of version 6, newer than this instance \(5\)/],
    [{ rebuild: { ...rebuild, version: 7 } as never }, /^users is of version 7, newer/]
  ] as const) {
    const { ready, checks } = await healthOf(t, url, async () => [{ ...well, ...found }]).readiness()
    t.equal(ready, true)
    t.match(checks.projections, { ok: false, detail })
  }
  for (const found of [{}, { servedVersion: 4 }, { rebuild: { ...rebuild, version: 5 } as never }]) {
    const { checks } = await healthOf(t, url, async () => [{ ...well, ...found }]).readiness()
    t.equal(checks.projections.ok, true)
  }
  const failing = healthOf(t, url, async () => {
    throw new Error('no')
  })
  t.match(await failing.readiness(), { ready: true, checks: { projections: { ok: false, detail: /cannot be read/ } } })
})

t.test('an instance that leaves is not ready, although all else is well', async (t) => {
  const { url } = await testDatabase(t)
  const health = healthOf(t, url)
  health.leave()
  const { ready, checks } = await health.readiness()
  t.equal(ready, false)
  t.strictSame(checks.process, { ok: false, detail: 'shutting down' })
  t.ok(checks.database.ok && checks.migrations.ok && checks.durability.ok)
  t.equal(await health.isReady(), false)
})

t.test('a connection that dies under a look is no outage', async (t) => {
  const { url } = await testDatabase(t)
  const proxy = await startProxy(t, url)
  const health = healthOf(t, proxy.url)
  for (const marker of ['pg_is_in_recovery', 'max(number)']) {
    const cut = proxy.cutOn(marker, 'after')
    t.match(await health.readiness(), { ready: true })
    await cut
  }
})

t.test('migrations that are missing or newer are named, with the cure', async (t) => {
  const database = await testDatabase(t)
  const health = healthOf(t, database.url)
  async function refused(detail: string) {
    const { ready, checks } = await health.readiness()
    t.equal(ready, false)
    t.strictSame(checks.migrations, { ok: false, detail })
    t.ok(checks.database.ok, 'the database itself is well')
  }
  await database.run(`INSERT INTO schema_migrations (number, name, hash) VALUES (${newest.number + 1}, 'newer', '')`)
  await refused(
    `the database is at migration ${newest.number + 1}, this version needs ${newest.number}; run the newer version of the service`
  )
  await database.run(`DELETE FROM schema_migrations WHERE number >= ${newest.number}`)
  await refused(
    `the database is at migration ${newest.number - 1}, this version needs ${newest.number}; restart the service to migrate`
  )
  await database.run('DELETE FROM schema_migrations')
  await refused(`the database has no migrations, this version needs ${newest.number}; restart the service to migrate`)
  await database.run('DROP TABLE schema_migrations')
  await refused(`the database has no migrations, this version needs ${newest.number}; restart the service to migrate`)
})

t.test('a database that is dropped under the service is not ready', async (t) => {
  const database = await testDatabase(t)
  const health = healthOf(t, database.url)
  t.ok((await health.readiness()).ready)
  t.equal(await health.isReady(), true)
  await asAdmin(`DROP DATABASE ${database.name} WITH (FORCE)`)
  const { ready, checks } = await health.readiness()
  t.equal(ready, false)
  t.equal(await health.isReady(), false)
  t.match(checks.database, { ok: false, detail: /^the database does not answer \(\w+\); check/ })
  t.match(checks.migrations, { ok: false, detail: 'not known while the database does not answer' })
  t.ok(checks.process.ok)
})

async function scratchFolder(t: Test): Promise<string> {
  const memory = await statfs('/dev/shm').catch(() => null)
  const folder = await mkdtemp(
    join(memory && memory.bavail * memory.bsize > 1e9 ? '/dev/shm' : tmpdir(), 'user-event-store-health-')
  )
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

t.test('a server that could lose acknowledged events is not ready; one that is gone neither', async (t) => {
  const server = await startEmbeddedPostgres({ dataDir: await scratchFolder(t), durable: false })
  t.teardown(() => server.stop())
  await migrate(server.url, { migrations })
  const health = healthOf(t, server.url)
  const { ready, checks } = await health.readiness()
  t.equal(ready, false)
  t.strictSame(checks.durability, {
    ok: false,
    detail: 'fsync is off, full_page_writes is off: an acknowledged event could be lost; set it to on'
  })
  t.ok(checks.database.ok && checks.migrations.ok)

  await server.stop()
  const gone = await health.readiness()
  t.equal(gone.ready, false)
  t.match(gone.checks.database, { ok: false, detail: /^the database does not answer \(\w+\); check that it runs/ })
})
