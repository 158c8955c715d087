/** `user-events verify`: every damage is found and named, and nothing where there is none. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openVerifyState } from '../../src/cli/verify-state.js'
import { type Db, openDb } from '../../src/db/client.js'
import { usersProjection } from '../../src/domain/projections/users.js'
import { createEventTypeService } from '../../src/services/event-types.js'
import { createStoreVerifier, type Task } from '../../src/services/verify-store.js'
import { archived, FAST, followed } from '../support/archive.js'
import { cliTargets, onEach, runIn } from '../support/cli.js'
import { type TestDatabase, testDatabase } from '../support/db.js'
import { loggedIn, newUserId, updates, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const TENANT = randomUUID()
const UNIQUE = { UNIQUE_CLAIMS: 'username' }
/** In the order of their ids, as the events of the users below are looked at. */
const [ADA, BOB, CAY] = [newUserId(), newUserId(), newUserId()].sort() as [string, string, string]

const LOCKED = {
  eventType: 'AccountLocked',
  eventData: { reason: 'guessing', loginAttempts: 5, lockedUntil: '2026-01-01T00:00:00.000Z' }
}

/** Versions of a user who is archived in part, has snapshots, and of one of another tenant; everything is followed up. */
async function healthy(t: Test, env: Record<string, string> = {}): Promise<TestDatabase> {
  const database = await testDatabase(t)
  const service = await testService(t, {
    database,
    background: true,
    env: { ...FAST, ...UNIQUE, ...env }
  })
  const { append, post, get } = service
  await append(ADA, [userCreated('ada'), ...updates(9)])
  await post(`/admin/users/${ADA}/snapshots`)
  await append(ADA, [loggedIn(), userUpdated({ attributes: { a: [1, { b: null }] } })])
  await append(BOB, [userCreated('bob'), loggedIn(), userUpdated({ roleIds: ['x'], phone: '1' }), userDeleted()])
  await append(CAY, [userCreated('cay'), loggedIn(), loggedIn()], { headers: { 'x-tenant-id': TENANT } })
  for (let i = 0; i < 40; i++)
    await append(newUserId(), [userCreated(`u${i}`), ...updates(i % 5), ...(i % 7 === 0 ? [LOCKED] : [])])
  const head = (await get('/events?direction=backward&limit=1')).data.head
  await followed(service)
  await until(
    async () =>
      (await database.run<{ sum: string }>("SELECT sum(position) FROM workers WHERE name = 'statistics'"))[0]!.sum ===
      String(head)
  )
  await service.service.stop()
  return database
}

const verifyAll = async ({ url }: Pick<TestDatabase, 'url'>, ...args: string[]) => {
  const { code, out, err } = await runIn({ DATABASE_URL: url }, 'verify', '--all', '--json', ...args)
  return { code, err, ...JSON.parse(out || '{}') }
}

/** Without the guard that events are never changed, as only damage is. */
const damage = (database: TestDatabase, sql: string) => database.run(`SET session_replication_role = replica; ${sql}`)

type Expected = { kind: string; version?: number; position?: number; userId?: string }

const ofAda = `"aggregateId" = '${ADA}'`
const FORGED = '{"ipAddress": "203.0.113.9", "loginAt": "2026-01-01T00:00:00.000Z"}'
const insertEvent = (
  user: string,
  version: number,
  type: string,
  data: string,
  tenant = '00000000-0000-0000-0000-000000000000'
) =>
  `INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
   SELECT 0, max(position) + 1, gen_random_uuid(), '${user}', ${version}, '${type}', 1, '${data}', '${tenant}', now() FROM user_events`

