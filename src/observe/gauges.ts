/**
 * The gauges that ask for their values when scraped: whether the instance is ready, how much is in the store, and where the
 * subscriptions stand.
 *
 * Each set is asked for once however many gauges and scrapes want it, and a scrape never waits long: when the answer is late or
 * fails, it shows the values before; of readiness, that there is none.
 */
import { Gauge, type Registry } from 'prom-client'
import { otherLabel } from './top-labels.js'

/** What the store knows about itself, all from one consistent read; `largestUsers` are the largest first. */
export type StoreGauges = {
  totalEvents: number
  largestUsers: { aggregateId: string; events: number }[]
  snapshots: number
  storageBytes: number
}

/** Where a subscription stands; `subscription` is what metrics call it. */
export type SubscriptionGauges = {
  subscription: string
  lagEvents: number
  lagSeconds: number
  pending: number
  dead: number
  blockedUsers: number
}

/** Where a projection stands. */
export type ProjectionGauges = { projection: string; lagEvents: number; parkedUsers: number }

/** What is where: events and bytes, the newest run that ended, and how long it took. */
export type ArchiveGauges = {
  events: Record<'hot' | 'cold' | 'offline', number>
  bytes: Record<'hot' | 'cold', number>
  /** null before the first */
  lastRun: { finishedAtSeconds: number; seconds: number; events: number; failed: boolean } | null
}

export type GaugeOptions = {
  register: Registry
  /** How many users are shown by id; the rest is `_other`. */
  topAggregates: number
  /** Whether this instance should get requests; called like `storeGauges`. */
  ready: () => Promise<boolean>
  /** Called at most once at a time, when scraped. */
  storeGauges: () => Promise<StoreGauges>
  /** Where all subscriptions stand; called like `storeGauges`. */
  subscriptionGauges: () => Promise<SubscriptionGauges[]>
  /** Where all projections stand; called like `storeGauges`. */
  projectionGauges: () => Promise<ProjectionGauges[]>
  /** What is archived; called like `storeGauges`. */
  archiveGauges: () => Promise<ArchiveGauges>
  /** How long a scrape waits for either before it shows the last values instead. */
  storeGaugesTimeoutMs?: number
  /** Told when one of them fails or is late; must not throw. */
  onError: (err: unknown) => void
}

/** Declares the gauges in `register`, which must not hold any of them yet. */
export function declareGauges(options: GaugeOptions): void {
  declareReadiness(options)
  declareStoreGauges(options)
  declareSubscriptionGauges(options)
  declareProjectionGauges(options)
  declareArchiveGauges(options)
}

function declareReadiness({ register, ready, onError, ...rest }: GaugeOptions): void {
  const load = async (): Promise<void> => gauge.set((await ready()) ? 1 : 0)
  // Whoever cannot tell in time is not ready, whatever was so before.
  const unknown = (err: unknown): void => {
    gauge.set(0)
    onError(err)
  }
  const gauge = new Gauge({
    name: 'event_store_ready',
    help: 'Whether this instance is ready for requests, as /readyz says: 1 or 0; 0 also when that cannot be told in time.',
    registers: [register],
    collect: createRefresh(load, { ...rest, onError: unknown })
  })
}

function declareStoreGauges(options: GaugeOptions): void {
  const { register, topAggregates, storeGauges } = options
  const refresh = createRefresh(async () => show(await storeGauges()), options)
  const common = { registers: [register], collect: refresh }
  const eventsByUser = new Gauge({
    name: 'event_store_events_by_aggregate',
    help: 'Events in the store, by user.',
    labelNames: ['aggregate_id'],
    ...common
  })
  const snapshots = new Gauge({ name: 'event_snapshots_total', help: 'Snapshots in the store.', ...common })
  const storage = new Gauge({
    name: 'event_store_size_estimate_bytes',
    help: 'Estimated size of the store, in bytes.',
    ...common
  })
  // The library starts a gauge without labels at 0; an absent one does not claim that the store is empty.
  snapshots.remove()
  storage.remove()

  function show({ totalEvents, largestUsers, snapshots: snapshotCount, storageBytes }: StoreGauges): void {
    const shown = largestUsers.slice(0, topAggregates)
    eventsByUser.reset()
    for (const { aggregateId, events } of shown) eventsByUser.set({ aggregate_id: aggregateId }, events)
    const shownEvents = shown.reduce((sum, { events }) => sum + events, 0)
    eventsByUser.set({ aggregate_id: otherLabel }, totalEvents - shownEvents)
    snapshots.set(snapshotCount)
    storage.set(storageBytes)
  }
}

