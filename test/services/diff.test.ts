import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import jsonPatch from 'fast-json-patch'
import t from 'tap'
import { fold, nothingFolded } from '../../src/domain/replay.js'
import { diffStates } from '../../src/services/diff.js'
import { histories } from '../domain/histories.js'
import { logins, newKey, testParts } from './parts.js'

t.test('the operations turn the one state into the other, between any two versions and both ways', async (t) => {
  const parts = await testParts(t)
  const property = fc.asyncProperty(histories(15), fc.nat(), fc.nat(), async (events, a, b) => {
    const key = newKey()
    await parts.seed(key, events)
    const [from, to] = [a % (events.length + 1), b % (events.length + 1)]
    const stateAt = (version: number) => fold(parts.catalog, key, nothingFolded, events.slice(0, version)).state
    const { operations, ...rest } = await diffStates(parts.replay, key, from, to)
    deepStrictEqual(rest, { userId: key.userId, fromVersion: from, toVersion: to })
    const patched = jsonPatch.applyPatch(structuredClone(stateAt(from)), operations, true).newDocument
    deepStrictEqual(patched, stateAt(to))
    if (from === to) deepStrictEqual(operations, [])
  })
  await t.resolves(fc.assert(property, { numRuns: 60, endOnFailure: true }))
})

t.test('only what changed is named', async (t) => {
  const parts = await testParts(t)
  const key = newKey()
  await parts.seed(key, logins(3))
  t.strictSame((await diffStates(parts.replay, key, 2, 3)).operations, [
    { op: 'replace', path: '/totalLogins', value: 2 }
  ])
  t.match((await diffStates(parts.replay, key, 0, 1)).operations, [
    { op: 'replace', path: '', value: { id: key.userId } }
  ])
  t.strictSame((await diffStates(parts.replay, key, 1, 0)).operations, [{ op: 'replace', path: '', value: null }])
  t.strictSame((await diffStates(parts.replay, key, 0, 0)).operations, [])
})

t.test('versions and users that are not there are refused', async (t) => {
  const parts = await testParts(t)
  const key = newKey()
  await parts.seed(key, logins(3))
  for (const [from, to] of [
    [1, 4],
    [4, 1],
    [4, 4],
    [0, 4]
  ] as const) {
    await t.rejects(diffStates(parts.replay, key, from, to), {
      code: 'VERSION_NOT_FOUND',
      facts: { currentVersion: 3 }
    })
    await t.rejects(diffStates(parts.replay, newKey(), from, to), { code: 'USER_NOT_FOUND' })
  }
  await t.rejects(diffStates(parts.replay, newKey(), 0, 0), { code: 'USER_NOT_FOUND' })
})
