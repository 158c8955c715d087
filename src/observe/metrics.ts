/**
 * Every metric of our own, each declared once: name, labels, unit; those that are asked for their values when scraped are in
 * gauges.ts. Services get small recording functions and never see the metrics library.
 *
 * The number of series is bounded whatever clients send: labels whose values have no bound go through top-labels.ts,
 * whose counts are written into the library's counters only when scraped, which keeps them cheap to record and their
 * sum() exact. `eventType` and `handlerName` are taken as they are: the caller records registered ones only.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { DEFAULT_TENANT } from '../domain/event.js'
import { isSampled } from '../domain/traceparent.js'
import { declareGauges, type GaugeOptions } from './gauges.js'
import { createTopLabels, otherLabel, type TopLabels } from './top-labels.js'

export type MetricsOptions = GaugeOptions & {
  /** How many tenants are shown by id; the rest is `_other`. */
  topTenants: number
  /**
   * Tells the span under way (W3C traceparent): durations of what is done in one get exemplars that lead to its trace. `register` must be one of OpenMetrics
   * then, since no other format has a place for them.
   */
  traceparent?: (() => string | null) | undefined
}

export type Metrics = ReturnType<typeof createMetrics>

/** Upper bounds in seconds, from 0.5 ms to 10 s, for every duration histogram of this service. */
export const durationBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

const snapshotReasons = new Set(['manual', 'threshold', 'rules changed'])

/** Registered types that are shown by name: there is no bound to how many tenants register. */
const PATCHED_TYPES_SHOWN = 20

/** Declares all metrics in `register`, which must not hold any of them yet, and returns the recording functions. */
export function createMetrics(options: MetricsOptions) {
  const { register, topAggregates, topTenants, traceparent } = options
  const eventsByTenant = createTopLabels(topTenants)
  const conflictsByUser = createTopLabels(topAggregates)
  const patchFailures = createTopLabels(PATCHED_TYPES_SHOWN)
  declarePatchFailures(register, patchFailures)
  const { replays, snapshots, ignored } = declareCounters(register, eventsByTenant, conflictsByUser)
  const durations = declareHistograms(register, traceparent !== undefined)
  const observe = traceparent ? observeTraced(traceparent) : observeUntraced
  const { cacheReads, evictions, trouble } = declareCacheCounters(register)
  const feed = declareFeedMetrics(register)
  declareGauges(options)
  const { deliveries, redeliveries } = declareDeliveryCounters(register)
  const limited = createTopLabels(topTenants)
  const countedAlone = declareRateLimits(register, limited)
  const parkings = new Counter({
    name: 'event_projection_parkings_total',
    help: 'Times a projection put a user aside whose events it could not apply, since this process started.',
    labelNames: ['projection'],
    registers: [register]
  })

  return {
    /** Counts events stored by one append; `eventTypes` has one element per event. */
    eventsStored({ tenantId, eventTypes }: { tenantId: string; eventTypes: string[] }): void {
      for (const eventType of eventTypes) eventsByTenant.add(tenantId, 1, eventType)
    },

    /** Counts one append refused because of its expected version. */
    conflict(aggregateId: string): void {
      conflictsByUser.add(aggregateId)
    },

    /** Records how long an append took, once for each distinct type among its events. */
    saved(eventTypes: string[], seconds: number): void {
      for (const eventType of new Set(eventTypes)) observe(durations.save, { event_type: eventType }, seconds)
    },

    /** Counts one replay and, when it succeeded, records how long folding `eventCount` events took. */
    replayed(replay: { success: boolean; useSnapshot: boolean; eventCount: number; seconds: number }): void {
      const useSnapshot = String(replay.useSnapshot)
      replays.inc({ success: String(replay.success), use_snapshot: useSnapshot })
      if (!replay.success) return
      const labels = { use_snapshot: useSnapshot, event_count: eventCountRange(replay.eventCount) }
      observe(durations.replay, labels, replay.seconds)
    },

    /** Records how long one handler took for one event, or for a batch of them (`_batch`). */
    handled(handlerName: string, eventType: string, seconds: number): void {
      observe(durations.handler, { handler_name: handlerName, event_type: eventType }, seconds)
    },

    /** Counts events that a subscription tried to deliver. */
    delivered(subscription: string, outcome: string, events = 1): void {
      deliveries.inc({ subscription, outcome }, events)
    },

    /** Counts owed events that a subscription sent once more. */
    retried(subscription: string, events: number): void {
      redeliveries.inc({ subscription }, events)
    },

    /** Counts users whom a projection put aside. */
    parked(projection: string, users: number): void {
      parkings.inc({ projection }, users)
    },

    /** Counts one snapshot made and records how long it took; a reason we do not know is shown as `_other`. */
    snapshotCreated(reason: string, seconds: number): void {
      const labels = { reason: snapshotReasons.has(reason) ? reason : otherLabel }
      snapshots.inc(labels)
      observe(durations.snapshot, labels, seconds)
    },

    /** Counts one snapshot that a replay could not use: made under other rules (`stale`) or not readable (`broken`). */
    snapshotIgnored(reason: 'stale' | 'broken'): void {
      ignored.inc({ reason })
    },

    /** Counts one patch of a registered type that could not be applied to what is stored, while it was read or folded. */
    patchFailed(eventType: string, patch: 'upcast' | 'effect'): void {
      patchFailures.add(eventType, 1, patch)
    },

    /** Counts one look into the cache of states of this process, or into the one that instances share. */
    cacheRead(tier: 'process' | 'shared', result: 'hit' | 'miss'): void {
      cacheReads[tier][result]++
    },

    /** Counts one state that the cache of this process let go for want of room; the shared one makes room by itself. */
    cacheEvicted(tier: 'process'): void {
      evictions.inc({ tier })
    },

    /** Counts one state of the shared cache that could not be trusted (`poisoned`), or one command that failed or was late (`failed`). */
    cacheTrouble(kind: 'poisoned' | 'failed'): void {
      trouble.inc({ kind })
    },

    /** Counts one request refused because its key, or its tenant with all keys, sends too many. */
    rateLimited(tenantId: string, limit: 'key' | 'tenant'): void {
      limited.add(tenantId, 1, limit)
    },

    /** Counts one request that was counted here alone, because what instances share did not answer. */
    countedAlone(): void {
      countedAlone.inc()
    },

    /** Counts a stream or a waiting read of the feed that began (1) or ended (-1). */
    feedStreams(step: 1 | -1): void {
      feed.streams.inc(step)
    },

    /** Counts events that were given to a stream of the feed. */
    feedStreamed(events: number): void {
      feed.streamed.inc(events)
    },

    /** Counts one look at the end of the log on behalf of all who follow it. */
    feedPolled(): void {
      feed.polls.inc()
    },

    /** Records one batch of appends that came back from the database. */
    appendBatch({ requests, seconds }: { requests: number; seconds: number }): void {
      durations.batchSize.observe(requests)
      durations.batch.observe(seconds)
    },

    /** Records how long an append waited for its batch to leave. */
    appendWaited(seconds: number): void {
      durations.queueWait.observe(seconds)
    }
  }
}

