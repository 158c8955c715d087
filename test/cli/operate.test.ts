/** `user-events doctor`, `migrate` and `serve`: the database and the process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t from 'tap'
import { cliDatabases, MAIN, onEach, runIn } from '../support/cli.js'
import { testDatabase } from '../support/db.js'
import { newUserId, userCreated } from '../support/events.js'

const everywhere = onEach(t, await cliDatabases(t))

everywhere('a store that is well is said to be, and how much room there is', async (t, { append, json, run, name }) => {
  await append(newUserId(), [userCreated()])
  const { healthy, checks } = await json(['doctor'])
  t.equal(healthy, true)
  const states = Object.fromEntries(checks.map(({ check, state }: Record<string, string>) => [check, state]))
  t.match(states, {
    migrations: 'ok',
    durability: 'ok',
    clock: 'ok',
    settings: 'ok',
    tenants: 'ok',
    indexes: 'ok',
    'background work': 'ok'
  })
  t.match(checks.find(({ check }: { check: string }) => check === 'disk').found, /MiB, .* are free/, name)
  t.match((await run('doctor')).out, /^ok {7}versions: Node \d+.*, PostgreSQL \d+/)
})

t.test('what is wrong with a store is said, with what to do', async (t) => {
  const database = await testDatabase(t)
  await database.run(`
    INSERT INTO store_identity (buckets) VALUES (3);
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
    VALUES (2, 1, gen_random_uuid(), gen_random_uuid(), 1, 'UserCreated', 1, '{}', gen_random_uuid(), now() + interval '1 hour');
    INSERT INTO workers (bucket, name, position, holder, epoch, "leaseUntil") VALUES (2, 'statistics', 0, gen_random_uuid(), 1, now() - interval '1 day'), (2, 'snapshots', 0, gen_random_uuid(), 1, '-infinity');
    INSERT INTO projection_parked (bucket, worker, "aggregateId", "tenantId", position, version, error)
    VALUES (2, 'projection/users', gen_random_uuid(), gen_random_uuid(), 1, 1, 'x');
    ALTER TABLE user_snapshots NO FORCE ROW LEVEL SECURITY`)
  const { code, out } = await runIn({ DATABASE_URL: database.url }, 'doctor', '--json')
  t.equal(code, 1)
  // The server of the tests may have been set up without autovacuum.
  const wrong = JSON.parse(out).checks.filter(
    ({ check, state }: Record<string, string>) => state !== 'ok' && check !== 'bloat'
  )
  t.match(wrong, [
    { check: 'clock', found: /newest event is 3\d\d\d\.\d s ahead/ },
    { check: 'settings', found: 'EVENT_BUCKETS is 1, the store has 3' },
    { check: 'tenants', state: 'trouble', found: 'row-level security does not guard user_snapshots' },
    { check: 'background work', found: /snapshots \(1 events\), statistics \(1 events\)/ },
    { check: 'read models', found: '1 users are put aside' }
  ])
  t.match(
    (await runIn({ DATABASE_URL: database.url }, 'doctor')).out,
    /\ntrouble {2}settings: .*\n {9}Set EVENT_BUCKETS=3/
  )
})

t.test('an empty database is brought up, one of another version is said to be', async (t) => {
  const database = await testDatabase(t, { empty: true })
  const run = (...args: string[]) => runIn({ DATABASE_URL: database.url }, ...args)
  t.match(await run('doctor'), { code: 1, out: /trouble {2}migrations: not applied: 0000_tables/ })
  t.match(await run('migrate', 'status'), { code: 1, out: /^migration +applied\n0000_tables +no\n/ })
  t.strictSame(
    await database.run('SELECT FROM pg_tables WHERE schemaname = current_schema()'),
    [],
    'to look changes nothing'
  )
  t.match(await run('migrate', 'up'), { code: 0, out: /^Applied 0000_tables, 0001_functions, / })
  t.match(await run('migrate', 'up', '--json'), { code: 0, out: '{"applied":[]}\n' })
  t.match(await run('migrate', 'status'), { code: 0, out: /\n0000_tables +20\d\d-/ })
  await database.run(`INSERT INTO schema_migrations (number, name, hash) VALUES (9999, '9999_later', 'x')`)
  for (const args of [['migrate', 'status'], ['migrate', 'up'], ['stats']])
    t.match(await run(...args), { code: 1, err: /migrated by a newer version of the service: it has 9999_later/ })
  t.match(await run('doctor'), { code: 1, out: /9999_later/ })
})

t.test('they work on the database only', async (t) => {
  for (const args of [['doctor'], ['migrate', 'status'], ['migrate', 'up'], ['serve']])
    t.match(await runIn({ USER_EVENTS_URL: 'http://127.0.0.1:1' }, ...args), {
      code: 2,
      err: `user-events ${args.join(' ')} works on the database only`
    })
})

t.test('serve serves until it is ended, and says which setting is wrong', async (t) => {
  const database = await testDatabase(t)
  const env = { PATH: process.env.PATH ?? '', DATABASE_URL: database.url, PORT: '0' }
  const child = spawn(process.execPath, [MAIN, 'serve'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const ready = new Promise<string>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      const { msg, address } = JSON.parse(line)
      if (msg === 'ready') resolve(address)
    })
  })
  t.equal((await fetch(`${await ready}/readyz`)).status, 200)
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
  t.match(await runIn({ ...env, PORT: 'none' }, 'serve'), { code: 2, err: /PORT/ })
})
