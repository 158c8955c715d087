import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { Db } from '../../src/db/client.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { type AppendRequest, appendBatch } from '../../src/store/append.js'
import { selectSnapshotCandidates } from '../../src/store/snapshots.js'
import { rollUpStatistics } from '../../src/store/statistics.js'
import { claimLease } from '../../src/store/workers.js'
import { type TestDatabase, testDb } from '../support/db.js'
import { newUserId } from '../support/events.js'
import { readIntactLog } from '../support/log.js'

const requestOf = (userId: string, eventTypes: string[]): AppendRequest => ({
  tenantId: DEFAULT_TENANT,
  userId,
  expected: 'any',
  creates: eventTypes[0] === 'UserCreated',
  repeatable: true,
  events: eventTypes.map((eventType) => ({
    id: randomUUID(),
    eventType,
    schemaVersion: 1,
    schemaVersionAsked: false,
    dataText: '{}',
    metadataText: null,
    occurredAt: null
  }))
})

/** `perUser` events for each of `users` fresh users, past the function. */
async function seed({ run }: TestDatabase, users: number, perUser: number): Promise<void> {
  await run(`
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
    SELECT 0, (SELECT coalesce(max(position), 0) FROM user_events) + row_number() OVER (ORDER BY u, v), gen_random_uuid(), user_id, v,
           CASE v WHEN 1 THEN 'UserCreated' ELSE 'UserUpdated' END, 1, '{"fullName":"Ada"}', '${DEFAULT_TENANT}', now()
    FROM (SELECT u, gen_random_uuid() AS user_id FROM generate_series(1, ${users}) u) users, generate_series(1, ${perUser}) v`)
}

/** Whole scans of user_events so far, and rows that scans by key gave, as the session of `db` counts them. */
async function scans(db: Db): Promise<{ whole: number; rows: number }> {
  const [row] = await db.query<{ whole: string; rows: string }>(`
    SELECT pg_stat_get_xact_numscans('user_events'::regclass) + coalesce(pg_stat_get_numscans('user_events'::regclass), 0) AS whole,
      (SELECT sum(pg_stat_get_tuples_returned(indexrelid)) FROM pg_index WHERE indrelid = 'user_events'::regclass) AS rows`)
  return { whole: Number(row!.whole), rows: Number(row!.rows) }
}

t.test('a plan made while the log was empty still looks up keys when the log is long', async (t) => {
  const { db, database } = await testDb(t, { poolMax: 1 })
  const userId = newUserId()
  // More calls than it takes PostgreSQL to settle for a plan.
  await appendBatch(db, 0, [requestOf(userId, ['UserCreated'])])
  for (let calls = 0; calls < 10; calls++) await appendBatch(db, 0, [requestOf(userId, ['UserUpdated'])])
  await seed(database, 200, 100)

  const flush = () => db.query('SELECT pg_stat_force_next_flush()')
  await flush()
  const before = await scans(db)
  const calls = 20
  for (let call = 0; call < calls; call++) {
    const retried = requestOf(newUserId(), ['UserCreated', 'UserUpdated'])
    await appendBatch(db, 0, [requestOf(userId, ['UserUpdated', 'UserUpdated']), retried])
    await appendBatch(db, 0, [retried])
  }
  await flush()
  const after = await scans(db)
  t.equal(after.whole, before.whole, 'the whole log was never read')
  const rows = (after.rows - before.rows) / calls
  t.ok(rows < 50, `${rows} rows were read for a batch of two and a retry`)
  t.equal((await readIntactLog(t, database)).length, 11 + 20_000 + calls * 4)
})

t.test('createdAt never decreases within a user, also when the clock was ahead before', async (t) => {
  const { db, database } = await testDb(t)
  const userId = newUserId()
  const other = newUserId()
  await appendBatch(db, 0, [requestOf(userId, ['UserCreated']), requestOf(other, ['UserCreated'])])
  await database.run(`
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
    VALUES (0, 3, gen_random_uuid(), '${userId}', 2, 'UserUpdated', 1, '{}', '${DEFAULT_TENANT}', date_trunc('milliseconds', now() + interval '1 hour'))`)
  const [ahead, normal] = await appendBatch(db, 0, [
    requestOf(userId, ['UserUpdated', 'UserUpdated']),
    requestOf(other, ['UserUpdated'])
  ])
  const rows = await database.run<{ version: number; createdAt: Date }>(
    `SELECT version, "createdAt" FROM user_events WHERE "aggregateId" = '${userId}' ORDER BY version`
  )
  const times = rows.map(({ createdAt }) => new Date(createdAt).getTime())
  t.equal(times.length, 4)
  t.ok(
    times.every((time, i) => i === 0 || time >= times[i - 1]!),
    'it waits at the later moment'
  )
  t.match(ahead, { outcome: 'stored', events: [{ createdAt: new Date(times[1]!).toISOString() }] })
  t.ok(
    normal?.outcome === 'stored' && new Date(normal.events[0]!.createdAt).getTime() < times[1]!,
    'other users of the batch are not held up'
  )
  await readIntactLog(t, database)
})

t.test('createdAt has whole milliseconds, cut off and not rounded, so that it can be sent back', async (t) => {
  const { db, database } = await testDb(t)
  const [first] = await appendBatch(db, 0, [requestOf(newUserId(), ['UserCreated'])])
  const [row] = await database.run<{ exact: boolean; late: boolean }>(
    `SELECT "createdAt" = date_trunc('milliseconds', "createdAt") AS exact, "createdAt" > clock_timestamp() AS late FROM user_events`
  )
  t.strictSame(row, { exact: true, late: false })
  t.equal(first!.outcome, 'stored')
})

t.test('on an empty log workers stay where they are', async (t) => {
  const { db } = await testDb(t)
  const lease = await claimLease(db, 0, 'statistics', randomUUID(), 10_000)
  for (let steps = 0; steps < 3; steps++) t.equal(await rollUpStatistics(db, 0, lease!.epoch, 10_000), 0)
  t.match(await db.query('SELECT position FROM workers'), [{ position: '0' }])
  const found = await selectSnapshotCandidates(db, {
    bucket: 0,
    position: 0,
    span: 5000,
    threshold: 1,
    fingerprints: { general: 'x', byTenant: {} }
  })
  t.strictSame(found, { upTo: 0, candidates: [] })
})

t.test('a worker that has seen the whole log stays at its last position', async (t) => {
  const { db, database } = await testDb(t)
  await seed(database, 2, 5)
  const lease = await claimLease(db, 0, 'statistics', randomUUID(), 10_000)
  t.equal(await rollUpStatistics(db, 0, lease!.epoch, 4), 4)
  t.equal(await rollUpStatistics(db, 0, lease!.epoch, 10_000), 6)
  t.equal(await rollUpStatistics(db, 0, lease!.epoch, 10_000), 0)
  t.match(await db.query('SELECT position FROM workers'), [{ position: '10' }])
  const found = await selectSnapshotCandidates(db, {
    bucket: 0,
    position: 10,
    span: 5000,
    threshold: 1,
    fingerprints: { general: 'x', byTenant: {} }
  })
  t.strictSame(found, { upTo: 10, candidates: [] })
})
