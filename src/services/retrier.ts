/**
 * Sends what a subscription owes, when its time has come: of each user in order, and the next one only after the one before was
 * delivered, is dead (if those may be passed) or discarded. An event leaves the outbox after it was delivered and not before.
 *
 * A try that got no answer counts only if the one before got none either and others had been answered when it began: a system that is
 * away, goes or comes back uses up the tries of no event, and one that never answers for a single user makes no exception of that user.
 */
import type { Db } from '../db/client.js'
import { type Settled, selectDue, selectEventsAt, settleOwed } from '../store/outbox.js'
import { retryWorker } from '../store/subscriptions.js'
import { createRest, findOutcome, isRunning, outboxPolicy, type Sender, type Step } from './sender.js'
import type { WorkerStep } from './worker.js'

/** What one step takes of a bucket. */
const DUE = { users: 100, perUser: 20 }
/** Events that are remembered for having got no answer; to forget them all costs each a try. */
const UNANSWERED_MAX = 10_000
/** A step turns to another bucket no later than this, ms. */
const BUCKETS_MS = 500

/** The step of the worker that sends again. */
export function createRetrier({ db, sender, buckets }: { db: Db; sender: Sender; buckets: number }): WorkerStep {
  const { subscription } = sender
  const { id } = subscription
  const policy = outboxPolicy(subscription)
  const rest = createRest(sender)
  /** positions, by bucket */
  const unanswered = new Set<string>()

  /** What a try without an answer counts for. `answering` says whether others were answered last when it began. */
  function countOf(place: string, answering: boolean): 0 | 1 {
    if (unanswered.has(place)) return answering ? 1 : 0
    if (unanswered.size >= UNANSWERED_MAX) unanswered.clear()
    unanswered.add(place)
    return 0
  }

  async function retry(bucket: number, step: Step): Promise<'none' | 'some delivered' | 'none delivered'> {
    const due = await selectDue(db, bucket, id, DUE)
    if (due.length === 0) return 'none'
    const attempts = new Map(due.map((each) => [each.position, each.attempts]))
    // Whoever got no answer at all said so: if that is not so any more, others were answered since.
    const answering = subscription.state === 'active'
    const { sent, answered } = await sender.send(await selectEventsAt(db, bucket, [...attempts.keys()]), step)
    const unavailable = findOutcome(sent, 'unavailable')
    if (unavailable && !answered) {
      // Whoever is told to stop has not found out anything.
      if (step.signal.aborted) return 'none'
      rest.start(unavailable)
      await sender.report(step, 'failing', unavailable.reason)
    } else rest.end()
    const results = sent.flatMap(({ event, outcome }): Settled[] => {
      if (outcome.kind === 'held' || outcome.kind === 'gone') return []
      const { position, aggregateId: user } = event
      const place = `${bucket}/${position}`
      if (outcome.kind !== 'unavailable') unanswered.delete(place)
      if (outcome.kind === 'delivered') return [{ position, user, error: null, delayMs: 0, counts: 1 }]
      const counts = outcome.kind === 'failed' ? 1 : countOf(place, answering)
      const delayMs = sender.delay(attempts.get(position)! + 1, outcome)
      return [{ position, user, error: outcome.reason, delayMs, counts }]
    })
    const settled = await settleOwed(db, { bucket, subscriptionId: id, epoch: step.lease.epoch }, results, policy)
    const gone = findOutcome(sent, 'gone')
    if (gone) {
      await sender.report(step, 'stopped', gone.reason)
      return 'none delivered'
    }
    if (!settled || results.every(({ error }) => error !== null)) return 'none delivered'
    await sender.report(step, 'active', null)
    return 'some delivered'
  }

  return async (lease, signal) => {
    const startedAt = performance.now()
    const result = { position: 0, worked: false, more: false }
    const step: Step = { worker: retryWorker(id), lease, signal, again: true }
    for (let bucket = 0; bucket < buckets; bucket++) {
      if (signal.aborted || rest.isOn() || !isRunning(subscription)) break
      if (performance.now() - startedAt > BUCKETS_MS) return { ...result, more: true }
      const came = await retry(bucket, step)
      result.worked ||= came !== 'none'
      result.more ||= came === 'some delivered'
    }
    return result
  }
}
