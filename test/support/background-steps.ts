/**
 * The background work of an instance, step by step: until everything that was stored is projected, counted, snapshotted and delivered.
 * In place of the loops of a service, where a test must know what has been done by when.
 */
import { randomUUID } from 'node:crypto'
import { Registry } from 'prom-client'
import type { Test } from 'tap'
import { ALL_TENANTS } from '../../src/db/as-tenants.js'
import { openDb } from '../../src/db/client.js'
import { settleRowSecurity } from '../../src/db/row-security.js'
import type { StoredEvent } from '../../src/domain/event.js'
import { usersProjection } from '../../src/domain/projections/users.js'
import type { Outcome } from '../../src/domain/sink.js'
import { createMetrics } from '../../src/observe/metrics.js'
import { createEventTypeService } from '../../src/services/event-types.js'
import { createFairSlots } from '../../src/services/fair-slots.js'
import { createProjector } from '../../src/services/projector.js'
import { createRelay } from '../../src/services/relay.js'
import { createReplayService } from '../../src/services/replay.js'
import { createRetrier } from '../../src/services/retrier.js'
import { createSender, isRunning } from '../../src/services/sender.js'
import { createSnapshotService } from '../../src/services/snapshots.js'
import { createStateCache } from '../../src/services/state-cache.js'
import { createTailReader } from '../../src/services/tail-reader.js'
import { createWorker, type Worker, type WorkerStep } from '../../src/services/worker.js'
import { insertProjection, projectionWorker } from '../../src/store/projections.js'
import { rollUpStatistics } from '../../src/store/statistics.js'
import { relayWorker, retryWorker, type Subscription, selectSubscriptions } from '../../src/store/subscriptions.js'
import type { TestDatabase } from './db.js'
import { emptyGauges } from './gauges.js'

export type StepsOptions = {
  rowSecurity: boolean
  /** events of a user that make a snapshot due, and snapshots of a user that stay */
  threshold: number
  retain: number
  /** What a receiver says of an event of a subscription, which is not sent anywhere. */
  receive: (subscription: Subscription, event: StoredEvent) => Outcome
}

export type BackgroundSteps = {
  /** Does all there is to do now. */
  all(): Promise<void>
  /** Counts what statistics did not count yet; until then they are read from the log. */
  count(): Promise<void>
}

const TURN = { turnMs: 60_000, pauseMs: 0, signal: new AbortController().signal }

/** Work on a store of one bucket for which nobody else works in the background. */
export async function backgroundSteps(
  t: Test,
  { url }: Pick<TestDatabase, 'url'>,
  { rowSecurity, threshold, retain, receive }: StepsOptions
): Promise<BackgroundSteps> {
  const db = openDb(url, { poolMax: 3, ...(await settleRowSecurity(url, rowSecurity)) })
  t.teardown(() => db.close())
  const everyone = db.as(ALL_TENANTS)
  const failed = (err: unknown): never => {
    throw err
  }
  const metrics = createMetrics({ register: new Registry(), ...emptyGauges, topTenants: 1, onError: failed })
  const eventTypes = createEventTypeService({ db, onPatchFailed: () => {} })
  const replay = createReplayService({
    db,
    eventTypes,
    metrics,
    buckets: 1,
    cache: createStateCache({ usersMax: 100, bytesMax: 10_000_000, shared: null, metrics }),
    tails: createTailReader({ db, buckets: 1 }),
    turns: createFairSlots({ what: 'replays', slots: 2, share: 2, waitingMax: 100, waitMs: 5000 })
  })
  const policy = { threshold, retain, maxAgeDays: 90 }
  const snapshots = createSnapshotService({ db, replay, eventTypes, metrics, buckets: 1, policy, onUnfoldable: failed })

  const holder = randomUUID()
  const workerOf = (name: string, step: WorkerStep): Worker =>
    createWorker({ db: everyone, metrics, name, bucket: 0, holder, step })
  async function finish(worker: Worker): Promise<void> {
    while ((await worker.once(TURN.signal)) === 'more');
  }

  const projector = createProjector({
    db: everyone,
    eventTypes,
    projection: usersProjection,
    bucket: 0,
    rebuilds: false,
    onParked: failed
  })
  const { name, version } = usersProjection
  await insertProjection(everyone, { name, version, typesRevision: 0 })
  const projecting = workerOf(projectionWorker(name, false), (lease) => projector.step(lease))
  const counting = workerOf('statistics', async ({ epoch, position }) => {
    const counted = (await rollUpStatistics(everyone, 0, epoch, 1000)) ?? 0
    return { position: position + counted, worked: true, more: counted === 1000 }
  })

  let snapshotted = 0
  async function takeSnapshots(): Promise<void> {
    await snapshots.refreshStale(null, { ...TURN, limit: 1000 })
    snapshotted = (await snapshots.takeDue(0, snapshotted, TURN)).position
  }

  /** By id, which a reset changes. */
  const delivering = new Map<string, { subscription: Subscription; workers: Worker[] }>()

  function deliveryOf(subscription: Subscription) {
    const publish = async (batch: readonly StoredEvent[]) => batch.map((event) => receive(subscription, event))
    const sender = createSender({
      db: everyone,
      subscription,
      label: subscription.name,
      sink: async () => ({ publish, close: async () => {} }),
      eventTypes,
      metrics,
      onTrouble: () => {}
    })
    return {
      subscription,
      workers: [
        workerOf(relayWorker(subscription.id), createRelay({ db: everyone, sender })),
        workerOf(retryWorker(subscription.id), createRetrier({ db: everyone, sender, buckets: 1 }))
      ]
    }
  }

  async function deliver(): Promise<void> {
    for (const found of await selectSubscriptions(everyone)) {
      const known = delivering.get(found.id) ?? deliveryOf(found)
      delivering.set(found.id, known)
      Object.assign(known.subscription, found)
      if (isRunning(found)) for (const worker of known.workers) await finish(worker)
    }
  }

  return {
    async all() {
      await eventTypes.refresh()
      await Promise.all([finish(projecting), takeSnapshots(), deliver()])
    },
    count: () => finish(counting)
  }
}
