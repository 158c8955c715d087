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

const ofCreation = {
  username: word,
  email: fc.constant('ada@example.com'),
  fullName: word,
  phone: word,
  roleIds,
  attributes
}
const ofLogin = { loginAt: moment, userAgent: word }

/** eventData of the first event, by schema version from 1. */
const created: Arbitrary<JsonObject>[] = [
  fc.record(ofCreation, { requiredKeys: ['username', 'email'] }),
  fc.record({ ...ofCreation, phoneVerified: fc.boolean() }, { requiredKeys: ['username', 'email', 'phoneVerified'] })
]

/** eventData by type and schema version, for the types that can stand anywhere after the first event. */
const later: Record<string, Arbitrary<JsonObject>[]> = {
  UserUpdated: [
    fc
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
      .map((changes) => (Object.keys(changes).length === 0 ? { attributes: {} } : changes))
  ],
  PasswordChanged: [fc.record({ changedBy: word })],
  LoginInfoUpdated: [
    fc.record(
      { ...ofLogin, ipAddress: fc.constantFrom('203.0.113.7', '2001:db8::1') },
      { requiredKeys: ['ipAddress', 'loginAt'] }
    ),
    fc.record(
      {
        ...ofLogin,
        ipAddress: fc.constantFrom({ address: '203.0.113.7', family: 4 }, { address: '2001:db8::1', family: 6 })
      },
      { requiredKeys: ['ipAddress', 'loginAt'] }
    )
  ],
  AccountLocked: [fc.record({ reason: word, loginAttempts: fc.nat(9), lockedUntil: moment })],
  AccountUnlocked: [fc.record({ unlockedBy: word })],
  RolesAssigned: [fc.record({ roleIds, assignedBy: word })]
}

type Content = Pick<FoldEvent, 'eventType' | 'schemaVersion' | 'eventData'>

/** Events of one type, of any of its schema versions. */
const ofType = (eventType: string, versions: Arbitrary<JsonObject>[]): Arbitrary<Content> =>
  fc.oneof(...versions.map((data, i) => data.map((eventData) => ({ eventType, schemaVersion: i + 1, eventData }))))

const step = fc.oneof(...Object.entries(later).map(([eventType, versions]) => ofType(eventType, versions)))

/** Times between two events, ms: often none, so that events share a createdAt. */
const pause = fc.constantFrom(0, 0, 1, 2, 999, 86_400_000)

/**
 * 1 to `max` events with versions from 1: UserCreated first, now and then UserDeleted last, times that never go back,
 * data of old and new schema versions.
 */
export function histories(max: number): Arbitrary<FoldEvent[]> {
  return fc
    .tuple(
      ofType('UserCreated', created),
      fc.array(fc.tuple(step, pause), { maxLength: max - 1, size: 'max' }),
      fc.boolean()
    )
    .map(([first, steps, ends]) => {
      let createdAt = Date.UTC(2026, 0, 1)
      const events: FoldEvent[] = [foldEvent(1, first, createdAt)]
      for (const [content, ms] of steps) {
        createdAt += ms
        events.push(foldEvent(events.length + 1, content, createdAt))
      }
      if (ends && steps.length > 0) events[events.length - 1] = foldEvent(events.length, DELETION, createdAt)
      return events
    })
}

const DELETION: Content = { eventType: 'UserDeleted', schemaVersion: 1, eventData: { deletedBy: 'support' } }

const foldEvent = (version: number, content: Content, createdAt: number): FoldEvent => ({
  version,
  ...content,
  createdAt: new Date(createdAt).toISOString()
})
