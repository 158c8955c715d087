/**
 * Reads the log on from the checkpoint of a subscription and sends it. What could not be delivered is noted as owed, together with
 * the later events of the same users, and the relay goes on: a user whose events fail holds up nobody else. A system that takes
 * nothing at all is no fault of an event: then the checkpoint stays, and the relay waits. Nor is an event to blame that got no
 * answer while others did, since the system may have gone amid them: it is owed, and no try is counted.
 *
 * Every event is delivered at least once and first deliveries are in order per user: the checkpoint only passes what is delivered
 * or owed, and nothing of a user is sent here while an earlier event is owed (retrier.ts sends that).
 */
import type { Db } from '../db/client.js'
import { DomainError } from '../domain/errors.js'
import type { StoredEvent } from '../domain/event.js'
import { type Passed, recordRelay, selectBlockedUsers } from '../store/outbox.js'
import { type Progress, relayWorker, selectProgress } from '../store/subscriptions.js'
import { readLog } from './log-reader.js'
import { createRest, findOutcome, isRunning, outboxPolicy, type Sender, type Sent, type Step } from './sender.js'
import type { WorkerStep } from './worker.js'

/** A step turns to another bucket no later than this, ms. */
const BUCKETS_MS = 500

/** The step of the worker that relays: at most one batch of every bucket. */
export function createRelay({ db, sender }: { db: Db; sender: Sender }): WorkerStep {
  const { subscription } = sender
  const { id, tenantId, definition } = subscription
  const policy = outboxPolicy(subscription)
  const filter = { tenantId: tenantId ?? undefined, eventTypes: definition.eventTypes ?? undefined }
  const rest = createRest(sender)

  async function freeOf(bucket: number, events: StoredEvent[]): Promise<StoredEvent[]> {
    if (events.length === 0) return events
    const users = [...new Set(events.map(({ aggregateId }) => aggregateId))]
    const blocked = await selectBlockedUsers(db, bucket, id, users, policy.wait)
    return events.filter(({ aggregateId }) => !blocked.has(aggregateId))
  }

  /** Whether the system takes nothing; then nothing is said about a single event, and nothing is passed. */
  async function isTrouble(sent: readonly Sent[], answered: boolean, step: Step): Promise<boolean> {
    const gone = findOutcome(sent, 'gone')
    if (gone) {
      await sender.report(step, 'stopped', gone.reason)
      return true
    }
    const unavailable = findOutcome(sent, 'unavailable')
    if (!unavailable || answered) return false
    // Whoever is told to stop has not found out anything.
    if (step.signal.aborted) return true
    const failures = rest.start(unavailable)
    // One user alone may be what it cannot take. After enough tries the user waits aside and others get their turn.
    const alone = new Set(sent.map(({ event }) => event.aggregateId)).size === 1
    if (alone && failures > policy.maxAttempts) return false
    await sender.report(step, 'failing', unavailable.reason)
    return true
  }

  async function relay({ bucket, position, head }: Progress, step: Step): Promise<'more' | 'done' | 'stuck'> {
    const walk = { bucket, direction: 'forward', limit: definition.batchSize, from: position, to: head } as const
    const page = await readLog(db, walk, filter).catch(onlyOffline)
    if (page instanceof DomainError) {
      await sender.report(step, 'failing', page.message)
      return 'stuck'
    }
    const { sent, cut, answered } = await sender.send(await freeOf(bucket, page.events), step)
    if (await isTrouble(sent, answered, step)) return 'stuck'
    const reached = cut ? lastTried(sent) : page.position
    if (reached === null) return 'stuck'
    const outcomes = new Map(sent.map(({ event, outcome }) => [event.position, outcome]))
    const owed = page.events.flatMap((event): Passed[] => {
      const outcome = outcomes.get(event.position) ?? { kind: 'held' }
      if (outcome.kind === 'delivered' || event.position > reached) return []
      const failed = outcome.kind !== 'held'
      return [
        {
          position: event.position,
          user: event.aggregateId,
          version: event.version,
          error: failed ? outcome.reason : null,
          counts: outcome.kind === 'failed' ? 1 : 0,
          delayMs: failed ? sender.delay(1, outcome) : 0
        }
      ]
    })
    const moved = await recordRelay(
      db,
      { bucket, subscriptionId: id, epoch: step.lease.epoch, position: reached },
      owed,
      policy
    )
    // Another instance took over while this one slept, or the subscription was reset or deleted: go on from what is stored.
    if (!moved) return 'stuck'
    if (sent.length > 0) rest.end()
    // To pass what was not selected says nothing: a tenant would see by it that others are at work.
    if (findOutcome(sent, 'delivered')) await sender.report(step, 'active', null)
    return reached < head ? 'more' : 'done'
  }

  return async (lease, signal) => {
    const startedAt = performance.now()
    const result = { position: 0, worked: false, more: false }
    if (rest.isOn() || !isRunning(subscription)) return result
    const step: Step = { worker: relayWorker(id), lease, signal, again: false }
    for (const progress of await selectProgress(db, id)) {
      if (signal.aborted || progress.position >= progress.head) continue
      if (performance.now() - startedAt > BUCKETS_MS) return { ...result, more: true }
      const reached = await relay(progress, step)
      result.worked ||= reached !== 'stuck'
      result.more ||= reached === 'more'
    }
    return result
  }
}

/** Of what cannot be read now, events that are offline are the operator's to bring back. */
function onlyOffline(err: unknown): DomainError {
  if (err instanceof DomainError && err.code === 'ARCHIVE_OFFLINE') return err
  throw err
}

/** Position of the last event that was sent; null when none was. What stands before it and was not sent is owed. */
const lastTried = (sent: readonly Sent[]): number | null =>
  sent.findLast(({ outcome }) => outcome.kind !== 'held')?.event.position ?? null
