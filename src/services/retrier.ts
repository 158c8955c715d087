/**
 * Sends what a subscription owes, when its time has come: of each user in order, and the next one only after the one before was
 * delivered, is dead (if those may be passed) or discarded. An event leaves the outbox after it was delivered and not before.
 */
import type { Db } from '../db/client.js'
import { type Settled, selectDue, selectEventsAt, settleOwed } from '../store/outbox.js'
import { retryWorker } from '../store/subscriptions.js'
import { isRunning, outboxPolicy, SENDING_MS, type Sender, type Step } from './sender.js'
import type { WorkerStep } from './worker.js'

/** What one step takes of a bucket. */
const DUE = { users: 100, perUser: 20 }
/** A step turns to another bucket no later than this, ms. */
const BUCKETS_MS = 500

/** The step of the worker that sends again. */
export function createRetrier({ db, sender, buckets }: { db: Db; sender: Sender; buckets: number }): WorkerStep {
  const { subscription } = sender
  const { id } = subscription
  const policy = outboxPolicy(subscription)

  async function retry(bucket: number, step: Step): Promise<'none' | 'some delivered' | 'none delivered'> {
    const due = await selectDue(db, bucket, id, DUE)
    if (due.length === 0) return 'none'
    const attempts = new Map(due.map((each) => [each.position, each.attempts]))
    const { sent } = await sender.send(await selectEventsAt(db, bucket, [...attempts.keys()]), step)
    const results = sent.flatMap(({ event, outcome }): Settled[] => {
      if (outcome.kind === 'held' || outcome.kind === 'gone') return []
      const { position, aggregateId: user } = event
      if (outcome.kind === 'delivered') return [{ position, user, error: null, delayMs: 0, counts: 1 }]
      // While the system takes nothing from the relay either, a try says nothing about the event.
      const counts = outcome.kind === 'unavailable' && subscription.state === 'failing' ? 0 : 1
      const delayMs = sender.delay(attempts.get(position)! + 1, outcome)
      return [{ position, user, error: outcome.reason, delayMs, counts }]
    })
    const settled = await settleOwed(db, { bucket, subscriptionId: id, epoch: step.epoch }, results, policy)
    const gone = sent.find(({ outcome }) => outcome.kind === 'gone')?.outcome
    if (gone?.kind === 'gone') {
      await sender.report(step, 'stopped', gone.reason)
      return 'none delivered'
    }
    if (!settled || results.every(({ error }) => error !== null)) return 'none delivered'
    await sender.report(step, 'active', null)
    return 'some delivered'
  }

  return async ({ epoch }, signal) => {
    const startedAt = performance.now()
    const result = { position: 0, worked: false, more: false }
    const step: Step = { worker: retryWorker(id), epoch, sendUntil: startedAt + SENDING_MS, signal, again: true }
    for (let bucket = 0; bucket < buckets; bucket++) {
      if (signal.aborted || !isRunning(subscription)) break
      if (performance.now() - startedAt > BUCKETS_MS) return { ...result, more: true }
      const came = await retry(bucket, step)
      result.worked ||= came !== 'none'
      result.more ||= came === 'some delivered'
    }
    return result
  }
}