/** Each with all that is to be found. Positions: those of Ada are 1 to 12, of Bob 13 to 16, of Cay 17 to 19. */
const DAMAGES: Record<string, { sql: string; found: Expected[] }> = {
  'an event is gone': {
    sql: `DELETE FROM user_events WHERE ${ofAda} AND version = 5`,
    found: [
      { kind: 'POSITION_MISSING', position: 5 },
      { kind: 'VERSION_MISSING', userId: ADA, version: 5, position: 6 }
    ]
  },
  "a user's newest event is gone": {
    sql: `DELETE FROM user_events WHERE "aggregateId" = '${CAY}' AND version = 3`,
    found: [
      { kind: 'POSITION_MISSING', position: 19 },
      { kind: 'READ_MODEL_BEYOND', userId: CAY, version: 3 }
    ]
  },
  'the newest event of all is gone': {
    sql: 'DELETE FROM user_events WHERE position = (SELECT max(position) FROM user_events)',
    found: [{ kind: 'LOG_SHORT' }, { kind: 'READ_MODEL_BEYOND' }]
  },
  'the data of an event under a snapshot was changed': {
    sql: `UPDATE user_events SET "eventData" = '{"phone": "forged"}' WHERE ${ofAda} AND version = 4`,
    found: [
      { kind: 'SNAPSHOT_DIFFERS', userId: ADA, version: 10 },
      { kind: 'READ_MODEL_DIFFERS', userId: ADA, version: 12 }
    ]
  },
  'the data of an event is not what its type says': {
    sql: `UPDATE user_events SET "eventData" = '{"phone": 5}' WHERE ${ofAda} AND version = 4`,
    found: [{ kind: 'EVENT_INVALID', userId: ADA, version: 4, position: 4 }]
  },
  'an event is of a type that nobody knows': {
    sql: `UPDATE user_events SET "eventType" = 'Forged' WHERE ${ofAda} AND version = 4`,
    found: [{ kind: 'EVENT_UNKNOWN', userId: ADA, version: 4, position: 4 }]
  },
  'an event is of a version of its type that nobody knows': {
    sql: `UPDATE user_events SET "schemaVersion" = 99 WHERE ${ofAda} AND version = 4`,
    found: [{ kind: 'EVENT_UNKNOWN', userId: ADA, version: 4, position: 4 }]
  },
  'a position was skipped': {
    sql: 'UPDATE user_events SET position = position + 1 WHERE position = (SELECT max(position) FROM user_events)',
    found: [{ kind: 'POSITION_MISSING' }, { kind: 'READ_MODEL_DIFFERS' }]
  },
  'positions of a user go down': {
    sql: `UPDATE user_events SET position = CASE position WHEN 2 THEN 1003 ELSE 1002 END WHERE position IN (2, 3);
          UPDATE user_events SET position = position - 1000 WHERE position > 1000`,
    found: [{ kind: 'EVENT_ORDER', userId: ADA, version: 3, position: 2 }]
  },
  'a time goes down': {
    sql: `UPDATE user_events SET "createdAt" = '2020-01-01' WHERE ${ofAda} AND version = 3`,
    found: [{ kind: 'EVENT_ORDER', userId: ADA, version: 3, position: 3 }]
  },
  'an event belongs to another tenant': {
    sql: `UPDATE user_events SET "tenantId" = '${TENANT}' WHERE ${ofAda} AND version = 3`,
    found: [{ kind: 'EVENT_TENANT', userId: ADA, version: 3, position: 3 }]
  },
  'a user is created twice': {
    sql: insertEvent(ADA, 13, 'UserCreated', '{"username": "a", "email": "a@example.com"}'),
    found: [{ kind: 'LIFE_CYCLE', userId: ADA, version: 13 }]
  },
  'a user was never created': {
    sql: insertEvent('aaaaaaaa-0000-4000-8000-000000000000', 1, 'LoginInfoUpdated', FORGED),
    found: [{ kind: 'LIFE_CYCLE', userId: 'aaaaaaaa-0000-4000-8000-000000000000', version: 1 }]
  },
  'something follows the end of a user': {
    sql: insertEvent(BOB, 5, 'LoginInfoUpdated', FORGED),
    found: [{ kind: 'LIFE_CYCLE', userId: BOB, version: 5 }]
  },
  'the state of a snapshot was changed': {
    sql: `UPDATE user_snapshots SET state = jsonb_set(state, '{totalLogins}', '7') WHERE ${ofAda}`,
    found: [{ kind: 'SNAPSHOT_DIFFERS', userId: ADA, version: 10 }]
  },
  'a snapshot holds no state': {
    sql: `UPDATE user_snapshots SET state = '[]' WHERE ${ofAda}`,
    found: [{ kind: 'SNAPSHOT_DIFFERS', userId: ADA, version: 10 }]
  },
  'a snapshot is of a version to come': {
    sql: `UPDATE user_snapshots SET version = 13 WHERE ${ofAda}`,
    found: [{ kind: 'SNAPSHOT_BEYOND', userId: ADA, version: 13 }]
  },
  'a snapshot belongs to another tenant': {
    sql: `UPDATE user_snapshots SET "tenantId" = '${TENANT}' WHERE ${ofAda}`,
    found: [{ kind: 'SNAPSHOT_TENANT', userId: ADA, version: 10 }]
  },
  'a snapshot is of nobody': {
    sql: `INSERT INTO user_snapshots SELECT gen_random_uuid(), bucket, '00000000-0000-0000-0000-000000000000', version, state,
            fingerprint, "tenantId", metadata, "createdAt" FROM user_snapshots WHERE ${ofAda}`.replace(
      'INTO user_snapshots',
      'INTO user_snapshots (id, bucket, "aggregateId", version, state, fingerprint, "tenantId", metadata, "createdAt")'
    ),
    found: [{ kind: 'SNAPSHOT_OF_NOBODY', userId: '00000000-0000-0000-0000-000000000000', version: 10 }]
  },
  'a row of the directory is old': {
    sql: `UPDATE user_read_state r SET "lastUpdatedVersion" = 11, "lastPosition" = 11, "changedAt" = e."createdAt",
            state = r.state::jsonb || jsonb_build_object('attributes', '{}'::jsonb, 'updatedAt',
              to_char(e."createdAt" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
          FROM user_events e WHERE r."userId" = '${ADA}' AND e.${ofAda} AND e.version = 10`,
    found: [{ kind: 'READ_MODEL_STALE', userId: ADA, version: 12, position: 12 }]
  },
  'a row of the directory was changed': {
    sql: `UPDATE user_read_model SET email = 'forged@example.com', "lockedUntil" = now() WHERE "userId" = '${ADA}'`,
    found: [{ kind: 'READ_MODEL_DIFFERS', userId: ADA, version: 12 }]
  },
  'a row of the directory has another state': {
    sql: `UPDATE user_read_state SET state = jsonb_set(state::jsonb, '{lockReason}', '"x"') WHERE "userId" = '${BOB}'`,
    found: [{ kind: 'READ_MODEL_DIFFERS', userId: BOB, version: 4 }]
  },
  'a row of the directory belongs to another tenant': {
    sql: `UPDATE user_read_model SET "tenantId" = '${TENANT}' WHERE "userId" = '${ADA}'`,
    found: [{ kind: 'READ_MODEL_DIFFERS', userId: ADA, version: 12 }]
  },
  'a state of the directory has another place': {
    sql: `UPDATE user_read_state SET "changedAt" = now() WHERE "userId" = '${ADA}'`,
    found: [{ kind: 'READ_MODEL_DIFFERS', userId: ADA, version: 12 }]
  },
  'a state of the directory is locked': {
    sql: `UPDATE user_read_state SET "lockedUntil" = now() WHERE "userId" = '${ADA}'`,
    found: [{ kind: 'READ_MODEL_DIFFERS', userId: ADA, version: 12 }]
  },
  'a state of the directory has another status': {
    sql: `UPDATE user_read_state SET status = 'suspended' WHERE "userId" = '${ADA}'`,
    found: [{ kind: 'READ_MODEL_DIFFERS', userId: ADA, version: 12 }]
  },
  'a state of the directory belongs to another tenant': {
    sql: `UPDATE user_read_state SET "tenantId" = '${TENANT}' WHERE "userId" = '${ADA}'`,
    found: [{ kind: 'READ_MODEL_DIFFERS', userId: ADA, version: 12 }]
  },
  'a user of the directory is gone': {
    sql: `DELETE FROM user_read_model WHERE "userId" = '${CAY}'; DELETE FROM user_read_state WHERE "userId" = '${CAY}'`,
    found: [{ kind: 'READ_MODEL_MISSING', userId: CAY, version: 1, position: 17 }]
  },
  'a row of the directory is gone': {
    sql: `DELETE FROM user_read_model WHERE "userId" = '${CAY}'`,
    found: [{ kind: 'READ_MODEL_DIFFERS', userId: CAY, version: 3 }]
  },
  'a state of the directory is gone': {
    sql: `DELETE FROM user_read_state WHERE "userId" = '${CAY}'`,
    found: [{ kind: 'READ_MODEL_STALE', userId: CAY, version: 1, position: 17 }]
  },
  'a row of the directory is of nobody': {
    sql: `UPDATE user_read_model SET "userId" = 'ffffffff-ffff-ffff-ffff-ffffffffffff' WHERE "userId" = '${CAY}';
          UPDATE user_read_state SET "userId" = 'ffffffff-ffff-ffff-ffff-ffffffffffff' WHERE "userId" = '${CAY}'`,
    found: [
      { kind: 'READ_MODEL_MISSING', userId: CAY, version: 1, position: 17 },
      { kind: 'READ_MODEL_OF_NOBODY', userId: 'ffffffff-ffff-ffff-ffff-ffffffffffff', version: 3 }
    ]
  },
  'a count by type was changed': {
    sql: `UPDATE event_statistics SET events = events + 1 WHERE "eventType" = 'UserDeleted'`,
    found: [{ kind: 'COUNTS_DIFFER' }]
  },
  'a number of users by day was changed': {
    sql: `UPDATE user_activity_days SET active = active + 1 WHERE "tenantId" <> '${TENANT}'`,
    found: [{ kind: 'COUNTS_DIFFER' }]
  },
  'a count by day is gone': {
    sql: `DELETE FROM user_activity_events WHERE "eventType" = 'UserDeleted'`,
    found: [{ kind: 'COUNTS_DIFFER' }]
  },
  'a number of one of the largest users was changed': {
    sql: `UPDATE largest_users SET events = events + 1 WHERE ${ofAda}`,
    found: [{ kind: 'COUNTS_DIFFER' }]
  },
  'a unique field of a user is not kept': {
    sql: `DELETE FROM user_claims WHERE "userId" = '${ADA}'`,
    found: [{ kind: 'CLAIM_DIFFERS', userId: ADA }]
  },
  'another value than that of the user is kept': {
    sql: `UPDATE user_claims SET value = 'somebody' WHERE "userId" = '${CAY}'`,
    found: [{ kind: 'CLAIM_DIFFERS', userId: CAY }]
  },
  'a unique field is kept for another tenant': {
    sql: `UPDATE user_claims SET "tenantId" = '${TENANT}' WHERE "userId" = '${ADA}'`,
    found: [{ kind: 'CLAIM_DIFFERS', userId: ADA }]
  },
  'a unique field of a user who was deleted is kept': {
    sql: `INSERT INTO user_claims ("tenantId", field, value, "userId") SELECT "tenantId", field, 'bob', '${BOB}' FROM user_claims WHERE "userId" = '${ADA}'`,
    found: [{ kind: 'CLAIM_DIFFERS', userId: BOB }]
  }
}

