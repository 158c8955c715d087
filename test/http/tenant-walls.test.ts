/**
 * Two walls stand between tenants: statements that ask for rows of one tenant, and row-level security. Each alone keeps what is another
 * tenant's from every route that reads; without both it is shown, so that it is the walls which keep it.
 */
import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { operationsOf } from '../support/access.js'
import { archived, FAST, followed } from '../support/archive.js'
import { type TestDatabase, testDatabase } from '../support/db.js'
import { updates, userCreated } from '../support/events.js'
import { importedEvent, sendLines } from '../support/import.js'
import { startRewriter } from '../support/rewriter.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const [owner, stranger] = [randomUUID(), randomUUID()]
/** Users of `owner`, whose events but the newest are in the archive: one of 2020, one of now; and one who is nowhere. */
const [old, fresh, missing] = [randomUUID(), randomUUID(), randomUUID()]
const as = (tenantId: string) => ({ 'x-tenant-id': tenantId })

/** What reads for a tenant, by operation; `:old` and `:fresh` stand for users. */
const READS: Record<string, string[]> = {
  readEvents: [
    'GET /users/:old/events?limit=50',
    'GET /users/:old/events?limit=3&direction=backward',
    'GET /users/:fresh/events?eventType=UserCreated',
    'GET /users/:fresh/events?fromVersion=2&to=2100-01-01T00:00:00Z'
  ],
  readEvent: ['GET /users/:old/events/1', 'GET /users/:fresh/events/2'],
  readFeed: [
    'GET /events',
    'GET /events?eventType=UserCreated',
    'GET /events?userId=:old',
    'GET /events?direction=backward'
  ],
  exportEvents: ['GET /events/export', 'GET /events/export?userId=:old', 'GET /events/export?to=2020-06-01T00:00:00Z'],
  listUsers: [
    'GET /users',
    'GET /users?q=canary',
    'GET /users?username=canary-fresh',
    'GET /users?status=active&sort=username'
  ],
  countUsers: ['GET /users/count', 'GET /users/count?q=canary'],
  readEffects: ['GET /users/:fresh/effects', 'GET /users/:old/effects'],
  readUser: ['GET /users/:fresh', 'GET /users/:old'],
  readState: [
    'GET /users/:old/state',
    'GET /users/:old/state?version=2',
    'GET /users/:old/state?at=2020-01-01T00:00:00.003Z',
    'GET /users/:fresh/state',
    'GET /users/:fresh/state?useSnapshot=false'
  ],
  diffStates: ['GET /users/:fresh/diff?fromVersion=1&toVersion=3', 'GET /users/:old/diff?fromVersion=1&toVersion=4'],
  listSnapshots: ['GET /users/:fresh/snapshots'],
  readLatestSnapshot: ['GET /users/:fresh/snapshots/latest'],
  verifyUser: ['POST /admin/users/:fresh/verify'],
  readEventStatistics: ['GET /stats/events'],
  readSnapshotStatistics: ['GET /stats/snapshots'],
  readActivity: ['GET /stats/activity?from=2020-01-01&to=2020-03-01&interval=month'],
  listApiKeys: ['GET /admin/api-keys'],
  readAudit: ['GET /admin/audit'],
  readSubscription: ['GET /admin/subscriptions/canary'],
  listOwedEvents: ['GET /admin/subscriptions/canary/outbox'],
  readOwedEvent: ['GET /admin/subscriptions/canary/outbox/:fresh/1']
}

/** What reads for a tenant in the memory of the process, where no statement stands between, or reads for all, or shows what others read. */
const OTHERS = [
  'readTenantStatistics',
  'streamFeed',
  'listEventTypes',
  'readEventType',
  'listSubscriptions',
  'readMe',
  'isLive',
  'isReady'
]

/** Takes every condition on the tenant out of a statement; what it was compared with is still a parameter. */
function withoutTenants(text: string): string {
  return text
    .replaceAll(/(?:(?:"\w+"|\w+)\.)?"tenantId" (?:=|IS NOT DISTINCT FROM) (\$\d+)(?:::uuid)?/g, '$1::uuid IS NOT NULL')
    .replaceAll('uncounted_statistics(b.bucket::smallint, $1::uuid)', 'uncounted_statistics(b.bucket::smallint, NULL)')
}

