/** Events to append, and users to append them to: fresh ids, never fixed ones. */
import { randomUUID } from 'node:crypto'

export const newUserId = (): string => randomUUID()

export const userCreated = (username = 'ada', more: object = {}) => ({
  eventType: 'UserCreated',
  eventData: { username, email: `${username}@example.com`, ...more }
})

export const userUpdated = (changes: object = { fullName: 'Ada Lovelace' }) => ({
  eventType: 'UserUpdated',
  eventData: changes
})

export const userDeleted = () => ({ eventType: 'UserDeleted', eventData: { deletedBy: 'support' } })

export const loggedIn = (ipAddress = '203.0.113.7') => ({
  eventType: 'LoginInfoUpdated',
  eventData: { ipAddress, loginAt: '2026-11-22T08:00:00.000Z' }
})

/** `count` events that can follow any living user. */
export const updates = (count: number) =>
  Array.from({ length: count }, (_, i) => userUpdated({ fullName: `Name ${i}` }))

/** Query of the state route for the newest state as it is loaded and not as it is cached: at a moment, which no cache knows. */
export const LOADED = 'at=2999-01-01T00:00:00Z'
