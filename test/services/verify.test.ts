import t from 'tap'
import { createVerifyService } from '../../src/services/verify.js'
import { SLICE_EVENTS } from '../../src/store/replay.js'
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

t.test('no user, no verdict', async (t) => {
  const parts = await testParts(t)
  const { verify } = createVerifyService({ ...parts, buckets: 1 })
  await t.rejects(verify(newKey()), { code: 'USER_NOT_FOUND' })
})
