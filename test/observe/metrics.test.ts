import { randomUUID } from 'node:crypto'
import { Registry } from 'prom-client'
import t from 'tap'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import type { ArchiveGauges, StoreGauges } from '../../src/observe/gauges.js'
import { createMetrics, type MetricsOptions } from '../../src/observe/metrics.js'
import { emptyGauges, emptyStore } from '../support/gauges.js'

type Sample = { name: string; labels: Record<string, string>; value: number }

const archiveNumbers: ArchiveGauges = {
  events: { hot: 5, cold: 4, offline: 3 },
  bytes: { hot: 50, cold: 40 },
  lastRun: { finishedAtSeconds: 1_700_000_000, seconds: 1.5, events: 9, failed: false }
}

function setUp(options: Partial<MetricsOptions> = {}) {
  const register = new Registry()
  const errors: unknown[] = []
  const metrics = createMetrics({
    register,
    ...emptyGauges,
    topAggregates: 20,
    topTenants: 100,
    subscriptionGauges: async () => [
      { subscription: 'crm', lagEvents: 7, lagSeconds: 1.5, pending: 3, dead: 2, blockedUsers: 1 }
    ],
    projectionGauges: async () => [{ projection: 'users', lagEvents: 9, parkedUsers: 4 }],
    archiveGauges: async () => archiveNumbers,
    onError: (err) => errors.push(err),
    ...options
  })
  const scrape = async () => parse(await register.metrics())
  return { register, metrics, errors, scrape }
}

/** Reads the Prometheus text format as far as these tests need it. */
function parse(text: string): Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name, labels, value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line)!
      const pairs = [...(labels ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value])
      return { name: name!, labels: Object.fromEntries(pairs), value: Number(value) }
    })
}

const named = (samples: Sample[], name: string) => samples.filter((sample) => sample.name === name)
const sum = (samples: Sample[]) => samples.reduce((total, { value }) => total + value, 0)
const valueIn = (samples: Sample[], name: string, labels: Record<string, string> = {}) =>
  named(samples, name).find((sample) => Object.entries(labels).every(([key, value]) => sample.labels[key] === value))
    ?.value

