/** How sinks keep the order per user with systems that take one event at a time and may refuse it. */
import type { StoredEvent } from '../domain/event.js'
import type { Outcome } from '../domain/sink.js'

/** Splits a batch so that no part holds two events of one user, each user's events standing in order over the parts. */
export function wavesOf(batch: readonly StoredEvent[]): StoredEvent[][] {
  const waves: StoredEvent[][] = []
  const depthOf = new Map<string, number>()
  for (const event of batch) {
    const depth = depthOf.get(event.aggregateId) ?? 0
    depthOf.set(event.aggregateId, depth + 1)
    waves[depth] ??= []
    waves[depth].push(event)
  }
  return waves
}

/**
 * Publishes `batch` wave by wave: `send` gets events of different users, says what became of each in the same order, and is
 * not asked for a user again after one of its events was not delivered.
 */
export function publishInWaves(
  batch: readonly StoredEvent[],
  signal: AbortSignal,
  send: (events: StoredEvent[]) => Promise<Outcome[]>
): Promise<Outcome[]> {
  return publishInParts(batch, wavesOf(batch), signal, send)
}

/**
 * Publishes `batch` part by part, each after the outcomes of the one before: `send` says what became of each event in the
 * same order, and is not asked for a user again after one of its events was not delivered. A part that holds several events
 * of a user must arrive as a whole or not at all.
 */
export async function publishInParts(
  batch: readonly StoredEvent[],
  parts: readonly StoredEvent[][],
  signal: AbortSignal,
  send: (events: StoredEvent[]) => Promise<Outcome[]>
): Promise<Outcome[]> {
  const outcomes = new Map<StoredEvent, Outcome>()
  const blocked = new Set<string>()
  for (const part of parts) {
    if (signal.aborted) break
    const open = part.filter(({ aggregateId }) => !blocked.has(aggregateId))
    if (open.length === 0) continue
    const results = await send(open)
    for (const [i, event] of open.entries()) {
      outcomes.set(event, results[i]!)
      if (results[i]!.kind !== 'delivered') blocked.add(event.aggregateId)
    }
  }
  return batch.map((event) => outcomes.get(event) ?? { kind: 'held' })
}