function declareCounters(register: Registry, eventsByTenant: TopLabels, conflictsByUser: TopLabels) {
  const registers = [register]
  new Counter({
    name: 'event_store_events_total',
    help: 'Events stored since this process started, by event type and tenant.',
    labelNames: ['event_type', 'tenant_id'],
    registers,
    collect() {
      this.reset()
      for (const { label, part, count } of eventsByTenant.entries()) {
        this.inc({ event_type: part, tenant_id: label === DEFAULT_TENANT ? 'default' : label }, count)
      }
    }
  })
  new Counter({
    name: 'event_store_conflicts_total',
    help: 'Appends refused because of their expected version since this process started, by user.',
    labelNames: ['aggregate_id'],
    registers,
    collect() {
      this.reset()
      for (const { label, count } of conflictsByUser.entries()) this.inc({ aggregate_id: label }, count)
    }
  })
  const replays = new Counter({
    name: 'event_replay_requests_total',
    help: 'Replays of a user since this process started, by success and whether a snapshot was used.',
    labelNames: ['success', 'use_snapshot'],
    registers
  })
  const snapshots = new Counter({
    name: 'event_snapshots_created_total',
    help: 'Snapshots created since this process started, by reason.',
    labelNames: ['reason'],
    registers
  })
  const ignored = new Counter({
    name: 'event_snapshots_ignored_total',
    help: 'Snapshots that replays could not use since this process started, by reason: stale (made under other rules) or broken.',
    labelNames: ['reason'],
    registers
  })
  return { replays, snapshots, ignored }
}

function declarePatchFailures(register: Registry, failures: TopLabels): void {
  new Counter({
    name: 'event_patch_failures_total',
    help: 'Times a patch of a registered event type could not be applied to a stored event since this process started, by type: an upcast (the event is read as it was stored and changes no state) or an effect (it changes no state).',
    labelNames: ['event_type', 'patch'],
    registers: [register],
    collect() {
      this.reset()
      for (const { label, part, count } of failures.entries()) this.inc({ event_type: label, patch: part }, count)
    }
  })
}

type Observe = (histogram: Histogram, labels: Record<string, string>, seconds: number) => void

const observeUntraced: Observe = (histogram, labels, seconds) => histogram.observe(labels, seconds)

/** Of a trace that is kept, with an exemplar that names it. */
const observeTraced =
  (traceparent: () => string | null): Observe =>
  (histogram, labels, seconds) => {
    const span = traceparent()
    const [, trace_id, span_id] = span !== null && isSampled(span) ? span.split('-') : []
    histogram.observe({
      labels,
      value: seconds,
      exemplarLabels: trace_id && span_id ? { trace_id, span_id } : {}
    })
  }