const store = await healthy(t)

t.test('of a store that is right nothing is found', async (t) => {
  const found = await verifyAll(store)
  t.match(found, { code: 0, err: '', correct: true, findings: [], more: 0 })
  const [{ events, users }] = (await store.run<{ events: number; users: number }>(
    'SELECT count(*)::integer AS events, count(DISTINCT "aggregateId")::integer AS users FROM user_events'
  )) as [{ events: number; users: number }]
  t.match(found.looked, { events, users, rows: users, snapshots: 1, offlineUsers: 0 }, 'and everything was looked at')
})

for (const [name, { sql, found: expected }] of Object.entries(DAMAGES)) {
  t.test(`${name}: found, and nothing else`, async (t) => {
    const database = await testDatabase(t, { template: store.name })
    await damage(database, sql)
    const { code, correct, findings } = await verifyAll(database)
    t.strictSame({ code, correct }, { code: 1, correct: false })
    t.match(sorted(findings), sorted(expected), { findings })
    t.equal(findings.length, expected.length)
    const user = expected.find(({ userId }) => userId)?.userId
    if (!user) return
    const tenant = user === CAY ? ['--tenant', TENANT] : []
    const alone = await runIn({ DATABASE_URL: database.url }, 'verify', user, ...tenant, '--json')
    t.equal(alone.code, 1, 'also when the user is asked for')
    const ofUser = expected.filter(({ userId }) => userId === user)
    t.match(sorted(JSON.parse(alone.out).findings), sorted(ofUser), alone.out)
  })
}