t.test('names, types and labels are exactly those promised', async (t) => {
  const { register, metrics, scrape } = setUp()
  metrics.eventsStored({ tenantId: randomUUID(), eventTypes: ['UserCreated'] })
  metrics.conflict(randomUUID())
  metrics.saved(['UserCreated'], 0.001)
  metrics.replayed({ success: true, useSnapshot: true, eventCount: 3, seconds: 0.001 })
  metrics.handled('outbox', 'UserCreated', 0.001)
  metrics.snapshotCreated('manual', 0.001)
  metrics.snapshotIgnored('stale')
  metrics.cacheRead('process', 'hit')
  metrics.cacheEvicted('process')
  metrics.cacheTrouble('failed')
  metrics.appendBatch({ requests: 3, seconds: 0.001 })
  metrics.appendWaited(0.001)
  metrics.delivered('crm', 'delivered')
  metrics.parked('users', 1)
  metrics.patchFailed('Moved', 'upcast')
  metrics.retried('crm', 2)
  metrics.feedStreams(1)
  metrics.feedStreamed(3)
  metrics.feedPolled()
  metrics.rateLimited(randomUUID(), 'key')
  metrics.countedAlone()
  const samples = await scrape()

  const promised: Record<string, [type: string, labels: string[]]> = {
    event_store_events_total: ['counter', ['event_type', 'tenant_id']],
    event_store_conflicts_total: ['counter', ['aggregate_id']],
    event_replay_requests_total: ['counter', ['success', 'use_snapshot']],
    event_snapshots_created_total: ['counter', ['reason']],
    event_snapshots_ignored_total: ['counter', ['reason']],
    event_deliveries_total: ['counter', ['outcome', 'subscription']],
    event_delivery_retries_total: ['counter', ['subscription']],
    event_subscription_lag_events: ['gauge', ['subscription']],
    event_subscription_lag_seconds: ['gauge', ['subscription']],
    event_projection_lag_events: ['gauge', ['projection']],
    event_projection_parked_users: ['gauge', ['projection']],
    event_patch_failures_total: ['counter', ['event_type', 'patch']],
    event_projection_parkings_total: ['counter', ['projection']],
    event_rate_limited_requests_total: ['counter', ['limit', 'tenant_id']],
    event_rate_counted_alone_total: ['counter', []],
    event_archive_events: ['gauge', ['tier']],
    event_archive_bytes: ['gauge', ['tier']],
    event_archive_last_run_timestamp_seconds: ['gauge', []],
    event_archive_last_run_duration_seconds: ['gauge', []],
    event_archive_last_run_events: ['gauge', []],
    event_archive_last_run_failed: ['gauge', []],
    event_outbox_pending: ['gauge', ['subscription']],
    event_outbox_dead_letters: ['gauge', ['subscription']],
    event_outbox_blocked_users: ['gauge', ['subscription']],
    event_cache_requests_total: ['counter', ['result', 'tier']],
    event_cache_evictions_total: ['counter', ['tier']],
    event_cache_trouble_total: ['counter', ['kind']],
    event_append_batch_duration_seconds: ['histogram', []],
    event_append_batch_size: ['histogram', []],
    event_append_queue_wait_seconds: ['histogram', []],
    event_store_feed_streams: ['gauge', []],
    event_store_feed_streamed_events_total: ['counter', []],
    event_store_feed_polls_total: ['counter', []],
    event_store_save_duration_seconds: ['histogram', ['event_type']],
    event_replay_duration_seconds: ['histogram', ['event_count', 'use_snapshot']],
    event_handler_duration_seconds: ['histogram', ['event_type', 'handler_name']],
    event_snapshot_creation_duration_seconds: ['histogram', ['reason']],
    event_store_ready: ['gauge', []],
    event_store_events_by_aggregate: ['gauge', ['aggregate_id']],
    event_snapshots_total: ['gauge', []],
    event_store_size_estimate_bytes: ['gauge', []]
  }
  const types = [...(await register.metrics()).matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name, type])
  t.same(Object.fromEntries(types), Object.fromEntries(Object.entries(promised).map(([name, [type]]) => [name, type])))
  for (const [name, [type, labels]] of Object.entries(promised)) {
    const sample = named(samples, type === 'histogram' ? `${name}_count` : name)[0]
    t.strictSame(Object.keys(sample?.labels ?? { missing: '' }).sort(), labels, name)
  }
})

t.test('events are counted by type and tenant, and the default tenant has a name', async (t) => {
  const { metrics, scrape } = setUp()
  const tenantId = randomUUID()
  metrics.eventsStored({ tenantId, eventTypes: ['UserCreated', 'UserUpdated', 'UserUpdated'] })
  metrics.eventsStored({ tenantId: DEFAULT_TENANT, eventTypes: ['UserCreated'] })
  const expected = [
    [{ event_type: 'UserCreated', tenant_id: tenantId }, 1],
    [{ event_type: 'UserUpdated', tenant_id: tenantId }, 2],
    [{ event_type: 'UserCreated', tenant_id: 'default' }, 1]
  ]
  for (const round of ['first', 'second']) {
    const events = named(await scrape(), 'event_store_events_total')
    t.same(
      events.map(({ labels, value }) => [labels, value]),
      expected,
      `${round} scrape`
    )
  }
})

t.test('a tenant that is dropped moves to _other of the same event type', async (t) => {
  const { metrics, scrape } = setUp({ topTenants: 1 })
  const [small, large] = [randomUUID(), randomUUID()]
  metrics.eventsStored({ tenantId: small, eventTypes: ['UserCreated', 'UserUpdated', 'UserUpdated'] })
  for (let i = 0; i < 10; i++) metrics.eventsStored({ tenantId: large, eventTypes: ['UserUpdated'] })
  const events = named(await scrape(), 'event_store_events_total')
  t.equal(valueIn(events, 'event_store_events_total', { tenant_id: '_other', event_type: 'UserCreated' }), 1)
  t.equal(sum(events.filter(({ labels }) => labels.event_type === 'UserUpdated')), 12)
  t.strictSame(new Set(events.map(({ labels }) => labels.tenant_id)), new Set([large, '_other']))
})

