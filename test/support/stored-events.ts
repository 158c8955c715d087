/** Events as they come out of the log, without a log: for what takes them as they are. */
import { randomUUID } from 'node:crypto'
import { DEFAULT_TENANT, type StoredEvent } from '../../src/domain/event.js'

/** One event; whatever is not given is made up. */
export function storedEvent(event: Partial<StoredEvent> = {}): StoredEvent {
  return {
    id: randomUUID(),
    aggregateId: randomUUID(),
    tenantId: DEFAULT_TENANT,
    position: 1,
    version: 1,
    eventType: 'UserUpdated',
    schemaVersion: 1,
    eventData: { fullName: 'Ada Łovelace 𝒜' },
    metadata: null,
    occurredAt: null,
    createdAt: '2026-11-22T08:00:00.123Z',
    ...event
  }
}

/** `perUser` events of each of `users` users, the users taking turns; positions and versions count from 1. */
export function storedEvents(users: number, perUser: number, event: Partial<StoredEvent> = {}): StoredEvent[] {
  const ids = Array.from({ length: users }, () => randomUUID())
  return Array.from({ length: users * perUser }, (_, i) =>
    storedEvent({
      aggregateId: ids[i % users]!,
      position: i + 1,
      version: Math.floor(i / users) + 1,
      ...event
    })
  )
}
