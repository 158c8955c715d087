/** Hands events to the sink of one subscription, for its relay and its retrier, and says in the table how that goes. */
import type { Db } from '../db/client.js'
import { labelOf } from '../domain/catalog.js'
import type { StoredEvent } from '../domain/event.js'
import { traceparentOf } from '../domain/service-metadata.js'
import { type Outcome, type Sink, sentUnder } from '../domain/sink.js'
import { delayAfter } from '../domain/subscription.js'
import { isSampled } from '../domain/traceparent.js'
import type { Metrics } from '../observe/metrics.js'
import { type Tracer, untraced } from '../observe/tracing.js'
import { reportState, type Subscription } from '../store/subscriptions.js'
import type { EventTypeService } from './event-types.js'
import type { HeldLease } from './worker.js'

/** Under which lease a step of a worker sends and writes. */
export type Step = {
  worker: string
  lease: HeldLease
  signal: AbortSignal
  /** whether the events were passed before and are owed */
  again: boolean
}

export type Sent = { event: StoredEvent; outcome: Outcome }

/** Longest time that an answer to what was sent takes, ms: nothing is sent later than this before the end of a lease. */
const ANSWER_MS = 4500

/** Longest wait before a system that takes nothing is tried again, unless it asks for a longer one, ms. */
const OUTAGE_DELAY_MAX_MS = 30_000

export type Sender = ReturnType<typeof createSender>

export function createSender(parts: {
  db: Db
  /** its state is kept up to date by whoever looks at the table, and here */
  subscription: Subscription
  /** what metrics call the subscription */
  label: string
  /** opens the sink when it is first needed */
  sink: () => Promise<Sink>
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes'>
  metrics: Pick<Metrics, 'handled' | 'delivered' | 'retried'>
  tracer?: Tracer
  /** told when deliveries begin to fail altogether, and when they stop for good; must not throw */
  onTrouble: () => void
}) {
  const { db, subscription, label, sink, eventTypes, metrics, tracer = untraced, onTrouble } = parts

  const upcast = (event: StoredEvent): Sent => ({
    event: eventTypes.of(event.tenantId).upcast(event),
    outcome: { kind: 'held' }
  })

  /** Each event at the newest version of its type, not sent yet. One that cannot be read fails alone. */
  async function read(events: readonly StoredEvent[]): Promise<Sent[]> {
    try {
      return await eventTypes.withTypes(async () => events.map(upcast))
    } catch {
      return events.map((event) => {
        try {
          return upcast(event)
        } catch (err) {
          return { event, outcome: { kind: 'failed', reason: `The event cannot be read: ${(err as Error).message}` } }
        }
      })
    }
  }

  async function publish(events: StoredEvent[], signal: AbortSignal): Promise<Outcome[]> {
    try {
      const open = await sink()
      return await open.publish(events, signal)
    } catch (err) {
      return events.map(() => ({ kind: 'unavailable', reason: (err as Error).message }))
    }
  }

  /**
   * The same in a span for the batch, linked to the traces of its events, and one in each of those traces, by which whoever gets the
   * event continues it. An event without a trace is continued from the batch. All take as long as the batch.
   */
  function publishTraced(events: StoredEvent[], signal: AbortSignal, again: boolean): Promise<Outcome[]> {
    const { id, definition } = subscription
    const about = { 'subscription.id': id, 'sink.kind': definition.sink.kind, 'publish.again': again }
    const traces = events.map(traceparentOf)
    const batch = () => ({ parent: null, links: traces, attributes: { ...about, 'batch.events': events.length } })
    return tracer.span('publish batch', batch, async ({ traceparent }) => {
      const spans = events.map((event, i) => {
        const parent = traces[i]
        if (!parent) return null
        const attributes = { ...about, 'event.id': event.id, 'event.type': labelOf(event.eventType), ...idsOf(event) }
        return tracer.start('publish', { kind: 'producer', parent, attributes })
      })
      const ofBatch = traceparent !== null && isSampled(traceparent) ? traceparent : null
      const outcomes = await publish(
        events.map((event, i) => sentUnder(event, spans[i]?.traceparent ?? ofBatch)),
        signal
      )
      for (const [i, span] of spans.entries()) {
        const { kind } = outcomes[i]!
        span?.set({ 'publish.outcome': kind })
        span?.end(kind === 'delivered' || kind === 'held' ? null : kind)
      }
      return outcomes
    })
  }

  function measure(sent: readonly Sent[], seconds: number, again: boolean): void {
    const counts = new Map<string, number>()
    for (const { event, outcome } of sent) {
      counts.set(outcome.kind, (counts.get(outcome.kind) ?? 0) + 1)
      if (outcome.kind === 'delivered') metrics.handled(label, labelOf(event.eventType), seconds)
    }
    for (const [kind, count] of counts) metrics.delivered(label, kind, count)
    if (again) metrics.retried(label, sent.length - (counts.get('held') ?? 0))
  }

  return {
    subscription,

    /**
     * Sends events, in the order of the log, and says what came of each; `cut` when there was no time for all of them, `answered`
     * when the other system took or refused any.
     */
    async send(events: readonly StoredEvent[], step: Step): Promise<{ sent: Sent[]; cut: boolean; answered: boolean }> {
      const sent = await read(events)
      const broken = new Set<string>()
      const open = sent.filter(({ event, outcome }) => {
        if (outcome.kind === 'failed') broken.add(event.aggregateId)
        return !broken.has(event.aggregateId)
      })
      const startedAt = performance.now()
      const signal = until(step.lease.until - ANSWER_MS, step.signal)
      let answered = false
      if (open.length > 0 && !signal.aborted) {
        const events = open.map(({ event }) => event)
        const outcomes = await (tracer.on ? publishTraced(events, signal, step.again) : publish(events, signal))
        for (const [i, each] of open.entries()) each.outcome = outcomes[i]!
        holdFollowers(sent)
        answered = outcomes.some(({ kind }) => kind === 'delivered' || kind === 'failed')
      }
      measure(sent, (performance.now() - startedAt) / 1000, step.again)
      return { sent, cut: signal.aborted, answered }
    },

    /** Notes how it goes, when that is news. */
    async report(step: Step, state: 'active' | 'failing' | 'stopped', reason: string | null): Promise<void> {
      if (subscription.state === state && subscription.lastError === reason) return
      const changed = subscription.state !== state
      await reportState(db, subscription.id, { name: step.worker, epoch: step.lease.epoch }, state, reason)
      Object.assign(subscription, { state, lastError: reason })
      if (changed && reason !== null) onTrouble()
    },

    /**
     * Wait before the next try after `attempts` of them, ms; no shorter than what the other system asked for. One that takes
     * nothing is asked more often than one that refuses an event.
     */
    delay(attempts: number, outcome: Outcome): number {
      const own = delayAfter(subscription.definition.retry, attempts, Math.random())
      const asked = 'retryAfterMs' in outcome ? (outcome.retryAfterMs ?? 0) : 0
      return Math.max(asked, outcome.kind === 'unavailable' ? Math.min(own, OUTAGE_DELAY_MAX_MS) : own)
    }
  }
}

