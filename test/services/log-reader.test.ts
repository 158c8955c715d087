/** Walks over the log: what they find, how far they go, and by which index. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { type LogWalk, readLog } from '../../src/services/log-reader.js'
import { type LogFilter, selectHeads, selectLogTail, selectPlaces } from '../../src/store/log.js'
import { testDb } from '../support/db.js'
import { range } from '../support/sse.js'

const { db, database } = await testDb(t)
const [rareTenant, rareUser] = [randomUUID(), randomUUID()]
const HEAD = 50_000
/** Positions of what is rare: two near each other at the beginning, one far behind. */
const RARE = [100, 101, 45_000]

// 100 users in turn; at the rare places another user of another tenant, with a type of their own.
await database.run(`
  INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
  SELECT 0, p, gen_random_uuid(),
         CASE WHEN rare THEN '${rareUser}'::uuid ELSE ('00000000-0000-4000-8000-' || lpad((p % 100)::text, 12, '0'))::uuid END,
         CASE WHEN rare THEN array_position(ARRAY[${RARE}], p) ELSE p / 100 + 1 END,
         CASE WHEN rare THEN 'RolesAssigned' ELSE 'UserUpdated' END, 1, '{}',
         CASE WHEN rare THEN '${rareTenant}'::uuid ELSE '${DEFAULT_TENANT}'::uuid END, now()
  FROM (SELECT p, p = ANY (ARRAY[${RARE}]) AS rare FROM generate_series(1, ${HEAD}) AS p) AS places;
  ANALYZE user_events`)

const walk = (more: Partial<LogWalk> = {}): LogWalk => ({
  bucket: 0,
  direction: 'forward',
  limit: 100,
  from: 0,
  to: HEAD,
  ...more
})
const backward = (more: Partial<LogWalk> = {}) => walk({ direction: 'backward', from: HEAD + 1, to: 1, ...more })

/** Walks on until the end, however many pages that takes. */
async function walkAll(first: LogWalk, filter: LogFilter): Promise<number[]> {
  const found: number[] = []
  let from = first.from
  while (from !== first.to) {
    const page = await readLog(db, { ...first, from }, filter)
    found.push(...page.events.map(({ position }) => position))
    from = page.position
  }
  return found
}

const filters: [string, LogFilter][] = [
  ['a rare type', { eventTypes: ['RolesAssigned'] }],
  ['a rare type among those that are nowhere', { eventTypes: ['UserDeleted', 'RolesAssigned'] }],
  ['a tenant with few events', { tenantId: rareTenant }],
  ['a user with few events', { userId: rareUser }],
  ['all of it', { userId: rareUser, tenantId: rareTenant, eventTypes: ['RolesAssigned'] }]
]
for (const [what, filter] of filters) {
  t.test(`${what} behind many others is found in both directions, also one event at a time`, async (t) => {
    for (const limit of [1, 2, 3, 100]) {
      t.strictSame(await walkAll(walk({ limit }), filter), RARE)
      t.strictSame(await walkAll(backward({ limit }), filter), [...RARE].reverse())
    }
  })
}

t.test('a page ends with its last event when it is full, and with the walk when it is not', async (t) => {
  for (const limit of [1, 99, 100, 1000]) {
    const page = await readLog(db, walk({ limit }), {})
    t.strictSame([page.events.length, page.position], [limit, limit])
    const last = await readLog(db, backward({ limit }), {})
    t.strictSame([last.events.length, last.position], [limit, HEAD + 1 - limit])
  }
  for (const [to, count] of [
    [49, 49],
    [50, 50],
    [51, 50]
  ]) {
    const page = await readLog(db, walk({ limit: 50, to: to! }), {})
    t.strictSame([page.events.length, page.position], [count, Math.min(to!, 50)])
  }
})

t.test('a walk without a step, and one over what is not there, find nothing', async (t) => {
  t.strictSame(await readLog(db, walk({ from: HEAD }), {}), { events: [], position: HEAD })
  t.strictSame(await readLog(db, backward({ from: 1 }), {}), { events: [], position: 1 })
  t.strictSame(await readLog(db, walk({ bucket: 7, to: 0 }), {}), { events: [], position: 0 })
  t.strictSame(await walkAll(walk(), { tenantId: rareTenant, eventTypes: ['UserUpdated'] }), [])
})

