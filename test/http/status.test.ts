/** What holds back those who follow the log is named: nobody at work, a sink, a user, a transaction. */
import postgres from 'postgres'
import t from 'tap'
import { newUserId, updates, userCreated } from '../support/events.js'
import { type TestService, testService } from '../support/service.js'
import { testTaker } from '../support/taker.js'
import { until } from '../support/wait.js'

type Follower = { name: string; kind: string; lagEvents: number; leases: object[]; holdups: { code: string }[] }

const read = async ({ get }: TestService) => (await get('/admin/status')).data
const followersOf = async (service: TestService): Promise<Follower[]> => (await read(service)).followers
const find = async (service: TestService, kind: string): Promise<Follower | undefined> =>
  (await followersOf(service)).find((each) => each.kind === kind)

/** The follower of that kind once it has this holdup. */
const heldUp = (service: TestService, kind: string, code: string) =>
  until(
    async () => {
      const follower = await find(service, kind)
      return follower?.holdups.some((each) => each.code === code) ? follower : null
    },
    { what: `${code} of ${kind}` }
  )

const background = { background: true, env: { WEBHOOK_PRIVATE_ADDRESSES: 'true' } }

t.test('nothing is held back where everything goes on, and the instance is told that works on it', async (t) => {
  const service = await testService(t, background)
  t.strictSame((await read(await testService(t))).followers, [], 'before the first start')
  await service.append(newUserId(), [userCreated(), ...updates(4)])
  await until(async () => {
    const followers = await followersOf(service)
    return followers.length === 3 && followers.every(({ lagEvents }) => lagEvents === 0)
  })
  const { instance, followers, unread, blocking } = await read(service)
  t.equal(instance, service.service.instance)
  t.strictSame({ unread, blocking }, { unread: null, blocking: [] })
  const lease = { bucket: 0, holder: instance, here: true }
  t.match(followers, [
    { name: 'users', kind: 'projection', leases: [lease], holdups: [] },
    { name: 'snapshots', kind: 'snapshots', leases: [lease], holdups: [] },
    { name: 'statistics', kind: 'statistics', leases: [lease], holdups: [] }
  ])
  for (const { leases } of followers) t.ok(leases[0].secondsLeft > 0 && leases[0].secondsLeft <= 10)
  const other = await testService(t, { database: service.database })
  t.match((await followersOf(other))[0], { leases: [{ holder: instance, here: false }] })
})

t.test('that nobody works is told where something is left to do', async (t) => {
  const first = await testService(t, background)
  await first.append(newUserId(), [userCreated()])
  await until(async () => (await followersOf(first)).filter(({ lagEvents }) => lagEvents === 0).length === 3)
  await first.service.stop()
  const service = await testService(t, { database: first.database })
  for (const { holdups } of await followersOf(service)) t.strictSame(holdups, [])
  await service.append(newUserId(), [userCreated()])
  const followers = await followersOf(service)
  t.equal(followers.length, 3)
  for (const { name, lagEvents, leases, holdups } of followers) {
    t.equal(lagEvents, 1, name)
    t.match(leases, [{ here: false }])
    t.match(holdups, [{ code: 'NO_LEASE', userId: null, detail: /^No instance works on it\. Start the service/ }])
  }
})

t.test('of a subscription: a sink that does not answer, a user who is blocked, a pause', async (t) => {
  const service = await testService(t, background)
  const { post, append } = service
  const userId = newUserId()
  await append(userId, [userCreated(), ...updates(2)])
  const taker = await testTaker(t)
  taker.answer = ({ userversion }) => (userversion === 2 ? 500 : 200)
  const retry = { baseDelayMs: 10, factor: 1, jitter: 0, maxDelayMs: 10, maxAttempts: 2 }
  const sink = { kind: 'webhook', url: taker.url }
  t.equal(
    (await post('/admin/subscriptions?scope=global', { name: 'crm', sink, start: 'beginning', retry })).statusCode,
    201
  )
  const blocked = await heldUp(service, 'subscription', 'USER_BLOCKED')
  t.match(blocked, {
    name: 'crm',
    leases: [{ bucket: 0, holder: service.service.instance }],
    holdups: [
      {
        code: 'USER_BLOCKED',
        userId,
        detail: /^Version 2 could not be .* \/admin\/subscriptions\/crm\/outbox\?scope=global\.$/
      }
    ]
  })
  await post('/admin/subscriptions/crm/pause?scope=global')
  t.match((await heldUp(service, 'subscription', 'PAUSED')).holdups, [
    { code: 'PAUSED', userId: null, detail: /POST \/admin\/subscriptions\/crm\/resume\?scope=global/ },
    { code: 'USER_BLOCKED' }
  ])

  const nowhere = { kind: 'webhook', url: 'http://127.0.0.1:1/hook' }
  await post('/admin/subscriptions', { name: 'erp', sink: nowhere, start: 'beginning', retry })
  const failing = await until(async () =>
    (await followersOf(service)).find(
      ({ name, holdups }) => name === 'default/erp' && holdups.some(({ code }) => code === 'SINK_FAILS')
    )
  )
  t.match(failing.holdups[0], {
    code: 'SINK_FAILS',
    userId: null,
    detail: /does not answer: .*It is tried again by itself/
  })
})

t.test('of a projection: who is put aside, the one who waits longest first', async (t) => {
  const service = await testService(t, background)
  const [first, second] = [newUserId(), newUserId()]
  await service.database.run(`INSERT INTO projection_parked (bucket, worker, "aggregateId", "tenantId", position, version, error, "createdAt", "triedAt")
    SELECT 0, 'projection/users', id::uuid, gen_random_uuid(), 1, 7, 'the row is too wide', now() - age::interval, now() + interval '1 hour'
    FROM (VALUES ('${second}', '1 minute'), ('${first}', '2 minutes')) AS p(id, age)`)
  t.match((await heldUp(service, 'projection', 'USER_PARKED')).holdups, [
    {
      code: 'USER_PARKED',
      userId: first,
      detail:
        '2 users are put aside, this one the longest, from version 7 on: the row is too wide. See GET /admin/projections/users/parked.'
    }
  ])
})

t.test('a transaction that has locked the log is named, though nothing else can be read', async (t) => {
  const service = await testService(t, background)
  await service.append(newUserId(), [userCreated()])
  const sql = postgres(service.database.url, {
    max: 1,
    fetch_types: false,
    connection: { application_name: 'a console' }
  })
  t.teardown(() => sql.end({ timeout: 5 }))
  await sql`BEGIN`.simple()
  await sql`LOCK TABLE user_events IN ACCESS EXCLUSIVE MODE`.simple()
  const [{ pid }] = (await sql`SELECT pg_backend_pid() AS pid`) as unknown as [{ pid: number }]
  const { followers, unread, blocking } = await read(service)
  t.equal(followers, null)
  t.match(unread, /^They cannot be read \((55P03|57014)\)\.$/)
  t.match(blocking, [{ pid, application: 'a console', state: 'idle in transaction' }])
  t.ok(blocking[0].waiting >= 1 && blocking[0].waitingSeconds >= 0.5 && blocking[0].transactionSeconds >= 0.5)
  await sql`ROLLBACK`.simple()
  const after = await until(async () => {
    const now = await read(service)
    return now.unread === null ? now : null
  })
  t.strictSame(after.blocking, [])
})