t.test('a million users in conflict and a million tenants add no series, and every sum is exact', async (t) => {
  const { register, metrics, scrape } = setUp()
  const eventTypes = ['UserCreated', 'UserUpdated', 'UserDeleted']
  for (let i = 0; i < 1_000_000; i++) {
    const id = `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`
    metrics.conflict(id)
    metrics.eventsStored({ tenantId: id, eventTypes: [eventTypes[i % 3]!] })
  }
  const samples = await scrape()
  const conflicts = named(samples, 'event_store_conflicts_total')
  t.equal(conflicts.length, 21)
  t.equal(sum(conflicts), 1_000_000)

  const events = named(samples, 'event_store_events_total')
  t.equal(new Set(events.map(({ labels }) => labels.tenant_id)).size, 101)
  t.ok(events.length <= 101 * 3, `${events.length} series`)
  for (const [i, eventType] of eventTypes.entries()) {
    const ofType = events.filter(({ labels }) => labels.event_type === eventType)
    t.equal(sum(ofType), i === 0 ? 333_334 : 333_333, eventType)
  }
  const bytes = Buffer.byteLength(await register.metrics())
  t.ok(bytes < 1_000_000, `${bytes} bytes`)
})

for (const [users, series] of [
  [19, 19],
  [20, 20],
  [21, 21],
  [22, 21]
] as const) {
  t.test(`${users} users in conflict show ${series} series`, async (t) => {
    const { metrics, scrape } = setUp()
    for (let i = 0; i < users; i++) metrics.conflict(randomUUID())
    const conflicts = named(await scrape(), 'event_store_conflicts_total')
    t.equal(conflicts.length, series)
    t.equal(sum(conflicts), users)
    t.equal(valueIn(conflicts, 'event_store_conflicts_total', { aggregate_id: '_other' }) ?? 0, Math.max(0, users - 20))
  })
}

t.test('evictions of the cache of this process are told from the start, with its tier', async (t) => {
  const { metrics, scrape } = setUp()
  const evicted = async () =>
    named(await scrape(), 'event_cache_evictions_total').map(({ labels, value }) => [labels, value])
  t.same(await evicted(), [[{ tier: 'process' }, 0]])
  metrics.cacheEvicted('process')
  metrics.cacheEvicted('process')
  t.same(await evicted(), [[{ tier: 'process' }, 2]])
})

t.test('a save is observed once per distinct event type', async (t) => {
  const { metrics, scrape } = setUp()
  metrics.saved(['UserUpdated', 'UserUpdated', 'RolesAssigned'], 0.25)
  const samples = await scrape()
  for (const event_type of ['UserUpdated', 'RolesAssigned']) {
    t.equal(valueIn(samples, 'event_store_save_duration_seconds_count', { event_type }), 1)
    t.equal(valueIn(samples, 'event_store_save_duration_seconds_sum', { event_type }), 0.25)
  }
})

t.test('duration buckets reach from half a millisecond to ten seconds', async (t) => {
  const { metrics, scrape } = setUp()
  metrics.saved(['UserCreated'], 0.0005)
  const buckets = named(await scrape(), 'event_store_save_duration_seconds_bucket').map(({ labels }) => labels.le)
  t.equal(buckets[0], '0.0005')
  t.strictSame(buckets.slice(-2), ['10', '+Inf'])
})

t.test('replays are counted by outcome, and only successful ones are timed', async (t) => {
  const { metrics, scrape } = setUp()
  metrics.replayed({ success: true, useSnapshot: false, eventCount: 7, seconds: 0.5 })
  metrics.replayed({ success: false, useSnapshot: true, eventCount: 0, seconds: 3 })
  const samples = await scrape()
  t.equal(valueIn(samples, 'event_replay_requests_total', { success: 'true', use_snapshot: 'false' }), 1)
  t.equal(valueIn(samples, 'event_replay_requests_total', { success: 'false', use_snapshot: 'true' }), 1)
  t.same(
    named(samples, 'event_replay_duration_seconds_sum').map(({ labels, value }) => [labels, value]),
    [[{ use_snapshot: 'false', event_count: '0-10' }, 0.5]]
  )
})

