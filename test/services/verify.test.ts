import t from 'tap'
import type { EventTypeDefinition } from '../../src/domain/custom-type.js'
import type { FoldEvent } from '../../src/domain/event.js'
import { createVerifyService } from '../../src/services/verify.js'
import { SLICE_EVENTS } from '../../src/store/replay.js'
import { watchDb } from '../support/watched-db.js'
import { logins, newKey, testParts } from './parts.js'

t.test('what is right is found right, also across slices, and nothing is changed', async (t) => {
  const parts = await testParts(t)
  const { verify } = createVerifyService({ ...parts, buckets: 1 })
  const key = newKey()
  const count = SLICE_EVENTS + 3
  await parts.seed(key, logins(2))
  await parts.snapshots.take(key, 'manual', 'test')
  await parts.seed(key, logins(count - 2, 3))
  await parts.snapshots.take(key, 'manual', 'test')
  const before = await parts.snapshots.list(key)
  const found = await verify(key)
  const right = (version: number) => ({ version, correct: true, operations: [] })
  t.strictSame(found, {
    userId: key.userId,
    version: count,
    correct: true,
    served: right(count),
    snapshots: [right(2), right(count)]
  })
  t.strictSame(await parts.snapshots.list(key), before)
})

t.test('a snapshot that says something else is named, with what it should say', async (t) => {
  const parts = await testParts(t)
  const { verify } = createVerifyService({ ...parts, buckets: 1 })
  const key = newKey()
  await parts.seed(key, logins(5))
  const { state } = await parts.replay.stateAt(key, { version: 3 })
  await parts.putSnapshot(key, { version: 3, state: { ...state, totalLogins: 7 } })
  await parts.putSnapshot(key, { version: 4, state, fingerprint: 'other rules' })
  const found = await verify(key)
  const operations = [{ op: 'replace', path: '/totalLogins', value: 2 }]
  t.match(found, { correct: false, snapshots: [{ version: 3, correct: false, operations }] })
  t.equal(found.snapshots.length, 1, 'what is not used need not be right')
})

t.test('a wrong snapshot shows in what is served', async (t) => {
  const parts = await testParts(t)
  const { verify } = createVerifyService({ ...parts, buckets: 1 })
  const key = newKey()
  await parts.seed(key, logins(5))
  const { state } = await parts.replay.stateAt(key, { version: 3, useSnapshot: false })
  await parts.putSnapshot(key, { version: 3, state: { ...state, totalLogins: 7 } })
  const { served } = await verify(key)
  t.match(served, { version: 5, correct: false, operations: [{ op: 'replace', path: '/totalLogins', value: 4 }] })
})

t.test('a snapshot that holds no state is found wrong as a whole, and the others are still compared', async (t) => {
  const parts = await testParts(t)
  const { verify } = createVerifyService({ ...parts, buckets: 1 })
  const key = newKey()
  await parts.seed(key, logins(6))
  const { state } = await parts.replay.stateAt(key, { version: 5 })
  const broken = [null, 'text', {}, { ...state, attributes: null }]
  for (const [i, each] of broken.entries()) await parts.putSnapshot(key, { version: i + 1, state: each })
  await parts.putSnapshot(key, { version: 5, state })
  const found = await verify(key)
  t.match(found, { correct: false, served: { correct: true } })
  for (const [i, { version, correct, operations }] of found.snapshots.slice(0, 4).entries()) {
    const right = (await parts.replay.stateAt(key, { version: i + 1, useSnapshot: false })).state
    t.strictSame({ version, correct }, { version: i + 1, correct: false })
    t.strictSame(operations, [{ op: 'replace', path: '', value: right }])
  }
  t.match(found.snapshots[4], { version: 5, correct: true })
})

t.test('rules that change while it reads spoil no verdict', async (t) => {
  const parts = await testParts(t)
  const key = newKey()
  const { register } = parts.eventTypes
  const type: EventTypeDefinition = {
    summary: '',
    schema: { type: 'object' },
    effect: { kind: 'merge', namespace: 'n' },
    personalData: []
  }
  await register(null, 'Moved', 1, type, { dryRun: false })
  const moved = (version: number): FoldEvent => ({
    version,
    eventType: 'Moved',
    schemaVersion: 1,
    createdAt: new Date().toISOString(),
    eventData: { city: 'Paris' }
  })
  const count = SLICE_EVENTS + 10
  await parts.seed(key, [...logins(1), ...Array.from({ length: count - 1 }, (_, i) => moved(i + 2))])
  await parts.snapshots.take(key, 'manual', 'test')
  const { db, holdNext } = watchDb(parts.db)
  const { verify } = createVerifyService({ ...parts, db, buckets: 1 })
  const { taken, release } = holdNext()
  const verdict = verify(key)
  await taken
  await register(
    null,
    'Moved',
    2,
    { ...type, upcast: [{ op: 'add', path: '/country', value: 'FR' }] },
    { dryRun: false }
  )
  release()
  t.match(await verdict, { correct: true, version: count })
  t.match(await verify(key), { correct: true, snapshots: [] })
})

t.test('no user, no verdict', async (t) => {
  const parts = await testParts(t)
  const { verify } = createVerifyService({ ...parts, buckets: 1 })
  await t.rejects(verify(newKey()), { code: 'USER_NOT_FOUND' })
})
