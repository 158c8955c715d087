import t from 'tap'
import { type Diagnosis, diagnose, type Facts, LIMITS } from '../../src/domain/diagnosis.js'

const TABLE = { name: 'user_events', rows: 1_000_000, deadRows: 0, sequentialScans: 0, indexScans: 10, analyzed: true }
const HEALTHY: Facts = {
  node: '20.19.0',
  postgres: 180_001,
  standby: false,
  missing: [],
  settings: { fsync: 'on', fullPageWrites: 'on', synchronousCommit: 'on', autovacuum: 'on', maxConnections: 100 },
  connections: 10,
  clockAheadMs: 0,
  newestEventAheadMs: -1000,
  transactionAge: 1000,
  oldestTransactionS: 0,
  tables: [TABLE],
  invalidIndexes: [],
  unusedIndexes: [],
  trigrams: true,
  databaseBytes: 10 * 2 ** 20,
  disk: { freeBytes: 50 * 2 ** 30, totalBytes: 100 * 2 ** 30 },
  retainedWalBytes: 0,
  followers: [{ name: 'statistics', lagEvents: 0, abandonedS: 1000 }],
  deadLetters: 0,
  parkedUsers: 0,
  buckets: { asked: 1, stored: 1 },
  claims: { asked: null, stored: '' },
  offlinePartitions: 0,
  rowSecurity: { asked: true, openTables: [], ownerFree: false }
}

/** What is not right. */
const wrong = (facts: Partial<Facts>): Diagnosis[] =>
  diagnose({ ...HEALTHY, ...facts }).filter(({ state }) => state !== 'ok')

t.test('nothing is wrong with what is healthy, nor with a store before its first start', async (t) => {
  t.strictSame(wrong({}), [])
  const fresh = { newestEventAheadMs: null, tables: [], followers: [], buckets: { asked: 4, stored: null }, disk: null }
  t.strictSame(wrong(fresh), [])
  for (const { check, found } of diagnose(HEALTHY)) t.ok(check && found)
})

const settings = (changed: Partial<Facts['settings']>) => ({ settings: { ...HEALTHY.settings, ...changed } })
const disk = (freeBytes: number, totalBytes = 2 ** 30) => ({ disk: { freeBytes, totalBytes } })
const tables = (changed: Partial<typeof TABLE>) => ({ tables: [{ ...TABLE, ...changed }] })
const rowSecurity = (changed: Partial<Facts['rowSecurity']>) => ({
  rowSecurity: { ...HEALTHY.rowSecurity, ...changed }
})
const follower = (lagEvents: number, abandonedS: number) => ({
  followers: [{ name: 'statistics', lagEvents, abandonedS }]
})