const ranges: [eventCount: number, range: string][] = [
  [0, '0-10'],
  [9, '0-10'],
  [10, '0-10'],
  [11, '11-50'],
  [49, '11-50'],
  [50, '11-50'],
  [51, '51-100'],
  [99, '51-100'],
  [100, '51-100'],
  [101, '101-500'],
  [499, '101-500'],
  [500, '101-500'],
  [501, '501-1000'],
  [999, '501-1000'],
  [1000, '501-1000'],
  [1001, '1001+'],
  [1_000_000, '1001+']
]

for (const [eventCount, range] of ranges) {
  t.test(`a replay of ${eventCount} events is in the range ${range}`, async (t) => {
    const { metrics, scrape } = setUp()
    metrics.replayed({ success: true, useSnapshot: true, eventCount, seconds: 0.01 })
    const counts = named(await scrape(), 'event_replay_duration_seconds_count')
    t.strictSame(
      counts.map(({ labels }) => labels.event_count),
      [range]
    )
  })
}

t.test('a handler is timed by its name and the event type', async (t) => {
  const { metrics, scrape } = setUp()
  metrics.handled('outbox', 'UserCreated', 0.125)
  const labels = { handler_name: 'outbox', event_type: 'UserCreated' }
  t.equal(valueIn(await scrape(), 'event_handler_duration_seconds_sum', labels), 0.125)
})

t.test('snapshots are counted by known reason, free text is _other', async (t) => {
  const { metrics, scrape } = setUp()
  for (const reason of ['manual', 'threshold', 'before the audit', '', '__proto__']) {
    metrics.snapshotCreated(reason, 0.5)
  }
  const samples = await scrape()
  for (const [reason, count] of Object.entries({ manual: 1, threshold: 1, _other: 3 })) {
    t.equal(valueIn(samples, 'event_snapshots_created_total', { reason }), count, reason)
    t.equal(valueIn(samples, 'event_snapshot_creation_duration_seconds_count', { reason }), count, reason)
  }
  t.equal(named(samples, 'event_snapshots_created_total').length, 3)
})

t.test('the gauges show the largest users and the rest of all events', async (t) => {
  const largestUsers = [50, 30, 10, 5].map((events) => ({ aggregateId: randomUUID(), events }))
  const { scrape } = setUp({
    topAggregates: 2,
    storeGauges: async () => ({ totalEvents: 1000, largestUsers, snapshots: 7, storageBytes: 8192 })
  })
  const samples = await scrape()
  const byUser = named(samples, 'event_store_events_by_aggregate')
  t.same(
    byUser.map(({ labels, value }) => [labels.aggregate_id, value]),
    [
      [largestUsers[0]!.aggregateId, 50],
      [largestUsers[1]!.aggregateId, 30],
      ['_other', 920]
    ]
  )
  t.equal(sum(byUser), 1000)
  t.equal(valueIn(samples, 'event_snapshots_total'), 7)
  t.equal(valueIn(samples, 'event_store_size_estimate_bytes'), 8192)
})

t.test('a user that is no longer among the largest has no gauge left', async (t) => {
  const users = [randomUUID(), randomUUID()]
  const { scrape } = setUp({
    storeGauges: async () => ({ ...emptyStore, largestUsers: [{ aggregateId: users.shift()!, events: 1 }] })
  })
  const [first, second] = users
  t.type(valueIn(await scrape(), 'event_store_events_by_aggregate', { aggregate_id: first! }), 'number')
  const samples = await scrape()
  t.equal(valueIn(samples, 'event_store_events_by_aggregate', { aggregate_id: first! }), undefined)
  t.type(valueIn(samples, 'event_store_events_by_aggregate', { aggregate_id: second! }), 'number')
})

t.test('an instance is ready while it says so, and not when it cannot tell in time', async (t) => {
  let answer = (): Promise<boolean> => Promise.resolve(true)
  const { errors, scrape } = setUp({ storeGaugesTimeoutMs: 5, ready: () => answer() })
  const shown = async () => valueIn(await scrape(), 'event_store_ready')
  t.equal(await shown(), 1)
  answer = () => Promise.resolve(false)
  t.equal(await shown(), 0)
  answer = () => Promise.resolve(true)
  t.equal(await shown(), 1)
  answer = () => Promise.reject(new Error('broken'))
  t.equal(await shown(), 0)
  let release = (_ready: boolean): void => {}
  answer = () =>
    new Promise((resolve) => {
      release = resolve
    })
  t.equal(await shown(), 0)
  t.match(errors, [{ message: 'broken' }, { message: /not ready within 5 ms/ }])
  release(true)
  answer = () => Promise.resolve(true)
  await new Promise(setImmediate)
  t.equal(await shown(), 1)
})

