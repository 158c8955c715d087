/** The log as the database holds it, read past the service, and what must be true of it at any moment. */
import type { Test } from 'tap'
import type { TestDatabase } from './db.js'

export type LogEvent = { id: string; userId: string; version: number; position: number; eventType: string }

/** What a service acknowledged about one event. */
export type Acknowledged = { id: string; userId: string; version: number; position: number }

/** All events of bucket 0 in order of position; fails the test unless positions and versions have no gap. */
export async function readIntactLog(t: Test, { run }: Pick<TestDatabase, 'run'>): Promise<LogEvent[]> {
  const rows = await run<{ id: string; userId: string; version: number; position: string; eventType: string }>(
    'SELECT id, "aggregateId" AS "userId", version, position, "eventType" FROM user_events WHERE bucket = 0 ORDER BY position'
  )
  const log = rows.map((row) => ({ ...row, position: Number(row.position) }))
  const heads = new Map<string, number>()
  const holes: string[] = []
  for (const [i, { userId, version, position }] of log.entries()) {
    if (position !== i + 1) holes.push(`position ${position} where ${i + 1} was due`)
    const due = (heads.get(userId) ?? 0) + 1
    if (version !== due) holes.push(`version ${version} of ${userId} at position ${position} where ${due} was due`)
    heads.set(userId, version)
  }
  t.strictSame(
    holes.slice(0, 5),
    [],
    `positions 1 to ${log.length} and the versions of ${heads.size} users have no gap`
  )
  return log
}

/** Fails the test unless every acknowledged event stands once in the log, at the place that was acknowledged. */
export function assertKept(t: Test, log: readonly LogEvent[], acknowledged: readonly Acknowledged[]): void {
  const stored = new Map(log.map((event) => [event.id, event]))
  t.equal(stored.size, log.length, 'no id stands twice')
  const wrong = acknowledged.filter(({ id, userId, version, position }) => {
    const event = stored.get(id)
    return !event || event.userId !== userId || event.version !== version || event.position !== position
  })
  t.strictSame(wrong.slice(0, 5), [], `${acknowledged.length} acknowledged events are stored once, where it was said`)
}

/** What an append answered, as facts to check later. */
export const acknowledgedOf = (data: Record<string, any>): Acknowledged[] =>
  data.events.map(({ id, version, position }: Acknowledged) => ({ id, userId: data.userId, version, position }))
