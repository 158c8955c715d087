/**
 * Requests by chance, out of the OpenAPI document: whatever is sent, the answer is one that the operation declares, with a body
 * that its schema allows, never a failure of the service; and what is refused changed nothing.
 */
import t, { type Test } from 'tap'
import { type Db, openDb } from '../../src/db/client.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { createFaultFinder } from '../support/contract-answers.js'
import { testDatabase } from '../support/db.js'
import { updates, userCreated } from '../support/events.js'
import { createInputs, type Input, type OpenApi } from '../support/fuzz-inputs.js'
import { importedEvent } from '../support/import.js'
import { type Random, randomOf, seedOf, uuidOf } from '../support/random.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

/** Requests in all; FUZZ_INPUTS asks for another number. */
const INPUTS = Number(process.env.FUZZ_INPUTS ?? 20_000)
/** Requests on their way at once. */
const AT_ONCE = 32
/** Those between two looks at the database, where it is compared. */
const LOT = 4
/** Failures that are shown. */
const SHOWN = 10

const SETTINGS = { WEBHOOK_PRIVATE_ADDRESSES: 'true', REQUEST_TIMEOUT_MS: '3000', DATABASE_POOL_MAX: '10' }

/** A stream that is let in does not end by itself: those are spoilt for certain. (feed-stream.test.ts has good ones.) */
const endless = ({ operationId }: Input): boolean => operationId === 'streamFeed'

/** What would bind all requests after it. */
const binding = ({ operationId, url }: Input): boolean =>
  operationId === 'setTenantLimits' && url.includes(DEFAULT_TENANT)

/** A stream that is let in does not end, and what a subscription owes goes with it when chance deletes it. */
const SILENT = ['streamFeed', 'readOwedEvent']

const isRefusal = (status: number): boolean => status >= 400 && status < 500

type Headers = Record<string, string>

/**
 * A store with users in every state and a read model that is filled. Then nothing works in the background, so that requests alone
 * change the database.
 */
async function fill(t: Test, random: Random, env: Record<string, string>, admin: Headers) {
  const database = await testDatabase(t)
  const filling = await testService(t, { env, database, background: true })
  const { append, get, post, service } = filling
  const users = Array.from({ length: 6 }, () => uuidOf(random))
  for (const [i, userId] of users.entries())
    await append(userId, [userCreated(`user${i}`), ...updates(3)], { headers: admin })
  const sink = { kind: 'webhook', url: 'http://127.0.0.1:1/' }
  for (const name of ['crm', 'erp']) await post('/admin/subscriptions', { name, sink }, admin)
  await until(async () => (await get('/users/count?atLeast=24', admin)).statusCode === 200)
  const key = async () => (await post('/admin/api-keys', { name: 'x', scopes: ['state:read'] }, admin)).data.id
  const keys = await Promise.all(users.map(key))
  const reader = env.AUTH === 'off' ? {} : await keyOf(filling, ['events:read', 'state:read'])
  await service.stop()
  const { app } = await testService(t, { env, database })
  const lines = users.map(() => JSON.stringify(importedEvent(uuidOf(random), 1, userCreated())))
  const words = {
    userId: [...users, uuidOf(random)],
    aggregateId: users,
    id: keys,
    'x-tenant-id': [DEFAULT_TENANT, DEFAULT_TENANT, DEFAULT_TENANT, uuidOf(random)],
    name: ['crm', 'erp', 'users', 'nobody'],
    type: ['UserCreated', 'Moved', 'Nothing'],
    eventType: ['UserCreated', 'UserUpdated', 'UserDeleted', 'AccountLocked', 'LoginInfoUpdated', 'Moved', 'Nothing'],
    version: [1, 2, 3, 4, 5],
    fromVersion: [0, 1, 4],
    toVersion: [1, 4, 5],
    // Limits that bind would hide what comes behind them.
    tenantId: [uuidOf(random)],
    requestsPerSecond: [1_000_000],
    requestsPerSecondPerKey: [1_000_000],
    // A longer wait would be one for the test.
    waitMs: [0, 1, 20, -1],
    importEvents: lines,
    registerEventType: [{ schema: { type: 'object' }, effect: { kind: 'none' } }],
    'idempotency-key': ['again', 'once more'],
    expectedVersion: ['any', 'none', 'exists', 4, 5, 0],
    effect: [{ kind: 'none' }, { kind: 'merge', namespace: 'address' }],
    schema: [{ type: 'object' }, { type: 'object', properties: { city: { type: 'string' } } }],
    sink: [sink]
  }
  const db = openDb(database.url, { poolMax: 1 })
  t.teardown(() => db.close())
  return { app, db, reader, words }
}

