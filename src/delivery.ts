/**
 * Runs the subscriptions of an instance: for each that is neither paused nor stopped two loops, one that relays and one that sends
 * again what is owed. Every instance starts all of them; the leases of the workers decide which one does it (DESIGN D6). The table is
 * looked at once a second, so that what an operator does on one instance is heard by all.
 */
import type { Db } from './db/client.js'
import type { Sink } from './domain/sink.js'
import { labelOfSubscription, type SinkConfig } from './domain/subscription.js'
import { type Loop, startLoop } from './loop.js'
import type { Metrics } from './observe/metrics.js'
import type { Tracer } from './observe/tracing.js'
import type { EventTypeService } from './services/event-types.js'
import { createRelay } from './services/relay.js'
import { createRetrier } from './services/retrier.js'
import { createSender, isRunning } from './services/sender.js'
import { createWorker, type Worker, type WorkerStep } from './services/worker.js'
import { sweepOwed } from './store/outbox.js'
import { relayWorker, retryWorker, type Subscription, selectSubscriptions } from './store/subscriptions.js'

export type Delivery = {
  start(): void
  /** Something was appended: subscriptions need not wait for their interval. */
  wake(): void
  /** A subscription was changed here: looks at the table now. */
  changed(): void
  /** Ends the running steps, gives the leases up and closes the sinks. */
  stop(): Promise<void>
}

/** How often the table of subscriptions is looked at, ms. */
const LOOK_MS = 1000
/** How often what deleted subscriptions owed is looked for, and how much of it goes at once. */
const SWEEP_MS = 10_000
const SWEEP_EVENTS = 10_000
/** How often a subscription looks for new events of other instances, or owed events that are due, ms. */
const FOLLOW_MS = 500
/** Shortest wait after a step that found no more to do, ms. */
const GAP_MS = 20

type Running = { subscription: Subscription; loops: Loop[]; stop(): Promise<void> }

export function createDelivery(parts: {
  db: Db
  metrics: Pick<Metrics, 'handled' | 'delivered' | 'retried'>
  tracer: Tracer
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes'>
  buckets: number
  /** names this instance */
  holder: string
  openSink: (config: SinkConfig) => Promise<Sink>
  onError: (err: unknown) => void
  /** told when a subscription can deliver nothing any more; must not throw */
  onTrouble: (subscription: string) => void
}): Delivery {
  const { db, metrics, tracer, eventTypes, buckets, holder, openSink, onError, onTrouble } = parts
  const running = new Map<string, Running>()
  let looking: Loop | null = null
  let sweeping: Loop | null = null

  function run(subscription: Subscription): Running {
    const label = labelOfSubscription(subscription)
    let sink: Promise<Sink> | null = null
    const openOnce = (): Promise<Sink> => {
      sink ??= openSink(subscription.definition.sink).catch((err) => {
        sink = null
        throw err
      })
      return sink
    }
    const sender = createSender({
      db,
      subscription,
      label,
      sink: openOnce,
      eventTypes,
      metrics,
      tracer,
      onTrouble: () => onTrouble(label)
    })
    const workers: Worker[] = []
    function loop(name: string, step: WorkerStep): Loop {
      // Events are measured one by one where they are sent.
      const worker = createWorker({ db, metrics: { handled: () => {} }, name, bucket: 0, holder, step })
      workers.push(worker)
      return startLoop({ once: (signal) => worker.once(signal), intervalMs: FOLLOW_MS, gapMs: GAP_MS, onError })
    }
    const loops = [
      loop(relayWorker(subscription.id), createRelay({ db, sender })),
      loop(retryWorker(subscription.id), createRetrier({ db, sender, buckets }))
    ]
    async function end(): Promise<void> {
      await Promise.all(loops.map((each) => each.stop()))
      await Promise.allSettled(workers.map((worker) => worker.release()))
      await sink?.then((open) => open.close()).catch(onError)
    }
    let ended: Promise<void> | null = null
    return {
      subscription,
      loops,
      stop() {
        ended ??= end()
        return ended
      }
    }
  }

  async function look(): Promise<'idle'> {
    const before = new Map([...running].map(([id, { subscription }]) => [id, subscription.state]))
    const found = new Map((await selectSubscriptions(db)).map((each) => [each.id, each]))
    const ending: Running[] = []
    for (const [id, entry] of running) {
      const now = found.get(id)
      if (!now || !isRunning(now)) ending.push(entry)
      // What a worker has reported while the table was read is newer.
      else if (entry.subscription.state === before.get(id)) Object.assign(entry.subscription, now)
    }
    // Before they have ended no others may begin: they would share their leases.
    await Promise.all(ending.map((entry) => entry.stop()))
    for (const { subscription } of ending) running.delete(subscription.id)
    for (const [id, subscription] of found) {
      if (isRunning(subscription) && !running.has(id)) running.set(id, run(subscription))
    }
    return 'idle'
  }

  /** Stops all that run; together, so that it takes as long as the slowest of them. */
  const stopAll = async (): Promise<void> => {
    await Promise.all([...running.values()].map((entry) => entry.stop()))
  }

  const sweep = async (): Promise<'more' | 'idle'> =>
    (await sweepOwed(db, SWEEP_EVENTS)) === SWEEP_EVENTS ? 'more' : 'idle'

  return {
    start() {
      looking = startLoop({ once: look, intervalMs: LOOK_MS, gapMs: GAP_MS, onError })
      sweeping = startLoop({ once: sweep, intervalMs: SWEEP_MS, gapMs: GAP_MS, onError })
    },
    wake() {
      for (const { loops } of running.values()) loops[0]!.wake()
    },
    changed() {
      looking?.wake()
      sweeping?.wake()
      for (const { loops } of running.values()) for (const loop of loops) loop.wake()
    },
    async stop() {
      await Promise.all([looking?.stop(), sweeping?.stop(), stopAll()])
      // What the last look began.
      await stopAll()
      running.clear()
    }
  }
}