/** Two users of `owner`, with snapshots, statistics, a key, and a subscription that owes their events. */
async function fill(t: Test, database: TestDatabase): Promise<void> {
  const service = await testService(t, {
    database,
    background: true,
    env: { ...FAST, WEBHOOK_PRIVATE_ADDRESSES: 'true' }
  })
  const { append, get, post } = service
  const lines = [userCreated('canary-old'), ...updates(8)].map((content, i) => importedEvent(old, i + 1, content))
  t.equal((await sendLines(service, lines, as(owner))).statusCode, 200)
  await append(fresh, [userCreated('canary-fresh'), ...updates(4)], { headers: as(owner) })
  await followed(service)
  await archived(service, { olderThanDays: 0 })
  t.equal((await post(`/admin/users/${fresh}/snapshots`, undefined, as(owner))).statusCode, 200)
  const sink = { kind: 'webhook', url: 'http://127.0.0.1:9/canary' }
  const made = await post('/admin/subscriptions', { name: 'canary', sink, start: 'beginning' }, as(owner))
  t.equal(made.statusCode, 201, made.body)
  await post('/admin/subscriptions/canary/pause', undefined, as(owner))
  await database.run(`INSERT INTO event_outbox (bucket, "subscriptionId", position, "aggregateId", version, status, attempts)
    SELECT 0, id, 10, '${fresh}', 1, 'dead', 1 FROM subscriptions ON CONFLICT DO NOTHING`)
  await get(`/users?atLeast=14`, as(owner))
  await until(async () => (await database.run(`SELECT FROM event_statistics WHERE "tenantId" = '${owner}'`)).length > 0)
  const [kept] = await database.run<{ n: number }>(
    `SELECT count(*)::integer AS n FROM user_events_archive WHERE "tenantId" = '${owner}'`
  )
  t.equal(kept!.n, 12, 'all but the newest of each')
  // From now on requests need a key.
  t.equal((await post('/admin/api-keys', { name: 'canary', scopes: ['state:read'] }, as(owner))).statusCode, 201)
  await service.service.stop()
}

/** Answers to `tenantId` by question; with users who are nowhere in place of the others if `nobody`. */
async function answers({ ask }: TestService, tenantId: string, { nobody = false, key = '' } = {}) {
  const found = new Map<string, string>()
  for (const question of Object.values(READS).flat()) {
    const [method, path] = question.split(' ') as ['GET' | 'POST', string]
    const id = (name: string) => (nobody ? missing : name)
    const url = path.replace(':old', id(old)).replace(':fresh', id(fresh))
    const headers = { ...as(tenantId), ...(key && { authorization: `Bearer ${key}` }) }
    const { statusCode, body } = await ask({ method, url, headers })
    const names = new RegExp([old, fresh, missing].join('|'), 'g')
    // What is asked for stands in the answer; when it was asked, and what the whole store takes, are no rows.
    const shown = nobody || statusCode >= 400 ? body.replaceAll(names, '<user>') : body
    found.set(question, `${statusCode} ${shown.replace(/"(storageBytes|position|head)":\d+/g, '')}`)
  }
  return found
}

t.test('what another tenant has is kept back by statements alone, and by row-level security alone', async (t) => {
  const database = await testDatabase(t)
  await fill(t, database)
  const rewritten = new Set<string>()
  const url = await startRewriter(t, database.url, (text) => {
    const changed = withoutTenants(text)
    if (changed !== text) rewritten.add(changed)
    return changed
  })
  const service = (on: boolean, statements: boolean) =>
    testService(t, {
      database: statements ? database : { ...database, url },
      env: { ROW_LEVEL_SECURITY: String(on), BOOTSTRAP_ADMIN_KEY: KEY }
    })
  const KEY = `canary-${randomUUID()}-${randomUUID()}`
  const both = await service(true, true)

  await t.test('all that reads for a tenant is asked', async (t) => {
    const reading = operationsOf(both.app).filter(
      ({ id, method, scopes }) => (method === 'GET' || id in READS) && !scopes?.includes('tenants:all')
    )
    t.strictSame(reading.map(({ id }) => id).sort(), [...Object.keys(READS), ...OTHERS].sort())
  })

  const nothing = await answers(both, stranger, { nobody: true, key: KEY })
  const theirs = await answers(both, owner, { key: KEY })
  for (const [question, answer] of theirs) t.match(answer, /^200 /, question)

  for (const [name, walls] of [
    ['both', both],
    ['statements', await service(false, true)],
    ['row-level security', await service(true, false)]
  ] as const) {
    await t.test(`${name}: a tenant sees nothing of another`, async (t) => {
      const seen = await answers(walls, stranger, { key: KEY })
      for (const [question, answer] of seen) t.equal(answer, nothing.get(question), question)
    })
  }
  await t.test('neither: a tenant sees what another has', async (t) => {
    const seen = await answers(await service(false, false), stranger, { key: KEY })
    for (const [question, answer] of seen) {
      // The feed looks at whose each event is once more, in memory.
      if (READS.readFeed!.includes(question)) t.equal(answer, nothing.get(question), question)
      else t.not(answer, nothing.get(question), question)
    }
  })
  t.ok(rewritten.size >= 20, `${rewritten.size} statements lost their conditions`)
})