function declareSubscriptionGauges(options: GaugeOptions): void {
  const { register, subscriptionGauges } = options
  const refresh = createRefresh(async () => show(await subscriptionGauges()), options)
  const gauge = (name: string, help: string) =>
    new Gauge({ name, help, labelNames: ['subscription'], registers: [register], collect: refresh })
  const gauges = {
    lagEvents: gauge('event_subscription_lag_events', 'Events of the log that a subscription has not passed yet.'),
    lagSeconds: gauge(
      'event_subscription_lag_seconds',
      'Age of the oldest event that a subscription has not passed yet, in seconds.'
    ),
    pending: gauge(
      'event_outbox_pending',
      'Events that a subscription passed and will try again; 10,000 means as many or more.'
    ),
    dead: gauge(
      'event_outbox_dead_letters',
      'Events that a subscription gave up after the last try; 10,000 means as many or more.'
    ),
    blockedUsers: gauge(
      'event_outbox_blocked_users',
      'Users of whom a subscription owes one of the events that are counted.'
    )
  }

  function show(found: SubscriptionGauges[]): void {
    for (const [name, each] of Object.entries(gauges) as [keyof typeof gauges, Gauge][]) {
      each.reset()
      for (const numbers of found) each.set({ subscription: numbers.subscription }, numbers[name])
    }
  }
}

function declareProjectionGauges(options: GaugeOptions): void {
  const { register, projectionGauges } = options
  const refresh = createRefresh(async () => show(await projectionGauges()), options)
  const common = { labelNames: ['projection'], registers: [register], collect: refresh }
  const lag = new Gauge({
    name: 'event_projection_lag_events',
    help: 'Events of the log that a projection has not applied yet.',
    ...common
  })
  const parked = new Gauge({
    name: 'event_projection_parked_users',
    help: 'Users whose events a projection could not apply.',
    ...common
  })

  function show(found: ProjectionGauges[]): void {
    for (const { projection, lagEvents, parkedUsers } of found) {
      lag.set({ projection }, lagEvents)
      parked.set({ projection }, parkedUsers)
    }
  }
}

function declareArchiveGauges(options: GaugeOptions): void {
  const { register, archiveGauges } = options
  const refresh = createRefresh(async () => show(await archiveGauges()), options)
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers: [register], collect: refresh })
  const stored = gauge('event_archive_events', 'Events by where they are: hot, cold (the archive), offline.', ['tier'])
  const bytes = gauge('event_archive_bytes', 'What hot and cold events take with their indexes, in bytes.', ['tier'])
  const finished = gauge('event_archive_last_run_timestamp_seconds', 'When the newest run of the archive ended.')
  const duration = gauge('event_archive_last_run_duration_seconds', 'How long that run took, in seconds.')
  const moved = gauge('event_archive_last_run_events', 'Events that it moved.')
  const failed = gauge('event_archive_last_run_failed', 'Whether it failed: 1 or 0.')
  // Before the first run there is nothing to say.
  for (const each of [finished, duration, moved, failed]) each.remove()

  function show({ events, bytes: sizes, lastRun }: ArchiveGauges): void {
    for (const [tier, count] of Object.entries(events)) stored.set({ tier }, count)
    for (const [tier, size] of Object.entries(sizes)) bytes.set({ tier }, size)
    if (!lastRun) return
    finished.set(lastRun.finishedAtSeconds)
    duration.set(lastRun.seconds)
    moved.set(lastRun.events)
    failed.set(lastRun.failed ? 1 : 0)
  }
}

/**
 * What the gauges of one set do when scraped: wait for the same `load`, since the library asks each of them at once, and may do
 * so for many scrapes.
 */
function createRefresh(
  load: () => Promise<void>,
  { storeGaugesTimeoutMs = 2_000, onError }: Pick<GaugeOptions, 'storeGaugesTimeoutMs' | 'onError'>
): () => Promise<void> {
  // A call that is late goes on, and the next scrape waits for it instead of starting another one on a slow store.
  const loadOnce = sharedWhileRunning(load)
  return sharedWhileRunning(() => withinMs(loadOnce(), storeGaugesTimeoutMs).catch(onError))
}

/** Calls made while one is running get the promise of that one. */
function sharedWhileRunning(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => {
    running ??= run().finally(() => {
      running = undefined
    })
    return running
  }
}

async function withinMs(work: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`the store's gauges were not ready within ${limitMs} ms`)), limitMs)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
