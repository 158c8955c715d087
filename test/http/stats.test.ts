/** Numbers about the store are exact, whether the background work has counted the events already or not. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { loggedIn, newUserId, updates, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { verdict } from '../support/problem.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const tenant = { 'x-tenant-id': randomUUID() }

/** What must be shown, counted from the table itself. */
async function counted({ database }: TestService, tenantId = '00000000-0000-0000-0000-000000000000') {
  const rows = await database.run<{ eventType: string; n: number; users: number; oldest: Date; newest: Date }>(
    `SELECT "eventType", count(*)::integer AS n, count(*) FILTER (WHERE version = 1)::integer AS users,
       min("createdAt") AS oldest, max("createdAt") AS newest
     FROM user_events WHERE "tenantId" = '${tenantId}' GROUP BY "eventType"`
  )
  const times = rows.flatMap(({ oldest, newest }) => [oldest.toISOString(), newest.toISOString()]).sort()
  return {
    totalEvents: rows.reduce((sum, { n }) => sum + n, 0),
    totalUsers: rows.reduce((sum, { users }) => sum + users, 0),
    eventsByType: Object.fromEntries(rows.map(({ eventType, n }) => [eventType, n])),
    oldestEvent: times[0] ?? null,
    newestEvent: times.at(-1) ?? null
  }
}

async function shown({ get }: TestService, headers: Record<string, string> = {}) {
  const { storageBytes, ...numbers } = (await get('/stats/events', headers)).data
  return { storageBytes, numbers }
}

async function fill({ append }: TestService): Promise<void> {
  await append(newUserId(), [userCreated(), ...updates(4), loggedIn()])
  await append(newUserId(), [userCreated(), userDeleted()])
  await append(newUserId(), [userUpdated()])
  await append(newUserId(), [userCreated(), loggedIn()], { headers: tenant })
}

t.test('an empty store', async (t) => {
  const service = await testService(t)
  const { numbers, storageBytes } = await shown(service)
  t.strictSame(numbers, { totalEvents: 0, totalUsers: 0, eventsByType: {}, oldestEvent: null, newestEvent: null })
  t.type(storageBytes, 'number')
  t.strictSame((await service.get('/stats/snapshots')).data, {
    totalSnapshots: 0,
    snapshotsByAggregate: [],
    averageSnapshotSize: 0,
    oldestSnapshot: null,
    newestSnapshot: null
  })
})

t.test('events are counted at once when nothing runs in the background', async (t) => {
  const service = await testService(t)
  await fill(service)
  const { numbers, storageBytes } = await shown(service)
  t.strictSame(numbers, {
    ...(await counted(service)),
    totalEvents: 8,
    totalUsers: 2,
    eventsByType: { UserCreated: 2, UserUpdated: 4, LoginInfoUpdated: 1, UserDeleted: 1 }
  })
  t.ok(storageBytes > 0)
  t.strictSame((await shown(service, tenant)).numbers, await counted(service, tenant['x-tenant-id']))
  t.equal((await shown(service, { 'x-tenant-id': randomUUID() })).numbers.totalEvents, 0)
})

t.test('events are counted once when the background work has counted them, and the later ones too', async (t) => {
  const service = await testService(t, { background: true })
  await fill(service)
  await until(async () => {
    const [row] = await service.database.run<{ position: string }>(
      "SELECT position FROM workers WHERE name = 'statistics' AND position = (SELECT max(position) FROM user_events)"
    )
    return row
  })
  t.strictSame((await shown(service)).numbers, await counted(service))
  await fill(service)
  t.strictSame((await shown(service)).numbers, await counted(service))
  t.strictSame((await shown(service, tenant)).numbers, await counted(service, tenant['x-tenant-id']))
  t.equal((await shown(service)).numbers.totalEvents, 16)
})

t.test('snapshots are counted by user, the largest first, for one tenant', async (t) => {
  const service = await testService(t)
  const { append, get, post } = service
  const users: string[] = []
  const sizes: number[] = []
  for (const count of [1, 3, 2]) {
    const userId = newUserId()
    users.push(userId)
    for (let i = 0; i < count; i++) {
      await append(userId, [i === 0 ? userCreated() : userUpdated({ fullName: 'x'.repeat(i * 10) })])
      sizes.push((await post(`/admin/users/${userId}/snapshots`)).data.metadata.snapshotSize)
    }
  }
  const elsewhere = newUserId()
  await append(elsewhere, [userCreated()], { headers: tenant })
  await post(`/admin/users/${elsewhere}/snapshots`, {}, tenant)
  const { data } = await get('/stats/snapshots')
  t.equal(data.totalSnapshots, 6)
  t.strictSame(data.snapshotsByAggregate, [
    { aggregateId: users[1], snapshots: 3 },
    { aggregateId: users[2], snapshots: 2 },
    { aggregateId: users[0], snapshots: 1 }
  ])
  const average = sizes.reduce((sum, size) => sum + size, 0) / 6
  t.ok(Math.abs(data.averageSnapshotSize - average) < 1e-6)
  t.ok(data.oldestSnapshot <= data.newestSnapshot)
  t.equal((await get('/stats/snapshots', tenant)).data.totalSnapshots, 1)
  const limited = await get('/stats/snapshots?limit=2')
  t.strictSame(limited.data, { ...data, snapshotsByAggregate: data.snapshotsByAggregate.slice(0, 2) })
  t.strictSame((await get('/stats/snapshots?limit=1')).data.snapshotsByAggregate, data.snapshotsByAggregate.slice(0, 1))
  t.equal(verdict(await get('/stats/snapshots?limit=1000')), '200')
  for (const limit of ['0', '1001', '-1', 'x']) {
    t.equal(verdict(await get(`/stats/snapshots?limit=${limit}`)), '400 VALIDATION_FAILED', limit)
  }
})
