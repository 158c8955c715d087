/** What happened by day: counted as events were recorded, which is when imported history says. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'

const { ask, get } = await testService(t, { background: true })

type Line = [day: string, user: number, version: number, eventType: string, eventData: object]

const created = { username: 'ada', email: 'ada@example.com' }
const login = { ipAddress: '203.0.113.7', loginAt: '2026-01-01T00:00:00.000Z' }
const lock = { reason: 'guessing', loginAttempts: 3, lockedUntil: '2026-02-01T00:00:00.000Z' }

async function importAll(headers: Record<string, string>, lines: Line[]): Promise<number> {
  const users = [randomUUID(), randomUUID(), randomUUID()]
  const payload = lines
    .map(([day, user, version, eventType, eventData]) =>
      JSON.stringify({
        id: randomUUID(),
        aggregateId: users[user],
        version,
        eventType,
        schemaVersion: 1,
        eventData,
        createdAt: `${day}T12:00:00.000Z`
      })
    )
    .join('\n')
  const answer = await ask({
    method: 'POST',
    url: '/events/import',
    headers: { ...headers, 'content-type': 'application/x-ndjson' },
    payload
  })
  return answer.data.head
}

const none = { active: 0, inactive: 0, suspended: 0, deleted: 0, locked: 0 }

t.test('events, sign-ins and users of each day', async (t) => {
  const headers = { 'x-tenant-id': randomUUID() }
  const head = await importAll(headers, [
    ['2026-01-01', 0, 1, 'UserCreated', created],
    ['2026-01-01', 1, 1, 'UserCreated', created],
    ['2026-01-02', 0, 2, 'LoginInfoUpdated', login],
    ['2026-01-02', 1, 2, 'AccountLocked', lock],
    ['2026-01-04', 2, 1, 'UserCreated', created],
    ['2026-01-04', 2, 2, 'UserUpdated', { status: 'suspended' }],
    ['2026-01-04', 1, 3, 'UserDeleted', { deletedBy: 'support' }]
  ])
  const { data } = await get(`/stats/activity?from=2026-01-01&to=2026-01-05&atLeast=${head}`, headers)
  t.ok(data.position >= head)
  t.strictSame(
    data.intervals.map(({ from, events, signIns, users }: Record<string, any>) => [from, events, signIns, users]),
    [
      ['2026-01-01', 2, 0, { ...none, active: 2 }],
      ['2026-01-02', 2, 1, { ...none, active: 2, locked: 1 }],
      ['2026-01-03', 0, 0, { ...none, active: 2, locked: 1 }],
      ['2026-01-04', 3, 0, { ...none, active: 1, suspended: 1, deleted: 1 }]
    ]
  )
  t.strictSame(data.intervals[3].eventsByType, { UserCreated: 1, UserDeleted: 1, UserUpdated: 1 })
  const months = await get('/stats/activity?from=2025-12-15&to=2026-02-01&interval=month', headers)
  t.strictSame(
    months.data.intervals.map(({ from, to, events, users }: Record<string, any>) => [from, to, events, users.active]),
    [
      ['2025-12-15', '2026-01-01', 0, 0],
      ['2026-01-01', '2026-02-01', 7, 1]
    ]
  )
  const weeks = await get('/stats/activity?from=2026-01-02&to=2026-01-06&interval=week', headers)
  t.strictSame(
    weeks.data.intervals.map(({ from, to, events, users }: Record<string, any>) => [from, to, events, users.active]),
    [
      ['2026-01-02', '2026-01-05', 5, 1],
      ['2026-01-05', '2026-01-06', 0, 1]
    ]
  )
  const elsewhere = await get('/stats/activity?from=2026-01-01&to=2026-01-05', { 'x-tenant-id': randomUUID() })
  t.equal(
    elsewhere.data.intervals.reduce((sum: number, { events }: { events: number }) => sum + events, 0),
    0
  )
})

t.test('without a span it ends with today', async (t) => {
  const { data } = await get('/stats/activity')
  t.equal(data.intervals.length, 30)
  t.equal(data.to, new Date(Date.now() + 86_400_000).toISOString().slice(0, 10))
})

t.test('spans and intervals that make no sense', async (t) => {
  refused(t, await get('/stats/activity?from=2026-01-02&to=2026-01-02'), '400 RANGE_INVALID', { pointer: '/from' })
  refused(t, await get('/stats/activity?from=2000-01-01&to=2026-01-01'), '400 RANGE_INVALID', { pointer: '/interval' })
  for (const query of ['from=today', 'to=2026-02-30', 'interval=hour', 'from=2026-01-01T00:00:00Z', 'x=1'])
    t.equal(verdict(await get(`/stats/activity?${query}`)), '400 VALIDATION_FAILED', query)
  t.equal(verdict(await get('/stats/activity?from=0001-01-01&to=0001-01-02')), '200')
  t.equal(verdict(await get('/stats/activity?from=0000-01-01&to=0000-01-02')), '400 RANGE_INVALID')
})
