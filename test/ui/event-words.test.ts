/** What events say in words. */
import t from 'tap'
import { builtInTypes } from '../../src/domain/catalog.js'
import { actorOf, wordsOf } from '../../src/ui/pages/user/event-words.js'

const told = (eventType: string, eventData: object, metadata: object | null = null) => ({
  eventType,
  eventData,
  metadata
})
const words = (eventType: string, eventData: object) => wordsOf(told(eventType, eventData))

t.test('each built-in type has a sentence of its own', async (t) => {
  const sentences = Object.fromEntries(builtInTypes.map(({ name, example }) => [name, words(name, example)]))
  t.strictSame(sentences, {
    UserCreated: 'Created as ada, ada@example.com',
    UserUpdated: 'Full name set to Ada King; attributes changed: theme',
    PasswordChanged: 'Password changed',
    UserDeleted: 'Deleted: asked for it',
    LoginInfoUpdated: 'Signed in from 203.0.113.7',
    AccountLocked: 'Locked until 2026-11-22 09:00:00 UTC after 5 attempts: too many attempts',
    AccountUnlocked: 'Lock lifted',
    RolesAssigned: 'Roles are now admin'
  })
})

t.test('what was removed, emptied or left out is told as such', async (t) => {
  t.equal(words('UserUpdated', { phone: null, roleIds: [] }), 'Phone removed; no roles any more')
  t.equal(
    words('UserCreated', { username: 'ada', email: 'a@b', roleIds: ['x', 'y'] }),
    'Created as ada, a@b with roles x, y'
  )
  t.equal(words('UserDeleted', { deletedBy: 'support' }), 'Deleted')
  t.equal(words('RolesAssigned', { roleIds: [] }), 'No roles any more')
})

t.test('an older version of the data is told as well', async (t) => {
  t.equal(words('LoginInfoUpdated', { ipAddress: '203.0.113.7' }), 'Signed in from 203.0.113.7')
})

t.test('of other types the fields are told, and of many fields and long values the beginning', async (t) => {
  t.equal(
    words('Moved', { city: 'Paris', floors: 3, at: { zip: '75001' } }),
    'city: Paris; floors: 3; at: {"zip":"75001"}'
  )
  t.equal(words('Moved', { a: 1, b: 2, c: 3, d: 4, e: 5 }), 'a: 1; b: 2; c: 3; 2 more')
  t.equal(words('Moved', { text: 'x'.repeat(61) }), `text: ${'x'.repeat(60)}…`)
  t.equal(words('Moved', {}), 'Moved')
  t.equal(words('toString', {}), 'toString')
})

t.test('data that are not as the type says are told without failing', async (t) => {
  for (const { name } of builtInTypes)
    for (const data of [{}, { roleIds: 1, attributes: 2, ipAddress: [], lockedUntil: {} }])
      t.type(words(name, data), 'string')
})

t.test('who did it is in the data, else in the metadata, else whose credentials it came with', async (t) => {
  const metadata = { userId: 'ada', $principal: 'key:1' }
  t.equal(actorOf(told('UserDeleted', { deletedBy: 'support' }, metadata)), 'support')
  t.equal(actorOf(told('UserUpdated', {}, metadata)), 'ada')
  t.equal(actorOf(told('UserUpdated', {}, { userId: 7, $principal: 'key:1' })), 'key:1')
  t.equal(actorOf(told('UserUpdated', {}, null)), null)
})