function declareHistograms(register: Registry, enableExemplars: boolean) {
  const common = { registers: [register], buckets: durationBuckets }
  const traced = { ...common, enableExemplars }
  return {
    save: new Histogram({
      name: 'event_store_save_duration_seconds',
      help: 'Time to store the events of one append, in seconds, once per distinct event type in it.',
      labelNames: ['event_type'],
      ...traced
    }),
    replay: new Histogram({
      name: 'event_replay_duration_seconds',
      help: 'Time of a successful replay, in seconds, by whether a snapshot was used and how many events were folded.',
      labelNames: ['use_snapshot', 'event_count'],
      ...traced
    }),
    handler: new Histogram({
      name: 'event_handler_duration_seconds',
      help: 'Time a background handler took for a batch (event_type _batch), in seconds; of a subscription, for each event delivered, the time of the publish that it was part of.',
      labelNames: ['handler_name', 'event_type'],
      ...traced
    }),
    batch: new Histogram({
      name: 'event_append_batch_duration_seconds',
      help: 'Time the database took for one batch of appends, in seconds.',
      ...common
    }),
    batchSize: new Histogram({
      name: 'event_append_batch_size',
      help: 'Appends in one batch.',
      registers: [register],
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 500]
    }),
    queueWait: new Histogram({
      name: 'event_append_queue_wait_seconds',
      help: 'Time an append waited for its batch to leave, in seconds.',
      ...common
    }),
    snapshot: new Histogram({
      name: 'event_snapshot_creation_duration_seconds',
      help: 'Time to create a snapshot, in seconds, by reason.',
      labelNames: ['reason'],
      ...traced
    })
  }
}

function declareCacheCounters(register: Registry) {
  const registers = [register]
  // Counted on every read of a state: plain numbers, written into the counter when scraped.
  const cacheReads = { process: { hit: 0, miss: 0 }, shared: { hit: 0, miss: 0 } }
  new Counter({
    name: 'event_cache_requests_total',
    help: 'Looks into the caches of states since this process started, by tier (process or shared) and result.',
    labelNames: ['tier', 'result'],
    registers,
    collect() {
      this.reset()
      for (const [tier, results] of Object.entries(cacheReads)) {
        for (const [result, count] of Object.entries(results)) this.inc({ tier, result }, count)
      }
    }
  })
  const evictions = new Counter({
    name: 'event_cache_evictions_total',
    help: 'States that a cache let go for want of room since this process started, by tier: process (Redis counts for itself what it evicts).',
    labelNames: ['tier'],
    registers
  })
  // Shown from the start, as it was without labels: a rate needs the zero that it rises from.
  evictions.inc({ tier: 'process' }, 0)
  const trouble = new Counter({
    name: 'event_cache_trouble_total',
    help: 'Shared cache since this process started: values that could not be trusted (poisoned), commands that failed or were late (failed).',
    labelNames: ['kind'],
    registers
  })
  return { cacheReads, evictions, trouble }
}

function declareRateLimits(register: Registry, limited: TopLabels): Counter {
  const registers = [register]
  new Counter({
    name: 'event_rate_limited_requests_total',
    help: 'Requests refused since this process started because their key, or the tenant with all its keys, sent too many, by tenant and limit.',
    labelNames: ['tenant_id', 'limit'],
    registers,
    collect() {
      this.reset()
      for (const { label, part, count } of limited.entries())
        this.inc({ tenant_id: label === DEFAULT_TENANT ? 'default' : label, limit: part }, count)
    }
  })
  return new Counter({
    name: 'event_rate_counted_alone_total',
    help: 'Requests that were counted by this process alone, because Redis failed or was late, since it started.',
    registers
  })
}

function declareFeedMetrics(register: Registry) {
  const registers = [register]
  return {
    streams: new Gauge({
      name: 'event_store_feed_streams',
      help: 'Streams and waiting reads of the feed that are open.',
      registers
    }),
    streamed: new Counter({
      name: 'event_store_feed_streamed_events_total',
      help: 'Events sent by streams of the feed since this process started.',
      registers
    }),
    polls: new Counter({
      name: 'event_store_feed_polls_total',
      help: 'Looks at the end of the log for all who follow the feed, since this process started.',
      registers
    })
  }
}

function declareDeliveryCounters(register: Registry) {
  const registers = [register]
  const deliveries = new Counter({
    name: 'event_deliveries_total',
    help: 'Events handed to the sinks of subscriptions since this process started, by outcome: delivered, failed, unavailable, gone, held (not sent, an earlier one of its user failed).',
    labelNames: ['subscription', 'outcome'],
    registers
  })
  const redeliveries = new Counter({
    name: 'event_delivery_retries_total',
    help: 'Owed events handed to the sinks of subscriptions once more since this process started.',
    labelNames: ['subscription'],
    registers
  })
  return { deliveries, redeliveries }
}

const eventCountRanges: [max: number, label: string][] = [
  [10, '0-10'],
  [50, '11-50'],
  [100, '51-100'],
  [500, '101-500'],
  [1000, '501-1000'],
  [Number.POSITIVE_INFINITY, '1001+']
]

function eventCountRange(eventCount: number): string {
  return eventCountRanges.find(([max]) => eventCount <= max)![1]
}