const idsOf = ({ aggregateId, tenantId, version, position }: StoredEvent) => ({
  'user.id': aggregateId,
  'tenant.id': tenantId,
  'user.version': version,
  'event.position': position
})

/**
 * Of each user only the first event that was not delivered is to be tried again at a time of its own: all after it wait for it,
 * also where a sink says of a whole batch that it could not be sent.
 */
function holdFollowers(sent: readonly Sent[]): void {
  const waiting = new Set<string>()
  for (const each of sent) {
    if (each.outcome.kind === 'delivered') continue
    const { aggregateId } = each.event
    if (waiting.has(aggregateId)) each.outcome = { kind: 'held' }
    waiting.add(aggregateId)
  }
}

/**
 * Aborted when `signal` is, and from `end` (performance.now) on. In a process that was frozen an answer may be heard before the
 * timer that is overdue; whoever asks whether it is aborted before the next event is told by the clock.
 */
function until(end: number, signal: AbortSignal): AbortSignal {
  const late = AbortSignal.timeout(Math.max(0, Math.round(end - performance.now())))
  const either = AbortSignal.any([signal, late])
  return Object.defineProperty(either, 'aborted', { get: () => signal.aborted || performance.now() >= end })
}

/**
 * The waits of one worker while the other system takes nothing. They end early when the state says something else: because
 * the other worker was answered, or an operator resumed or reset the subscription.
 */
export function createRest({ subscription, delay }: Pick<Sender, 'subscription' | 'delay'>) {
  let failures = 0
  let until = 0
  return {
    isOn: (): boolean => subscription.state === 'failing' && performance.now() < until,
    /** Starts another wait; returns how many there were in a row. */
    start(outcome: Outcome): number {
      failures++
      until = performance.now() + delay(failures, outcome)
      return failures
    },
    end(): void {
      failures = 0
    }
  }
}

export function findOutcome<Kind extends Outcome['kind']>(sent: readonly Sent[], kind: Kind) {
  const found = sent.find(({ outcome }) => outcome.kind === kind)
  return found?.outcome as Extract<Outcome, { kind: Kind }> | undefined
}

/** Whether the subscription may deliver, as far as this instance knows. */
export const isRunning = ({ state }: Pick<Subscription, 'state'>): boolean => state !== 'paused' && state !== 'stopped'

/** What the functions of the outbox need to know of a subscription. */
export const outboxPolicy = ({ definition }: Subscription): { wait: boolean; maxAttempts: number } => ({
  wait: definition.deadLetters === 'wait',
  maxAttempts: definition.retry.maxAttempts
})