t.test('one scrape, or several at once, ask the store once', async (t) => {
  let calls = 0
  const { scrape } = setUp({
    storeGauges: async () => {
      calls++
      return { ...emptyStore, snapshots: calls }
    }
  })
  t.equal(valueIn(await scrape(), 'event_snapshots_total'), 1)
  t.equal(calls, 1)
  const together = await Promise.all([scrape(), scrape(), scrape()])
  t.strictSame(
    together.map((samples) => valueIn(samples, 'event_snapshots_total')),
    [2, 2, 2]
  )
  t.equal(calls, 2)
})

t.test('a store that fails before its first answer leaves its gauges out and the rest in', async (t) => {
  const failure = new Error('no connection')
  const { metrics, errors, scrape } = setUp({ storeGauges: () => Promise.reject(failure) })
  metrics.conflict(randomUUID())
  const samples = await scrape()
  t.equal(sum(named(samples, 'event_store_conflicts_total')), 1)
  t.equal(valueIn(samples, 'event_snapshots_total'), undefined)
  t.equal(valueIn(samples, 'event_store_size_estimate_bytes'), undefined)
  t.strictSame(named(samples, 'event_store_events_by_aggregate'), [])
  t.strictSame(errors, [failure], 'reported once')
})

t.test('a store that fails later, even by a plain throw, keeps the last values until it answers again', async (t) => {
  let answer = (): Promise<StoreGauges> => Promise.resolve({ ...emptyStore, totalEvents: 3, snapshots: 1 })
  const { errors, scrape } = setUp({ storeGauges: () => answer() })
  await scrape()
  answer = () => {
    throw new Error('broken')
  }
  const samples = await scrape()
  t.equal(valueIn(samples, 'event_snapshots_total'), 1)
  t.equal(valueIn(samples, 'event_store_events_by_aggregate', { aggregate_id: '_other' }), 3)
  t.equal(errors.length, 1)
  answer = () => Promise.resolve({ ...emptyStore, snapshots: 2 })
  t.equal(valueIn(await scrape(), 'event_snapshots_total'), 2)
  t.equal(errors.length, 1)
})

t.test('a late store keeps the last values, is not asked again meanwhile, and its answer is shown next', async (t) => {
  let calls = 0
  let release = (_gauges: StoreGauges): void => {}
  const late = new Promise<StoreGauges>((resolve) => {
    release = resolve
  })
  const answers = [Promise.resolve({ ...emptyStore, snapshots: 1 }), late]
  const { errors, scrape } = setUp({ storeGaugesTimeoutMs: 5, storeGauges: () => answers[calls++]! })
  await scrape()
  t.equal(valueIn(await scrape(), 'event_snapshots_total'), 1)
  t.match(errors, [{ message: /not ready within 5 ms/ }])
  const next = scrape()
  release({ ...emptyStore, snapshots: 2 })
  t.equal(valueIn(await next, 'event_snapshots_total'), 2)
  t.equal(calls, 2)
  t.equal(errors.length, 1)
})

t.test('a late store that then fails does not end the process', async (t) => {
  let fail = (_err: Error): void => {}
  const { errors, scrape } = setUp({
    storeGaugesTimeoutMs: 5,
    storeGauges: () =>
      new Promise((_resolve, reject) => {
        fail = reject
      })
  })
  await scrape()
  fail(new Error('too late'))
  await new Promise(setImmediate)
  t.equal(errors.length, 1)
})

t.test('a scrape leaves no timer behind', async (t) => {
  const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
  const { scrape } = setUp()
  const before = timers()
  await scrape()
  t.equal(timers(), before)
})

t.test('two registries in one process do not meet', async (t) => {
  const [one, two] = [setUp(), setUp()]
  one.metrics.conflict(randomUUID())
  t.equal(sum(named(await one.scrape(), 'event_store_conflicts_total')), 1)
  t.equal(sum(named(await two.scrape(), 'event_store_conflicts_total')), 0)
})