/**
 * Notes every row that is added, changed or removed from now on, and returns what tells in which tables that was since it was
 * asked last. The audit notes requests before they are carried out, and keys when they were used last: those do not count.
 */
async function noteChanges(db: Db): Promise<() => Promise<string[]>> {
  await db.query('CREATE UNLOGGED TABLE noted_changes (name text)')
  await db.query(`CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      IF TG_OP <> 'UPDATE' OR to_jsonb(NEW) - 'lastUsedAt' <> to_jsonb(OLD) - 'lastUsedAt' THEN
        INSERT INTO noted_changes VALUES (TG_TABLE_NAME);
      END IF;
      RETURN NULL;
    END $$`)
  const tables = await db.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
       AND NOT relispartition AND relname NOT IN ('admin_audit', 'noted_changes')`
  )
  for (const { name } of tables) {
    await db.query(`CREATE TRIGGER note_rows AFTER INSERT OR UPDATE OR DELETE ON "${name}"
      FOR EACH ROW EXECUTE FUNCTION note_change()`)
    await db.query(`CREATE TRIGGER note_all AFTER TRUNCATE ON "${name}" EXECUTE FUNCTION note_change()`)
  }
  return async () => {
    const noted = await db.query<{ name: string }>('DELETE FROM noted_changes RETURNING name')
    return [...new Set(noted.map(({ name }) => name))]
  }
}

/** Operations of the contract, and those of them that said yes to anything. */
const operations = new Set<string>()
const done = new Set<string>()

/** Sends so many requests, with most of `credentials`, and compares the database around a quarter of them. */
async function fuzz(t: Test, inputs: number, env: Record<string, string>, admin: Headers): Promise<void> {
  const random = randomOf(seedOf(t))
  const { app, db, reader, words } = await fill(t, random, { ...SETTINGS, ...env }, admin)
  const document = JSON.parse(JSON.stringify(app.swagger())) as OpenApi
  const faultOf = createFaultFinder(document)
  const nextInput = createInputs(document, random, words)
  const credentials = [...Array(20).fill(admin), reader, {}, { authorization: 'Bearer nonsense' }]
  const failures: string[] = []

  function draw(): Input {
    const input = nextInput()
    if (binding(input)) return draw()
    const spoilt =
      endless(input) && !input.astray ? { url: `${input.url}${input.url.includes('?') ? '&' : '?'}limit=x` } : {}
    return { ...input, ...spoilt, headers: { ...input.headers, ...random.pick(credentials) } }
  }

  function drawChange(): Input {
    const input = draw()
    return input.method === 'GET' ? drawChange() : input
  }

  async function send(input: Input): Promise<number> {
    const { method, url, headers, payload } = input
    const answer = await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) })
    const fault = faultOf(input, answer)
    if (fault) failures.push(`${fault}\n${JSON.stringify(input)}\n${answer.body.slice(0, 1000)}`)
    operations.add(input.operationId)
    if (answer.statusCode < 300) done.add(input.operationId)
    return answer.statusCode
  }

  async function sendAll(count: number): Promise<void> {
    let left = count
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (left-- > 0 && failures.length < SHOWN) await send(draw())
      })
    )
  }

  /** Sends so many that could change something, in lots; returns how many were in lots that were refused as a whole. */
  async function compareAll(count: number): Promise<number> {
    const changed = await noteChanges(db)
    let compared = 0
    for (let sent = 0; sent < count && failures.length < SHOWN; sent += LOT) {
      const lot = Array.from({ length: LOT }, drawChange)
      const answered = await Promise.all(lot.map(send))
      const tables = await changed()
      if (!answered.every(isRefusal)) continue
      compared += LOT
      if (tables.length > 0)
        failures.push(`One of these was refused and changed ${tables.join(', ')}: ${JSON.stringify(lot)}`)
    }
    return compared
  }

  const startedAt = performance.now()
  // First, while the store is small.
  const compared = await compareAll(inputs / 4)
  await sendAll(inputs - inputs / 4)
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  t.comment(`${inputs} requests in ${seconds} s; ${compared} refusals were compared`)
  t.strictSame(failures.slice(0, SHOWN), [])
  t.ok(compared >= inputs / 20, `${compared} refusals were compared`)
}

t.test('with keys: whatever is sent, the answer is as declared, and what is refused changes nothing', (t) =>
  fuzz(t, INPUTS * 0.8, GUARDED, bearing(ADMIN_KEY))
)

t.test('where nobody has to say who they are: the same', (t) => fuzz(t, INPUTS * 0.2, { AUTH: 'off' }, {}))

t.test('every operation did something now and then', async (t) => {
  t.ok(operations.size > 50)
  t.strictSame(
    [...operations].filter((operation) => !done.has(operation) && !SILENT.includes(operation)),
    []
  )
})