const sorted = (findings: Expected[]): Expected[] =>
  [...findings].sort((a, b) => `${a.kind}/${a.userId}`.localeCompare(`${b.kind}/${b.userId}`))

t.test('that the directory put a user aside is known, and no damage', async (t) => {
  const database = await testDatabase(t, { template: store.name })
  await damage(
    database,
    `${DAMAGES['a row of the directory is old']!.sql};
     UPDATE user_activity_events SET events = events - 1 WHERE "eventType" = 'UserUpdated';
     INSERT INTO projection_parked (bucket, worker, "aggregateId", "tenantId", position, version, error)
     SELECT bucket, 'projection/users', "aggregateId", "tenantId", position, version, 'x' FROM user_events WHERE ${ofAda} AND version = 12`
  )
  t.match(await verifyAll(database), { code: 0, correct: true, findings: [] })
})

t.test('several buckets, an archive and a partition that is offline', async (t) => {
  const database = await healthy(t, { EVENT_BUCKETS: '3' })
  t.match(await verifyAll(database), { code: 0, correct: true })
  const misplaced = await testDatabase(t, { template: database.name })
  await damage(
    misplaced,
    `UPDATE user_events SET bucket = (bucket + 1) % 3, position = 1000 + version WHERE ${ofAda};
     DELETE FROM user_snapshots; UPDATE user_read_model SET bucket = (bucket + 1) % 3 WHERE "userId" = '${ADA}';
     UPDATE user_read_state SET bucket = (bucket + 1) % 3, "lastPosition" = 1012 WHERE "userId" = '${ADA}'`
  )
  const kinds = (await verifyAll(misplaced)).findings.map(({ kind }: Expected) => kind)
  t.strictSame([...new Set(kinds)].sort(), ['EVENT_BUCKET', 'POSITION_MISSING'])
  const service = await testService(t, { database, background: true, env: { ...FAST, ...UNIQUE, EVENT_BUCKETS: '3' } })
  const { status } = await archived(service, { olderThanDays: 0 })
  t.equal(status, 'done')
  t.match(await verifyAll(database), { code: 0, correct: true, looked: { users: 43, offlineUsers: 0 } })
  await service.service.stop()
  const [{ name }] = (await database.run<{ name: string }>('SELECT DISTINCT name FROM archive_partitions')) as [
    { name: string }
  ]
  const folder = await mkdtemp(join(tmpdir(), 'user-events-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const env = { DATABASE_URL: database.url }
  t.match(await runIn(env, 'archive', 'export', '--partition', name, '--to', folder), { code: 0 })
  t.match(await runIn(env, 'archive', 'detach', '--partition', name), { code: 0 })
  const found = await verifyAll(database)
  t.match(found, { code: 0, correct: true, findings: [] })
  t.ok(found.looked.offlineUsers > 30, 'whose state is not known')
  await damage(database, `DELETE FROM user_events_offline WHERE "aggregateId" = '${ADA}' AND version = 5`)
  t.match(sorted((await verifyAll(database)).findings), [
    { kind: 'POSITION_MISSING' },
    { kind: 'VERSION_MISSING', version: 5 }
  ])
})

t.test('more than a page holds of everything: events of one user, users, snapshots and rows', async (t) => {
  const database = await testDatabase(t)
  const service = await testService(t, { database, background: true })
  const { append, post, get } = service
  const long = newUserId()
  await append(long, [userCreated('long'), ...updates(999)])
  for (let i = 0; i < 2; i++) await append(long, updates(700))
  const USERS = 450
  for (let i = 0; i < USERS; i += 50)
    await Promise.all(Array.from({ length: 50 }, (_, n) => append(newUserId(), [userCreated(`u${i + n}`)])))
  await followed(service)
  const { fingerprint } = (await post(`/admin/users/${long}/snapshots`)).data
  await until(async () => (await get('/stats/events')).data.totalEvents === 2400 + USERS)
  await service.service.stop()
  await database.run(`
    INSERT INTO user_snapshots (id, bucket, "aggregateId", version, state, fingerprint, "tenantId", metadata, "createdAt")
    SELECT gen_random_uuid(), bucket, "userId", "lastUpdatedVersion", state, '${fingerprint}', "tenantId", '{}', now()
    FROM user_read_state ON CONFLICT DO NOTHING`)
  const [{ snapshots }] = (await database.run<{ snapshots: number }>(
    'SELECT count(*)::integer AS snapshots FROM user_snapshots'
  )) as [{ snapshots: number }]
  t.ok(snapshots > USERS)
  const looked = { users: USERS + 1, events: 2400 + USERS, rows: USERS + 1, snapshots, offlineUsers: 0 }
  for (const parallel of ['1', '32']) {
    const found = await verifyAll(database, '--parallel', parallel)
    t.match(found, { code: 0, correct: true })
    t.strictSame(found.looked, looked)
  }
  await damage(
    database,
    `UPDATE user_snapshots SET state = state || '{"phone": "x"}' WHERE "aggregateId" IN (SELECT min("userId"::text)::uuid FROM user_read_model UNION SELECT max("userId"::text)::uuid FROM user_read_model);
     DELETE FROM user_events WHERE "aggregateId" = '${long}' AND version IN (1000, 2000, 2001)`
  )
  const { findings } = await verifyAll(database)
  const kinds = findings.map(({ kind, version, position }: Expected) => `${kind} ${version ?? ''} ${position ?? ''}`)
  t.match(kinds.filter((kind: string) => !kind.startsWith('SNAPSHOT')).sort(), [
    /^POSITION_MISSING/,
    /^POSITION_MISSING/,
    /^VERSION_MISSING 1000 /
  ])
  t.equal(kinds.filter((kind: string) => kind.startsWith('SNAPSHOT_DIFFERS')).length, 2)
})

t.test('a store that is written to meanwhile is right all the time', async (t) => {
  const database = await testDatabase(t, { template: store.name })
  const { append, post } = await testService(t, { database, background: true, env: UNIQUE })
  let ended = false
  let appended = 0
  async function write(): Promise<void> {
    const mine = newUserId()
    await append(mine, [userCreated(mine)])
    while (!ended) {
      await append(mine, [...updates(6), userUpdated({ username: `${mine} ${appended}` })])
      const other = newUserId()
      await append(other, [userCreated(other)])
      await post(`/admin/users/${mine}/snapshots`)
      appended++
    }
  }
  const writers = Promise.all([write(), write()])
  for (let round = 0; round < 5; round++) t.match(await verifyAll(database), { code: 0, correct: true, findings: [] })
  ended = true
  await writers
  t.ok(appended > 20, `${appended} appends`)
})

t.test('what changes between two reads is looked at once more', async (t) => {
  const database = await testDatabase(t, { template: store.name })
  const service = await testService(t, { database, background: true, env: UNIQUE })
  const db = openDb(database.url, { poolMax: 2, rows: 'all' })
  t.teardown(() => db.close())
  let changed = false
  const meanwhile: Db = {
    ...db,
    async query<Row extends object>(...args: Parameters<Db['query']>) {
      const rows = await db.query<Row>(...args)
      if (changed || !args[0].includes('user_events_offline')) return rows
      changed = true
      await service.append(ADA, updates(2))
      await service.append(newUserId(), [userCreated()])
      await followed(service)
      await service.post(`/admin/users/${ADA}/snapshots`)
      return rows
    }
  }
  const eventTypes = createEventTypeService({ db, onPatchFailed: () => {} })
  const verifier = createStoreVerifier({ db: meanwhile, eventTypes, projection: usersProjection, buckets: 1 })
  const { findings } = await verifier.run({ kind: 'users', bucket: 0, after: null, upTo: null })
  t.strictSame(findings, [])
  t.ok(changed)
})

t.test('what was ended goes on from its state', async (t) => {
  const database = await testDatabase(t, { template: store.name })
  await damage(database, DAMAGES['the state of a snapshot was changed']!.sql)
  const folder = await mkdtemp(join(tmpdir(), 'user-events-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'state.json')
  const [{ id }] = (await database.run<{ id: string }>('SELECT id FROM store_identity')) as [{ id: string }]
  const db = openDb(database.url, { poolMax: 2, rows: 'all' })
  const eventTypes = createEventTypeService({ db, onPatchFailed: () => {} })
  const verifier = createStoreVerifier({ db, eventTypes, projection: usersProjection, buckets: 1 })
  const state = await openVerifyState(file, id, () => verifier.tasks(8))
  const ofAda = (task: Task) => task.kind === 'users' && (task.after ?? '') < ADA && ADA <= (task.upTo ?? 'g')
  t.ok(state.left().length > 5, `${state.left().length} steps`)
  for (const task of state.left().filter(ofAda)) await state.note(task, await verifier.run(task))
  await db.close()
  // Damage to what was looked at is not seen any more, damage to the rest is.
  await damage(
    database,
    `UPDATE user_read_model SET "fullName" = 'x' WHERE "userId" IN ('${ADA}', '${newest(state.left())}')`
  )
  const found = await verifyAll(database, '--state', file)
  t.match(sorted(found.findings), [{ kind: 'READ_MODEL_DIFFERS' }, { kind: 'SNAPSHOT_DIFFERS', userId: ADA }])
  t.not(found.findings.find(({ kind }: Expected) => kind === 'READ_MODEL_DIFFERS').userId, ADA)
  t.equal(found.looked.users, 43)
  await t.rejects(readFile(file), { code: 'ENOENT' }, 'and the next one begins anew')

  await writeFile(file, '{"version": 1, "storeId": "other"}')
  t.match(await verifyAll(database, '--state', file), { code: 2, err: /is of the store other/ })
  await writeFile(file, 'text')
  t.match(await verifyAll(database, '--state', file), { code: 2, err: /is no state of verify/ })
})

/** The last user of a range that is still to be looked at. */
const newest = (left: readonly Task[]): string =>
  left.flatMap((task) => (task.kind === 'users' && task.upTo ? task.upTo : [])).at(-1)!

t.test('what was typed is checked', async (t) => {
  const env = { DATABASE_URL: store.url }
  t.match(await runIn(env, 'verify'), { code: 2, err: /Name a user, or say --all/ })
  t.match(await runIn(env, 'verify', ADA, '--all'), { code: 2, err: /Name a user, or say --all/ })
  t.match(await runIn(env, 'verify', ADA, '--state', 'x'), { code: 2, err: /--state is for --all/ })
  t.match(await runIn(env, 'verify', '--all', '--parallel', '0'), { code: 2, err: /whole number from 1 to 32/ })
  t.match(await runIn(env, 'verify', '--all', '--parallel', '33'), { code: 2, err: /whole number from 1 to 32/ })
  t.match(await runIn(env, 'verify', '--all', '--url', 'http://127.0.0.1:1'), {
    code: 2,
    err: /works on the database only/
  })
  t.match(await runIn(env, 'verify', CAY), { code: 3, err: /No user/ }, "another tenant's user is nobody")
  t.match(await runIn(env, 'verify', newUserId()), { code: 3, err: /No user/ })
})

onEach(t, await cliTargets(t))(
  'a user is right, wherever the store is',
  async (t, { name, append, ask, json, run, env }) => {
    const userId = newUserId()
    await append(userId, [userCreated(), ...updates(3)])
    await ask('POST', `/admin/users/${userId}/snapshots`)
    t.match(await json(['verify', userId]), { correct: true, findings: [] })
    t.match(await run('verify', userId), { code: 0, out: /^All is right: 4 events of 1 users\.\n$/ })
    if (name !== '--url')
      t.match(await run('verify', '--all', '--parallel', '1'), { code: 0, out: /^All is right: \d+ events/ })
    if (name !== 'DATABASE_URL') return
    const { run: sql } = await import('../support/db.js').then(({ asAdmin }) => ({
      run: (text: string) => asAdmin(text, new URL(env.DATABASE_URL!).pathname.slice(1))
    }))
    await sql(
      `UPDATE user_snapshots SET state = jsonb_set(state, '{totalLogins}', '7') WHERE "aggregateId" = '${userId}'`
    )
    const { code, out } = await run('verify', userId)
    t.equal(code, 1)
    t.match(
      out,
      new RegExp(
        `^finding +user +version +position +detail\nSNAPSHOT_DIFFERS +${userId} +4 +- +It should be different at /totalLogins\\.`
      )
    )
  }
)