t.test('the walk begins beyond its start and ends with its end', async (t) => {
  const positions = async (first: LogWalk) => (await readLog(db, first, {})).events.map(({ position }) => position)
  t.strictSame(await positions(walk({ from: 10, to: 13 })), [11, 12, 13])
  t.strictSame(await positions(backward({ from: 13, to: 10 })), [12, 11, 10])
})

t.test('heads, places and the tail are told for every bucket, also for an empty one', async (t) => {
  t.strictSame(await selectHeads(db, 2), [HEAD, 0])
  const ids = await database.run<{ id: string }>(
    `SELECT id FROM user_events WHERE position IN (${HEAD - 2}, ${HEAD}) ORDER BY position`
  )
  const [before, newest] = ids.map(({ id }) => id)
  t.strictSame(await selectPlaces(db, [HEAD - 2, 0]), [
    { head: HEAD, headId: newest, idAt: before },
    { head: 0, headId: null, idAt: null }
  ])
  t.match(await selectPlaces(db, [HEAD + 1]), [{ head: HEAD, headId: newest, idAt: null }])
  const rows = await selectLogTail(db, [HEAD - 2, 0], 10)
  t.strictSame(
    rows.map(({ bucket, idAt, event }) => [bucket, idAt, event?.position ?? null]),
    [
      [0, before, HEAD - 1],
      [0, before, HEAD],
      [1, null, null]
    ]
  )
  t.equal((await selectLogTail(db, [0], 10)).length, 10)
  t.strictSame(
    (await selectLogTail(db, [0], 10)).map(({ event }) => event!.position),
    range(1, 10)
  )
})

t.test('a page of one user costs what it shows, wherever in a long stream it stands', async (t) => {
  const userId = randomUUID()
  const { db, database } = await testDb(t, { poolMax: 1 })
  await database.run(`
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
    SELECT 0, p, gen_random_uuid(), CASE p % 2 WHEN 0 THEN '${userId}' ELSE gen_random_uuid() END, CASE p % 2 WHEN 0 THEN p / 2 ELSE 1 END,
           'UserUpdated', 1, '{}', '${DEFAULT_TENANT}', now() FROM generate_series(1, 40000) AS p;
    ANALYZE user_events`)
  /** Rows that were fetched by this connection so far. */
  const fetched = async (): Promise<number> => {
    await db.query('SELECT pg_stat_force_next_flush()')
    const [row] = await db.query<{ rows: string }>(
      `SELECT seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_user_tables WHERE relname = 'user_events'`
    )
    return Number(row!.rows)
  }
  for (const [first, positions] of [
    [walk({ from: 30_000, to: 40_000 }), range(1, 100).map((n) => 30_000 + 2 * n)],
    [walk({ from: 29_999, to: 30_003 }), [30_000, 30_002]],
    [backward({ from: 30_001, to: 1 }), range(0, 99).map((n) => 30_000 - 2 * n)]
  ] as const) {
    const before = await fetched()
    const page = await readLog(db, first, { userId })
    const rows = (await fetched()) - before
    t.strictSame(
      page.events.map(({ position }) => position),
      positions
    )
    t.ok(rows < 200, `${rows} rows were fetched for ${positions.length} events`)
  }
})

t.test('each kind of read has its index, and none reads the whole table', async (t) => {
  const explain = async (condition: string) => {
    const lines = await database.run<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT * FROM user_events WHERE bucket = 0 AND position > 0 AND position <= 20000 AND ${condition} ORDER BY position LIMIT 100`
    )
    return lines.map((line) => line['QUERY PLAN']).join('\n')
  }
  const plans: [string, RegExp][] = [
    [await explain('true'), /user_events_position_key/],
    [await explain(`"tenantId" = '${rareTenant}'`), /user_events_position_key/],
    [await explain(`"eventType" IN ('RolesAssigned')`), /IDX_USER_EVENTS_TYPE/]
  ]
  for (const [plan, index] of plans) {
    t.match(plan, index)
    t.notMatch(plan, /Seq Scan/)
  }
})