const CASES: [name: string, right: Partial<Facts>, wrong: Partial<Facts>, expected: Partial<Diagnosis>][] = [
  ['an old PostgreSQL', { postgres: 150_000 }, { postgres: 149_999 }, { check: 'versions', state: 'trouble' }],
  ['a new PostgreSQL', { postgres: 189_999 }, { postgres: 190_000 }, { check: 'versions', state: 'warning' }],
  ['a standby', {}, { standby: true }, { check: 'primary', state: 'trouble' }],
  ['migrations', {}, { missing: ['0001_x'] }, { check: 'migrations', state: 'trouble', found: 'not applied: 0001_x' }],
  ['fsync', {}, settings({ fsync: 'off' }), { check: 'durability', state: 'trouble', found: 'fsync is off' }],
  ['full pages', {}, settings({ fullPageWrites: 'off' }), { check: 'durability', state: 'trouble' }],
  [
    'commits',
    settings({ synchronousCommit: 'remote_write' }),
    settings({ synchronousCommit: 'local' }),
    { check: 'durability' }
  ],
  [
    'clocks apart',
    { clockAheadMs: -LIMITS.clockMs },
    { clockAheadMs: -LIMITS.clockMs - 1 },
    { check: 'clock', state: 'warning' }
  ],
  [
    'an event of the future',
    { newestEventAheadMs: LIMITS.eventAheadMs },
    { newestEventAheadMs: LIMITS.eventAheadMs + 1 },
    { check: 'clock', state: 'trouble' }
  ],
  ['a full disk', disk(LIMITS.diskFreeBytes), disk(LIMITS.diskFreeBytes - 1), { check: 'disk', state: 'trouble' }],
  ['a filling disk', disk(2 ** 31, 20 * 2 ** 30), disk(2 ** 31 - 1, 20 * 2 ** 30), { check: 'disk', state: 'warning' }],
  ['connections', { connections: 80 }, { connections: 81 }, { check: 'connections', state: 'warning' }],
  ['no autovacuum', {}, settings({ autovacuum: 'off' }), { check: 'bloat', state: 'warning' }],
  [
    'dead rows',
    tables({ rows: 80_000, deadRows: 20_000 }),
    tables({ rows: 80_000, deadRows: 20_001 }),
    { check: 'bloat' }
  ],
  [
    'few dead rows',
    tables({ rows: 0, deadRows: LIMITS.deadRows }),
    tables({ rows: 0, deadRows: LIMITS.deadRows + 1 }),
    { check: 'bloat' }
  ],
  [
    'no statistics',
    tables({ rows: LIMITS.deadRows, analyzed: false }),
    tables({ rows: LIMITS.deadRows + 1, analyzed: false }),
    { check: 'statistics' }
  ],
  ['a broken index', {}, { invalidIndexes: ['IDX'] }, { check: 'indexes', state: 'trouble', found: 'not valid: IDX' }],
  ['scans', tables({ sequentialScans: 10 }), tables({ sequentialScans: 11 }), { check: 'indexes', state: 'warning' }],
  [
    'scans of a small table',
    tables({ rows: LIMITS.largeRows, sequentialScans: 11 }),
    tables({ rows: LIMITS.largeRows + 1, sequentialScans: 11 }),
    { check: 'indexes' }
  ],
  ['no trigrams', {}, { trigrams: false }, { check: 'indexes', state: 'warning' }],
  [
    'old transactions',
    { transactionAge: LIMITS.transactionAge },
    { transactionAge: LIMITS.transactionAge + 1 },
    { check: 'transactions', state: 'trouble' }
  ],
  [
    'an open transaction',
    { oldestTransactionS: LIMITS.transactionS },
    { oldestTransactionS: LIMITS.transactionS + 1 },
    { check: 'transactions', state: 'warning' }
  ],
  [
    'WAL',
    { retainedWalBytes: LIMITS.walBytes },
    { retainedWalBytes: LIMITS.walBytes + 1 },
    { check: 'replication', state: 'warning' }
  ],
  [
    'other buckets',
    {},
    { buckets: { asked: 2, stored: 1 } },
    { check: 'settings', state: 'trouble', advice: 'Set EVENT_BUCKETS=1, on all instances.' }
  ],
  [
    'other claims',
    { claims: { asked: 'email', stored: 'email' } },
    { claims: { asked: null, stored: 'email' } },
    { check: 'settings', state: 'warning' }
  ],
  [
    'claims that end',
    { claims: { asked: 'off', stored: 'email' } },
    { claims: { asked: 'email', stored: '' } },
    { check: 'settings' }
  ],
  [
    'tables without a guard',
    rowSecurity({ asked: false, openTables: ['user_events'] }),
    rowSecurity({ openTables: ['user_events', 'user_snapshots'] }),
    {
      check: 'tenants',
      state: 'trouble',
      found: 'row-level security does not guard user_events, user_snapshots',
      advice: "Run SELECT secure_rows('user_events'), and the same for each, as their owner."
    }
  ],
  [
    'an owner who is not bound',
    rowSecurity({ asked: false, ownerFree: true }),
    rowSecurity({ ownerFree: true }),
    { check: 'tenants', state: 'warning' }
  ],
  [
    'nobody at work',
    follower(1, LIMITS.abandonedS),
    follower(1, LIMITS.abandonedS + 1),
    { check: 'background work', state: 'warning' }
  ],
  ['dead letters', {}, { deadLetters: 1 }, { check: 'deliveries', state: 'warning' }],
  ['parked users', {}, { parkedUsers: 1 }, { check: 'read models', state: 'warning' }]
]

for (const [name, right, bad, expected] of CASES) {
  t.test(`${name}: told beyond the limit, with what to do, and not at it`, async (t) => {
    t.strictSame(wrong(right), [])
    const found = wrong(bad)
    t.match(found, [expected])
    t.equal(found.length, 1)
    t.ok(found[0]!.advice)
  })
}

t.test('what is only to be known is told', async (t) => {
  const told = (check: string, facts: Partial<Facts>) =>
    diagnose({ ...HEALTHY, ...facts }).find((each) => each.check === check)?.found
  t.match(told('archive', { offlinePartitions: 2 }), '2 partitions are offline')
  const unused = (bytes: number) => ({ unusedIndexes: [{ name: 'IDX', bytes }] })
  t.equal(told('indexes', unused(LIMITS.unusedBytes)), 'all are valid')
  t.equal(told('indexes', unused(LIMITS.unusedBytes + 1)), 'all are valid; never used so far: IDX')
  t.equal(told('disk', { disk: null }), 'the database takes 10.0 MiB; its disk is not on this machine')
})
