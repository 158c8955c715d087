/** Random histories of a user that the service would accept, as the reducer sees them. */
import fc, { type Arbitrary } from 'fast-check'
import type { FoldEvent, JsonObject } from '../../src/domain/event.js'

const word = fc.string({ minLength: 1, maxLength: 8 })
const roleIds = fc.uniqueArray(word, { maxLength: 3 })
const moment = fc
  .date({ min: new Date('2000-01-01T00:00:00Z'), max: new Date('2040-01-01T00:00:00Z'), noInvalidDate: true })
  .map((date) => date.toISOString())

/** A merge patch: few keys, so that patches meet, and nulls at every depth. */
const attributes: Arbitrary<JsonObject> = fc.letrec<{ value: unknown; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 2 },
    fc.constantFrom(null, true, 0, 1.5, -3e21, 'text', ''),
    fc.array(fc.constantFrom(null, 1, 'a', {}), { maxLength: 2 }),
    tie('object')
  ),
  object: fc.dictionary(fc.constantFrom('a', 'b', '', 'a/b~c', 'toString', 'é'), tie('value'), {
    maxKeys: 3,
    noNullPrototype: true
  })
})).object

const some = <T>(arbitrary: Arbitrary<T>) => fc.option(arbitrary, { nil: null })

const created = fc.record(
  { username: word, email: fc.constant('ada@example.com'), fullName: word, phone: word, roleIds, attributes },
  { requiredKeys: ['username', 'email'] }
)

/** eventData by type, for the types that can stand anywhere after the first event. */
const later: Record<string, Arbitrary<JsonObject>> = {
  UserUpdated: fc
    .record(
      {
        username: word,
        email: fc.constantFrom('a@b', 'c@d'),
        fullName: some(word),
        phone: some(word),
        avatar: some(word),
        status: fc.constantFrom('active', 'inactive', 'suspended'),
        roleIds,
        attributes
      },
      { requiredKeys: [] }
    )
    .map((changes) => (Object.keys(changes).length === 0 ? { attributes: {} } : changes)),
  PasswordChanged: fc.record({ changedBy: word }),
  LoginInfoUpdated: fc.record(
    { ipAddress: fc.constantFrom('203.0.113.7', '2001:db8::1'), loginAt: moment, userAgent: word },
    { requiredKeys: ['ipAddress', 'loginAt'] }
  ),
  AccountLocked: fc.record({ reason: word, loginAttempts: fc.nat(9), lockedUntil: moment }),
  AccountUnlocked: fc.record({ unlockedBy: word }),
  RolesAssigned: fc.record({ roleIds, assignedBy: word })
}

const step = fc.oneof(
  ...Object.entries(later).map(([eventType, data]) => data.map((eventData) => ({ eventType, eventData })))
)

/** Times between two events, ms: often none, so that events share a createdAt. */
const pause = fc.constantFrom(0, 0, 1, 2, 999, 86_400_000)

/** 1 to `max` events with versions from 1: UserCreated first, now and then UserDeleted last, times that never go back. */
export function histories(max: number): Arbitrary<FoldEvent[]> {
  return fc
    .tuple(created, fc.array(fc.tuple(step, pause), { maxLength: max - 1, size: 'max' }), fc.boolean())
    .map(([eventData, steps, ends]) => {
      let createdAt = Date.UTC(2026, 0, 1)
      const events: FoldEvent[] = [foldEvent(1, 'UserCreated', eventData, createdAt)]
      for (const [{ eventType, eventData }, ms] of steps) {
        createdAt += ms
        events.push(foldEvent(events.length + 1, eventType, eventData, createdAt))
      }
      if (ends && steps.length > 0) {
        events[events.length - 1] = foldEvent(events.length, 'UserDeleted', { deletedBy: 'support' }, createdAt)
      }
      return events
    })
}

const foldEvent = (version: number, eventType: string, eventData: JsonObject, createdAt: number): FoldEvent => ({
  version,
  eventType,
  schemaVersion: 1,
  eventData,
  createdAt: new Date(createdAt).toISOString()
})
