import { deepStrictEqual } from 'node:assert'
import fc from 'fast-check'
import jsonPatch from 'fast-json-patch'
import t from 'tap'
import type { EventTypeDefinition } from '../../src/domain/custom-type.js'
import type { FoldEvent } from '../../src/domain/event.js'
import { fold, nothingFolded } from '../../src/domain/replay.js'
import { createEffectService } from '../../src/services/effects.js'
import { histories } from '../domain/histories.js'
import { watchDb } from '../support/watched-db.js'
import { logins, newKey, testParts } from './parts.js'

const ALL = { from: 1, limit: 500, useSnapshot: true }

t.test(
  'the operations of all events, one after the other, make every state, whatever the size of the pages',
  async (t) => {
    const parts = await testParts(t)
    const { read } = createEffectService({ ...parts, buckets: 1 })
    const property = fc.asyncProperty(histories(15), fc.integer({ min: 1, max: 16 }), async (events, limit) => {
      const key = newKey()
      await parts.seed(key, events)
      let state: unknown = null
      let seen = 0
      for (let from: number | null = 1; from !== null; ) {
        const { effects, next, version } = await read(key, { from, limit, useSnapshot: true })
        deepStrictEqual(version, events.length)
        for (const { version, operations } of effects) {
          deepStrictEqual(version, ++seen)
          state = jsonPatch.applyPatch(structuredClone(state), operations, true).newDocument
          deepStrictEqual(state, fold(parts.catalog, key, nothingFolded, events.slice(0, seen)).state)
        }
        from = next
      }
      deepStrictEqual(seen, events.length)
    })
    await t.resolves(fc.assert(property, { numRuns: 40, endOnFailure: true }))
  }
)

t.test('a page begins at a snapshot unless that is not wanted', async (t) => {
  const parts = await testParts(t)
  const { read } = createEffectService({ ...parts, buckets: 1 })
  const key = newKey()
  await parts.seed(key, logins(5))
  const { state } = await parts.replay.stateAt(key, { version: 3, useSnapshot: false })
  await parts.putSnapshot(key, { version: 3, state: { ...state, totalLogins: 7 } })
  const page = { from: 4, limit: 1 }
  const logins4 = (value: number) => [{ version: 4, operations: [{ op: 'replace', path: '/totalLogins', value }] }]
  t.match((await read(key, { ...page, useSnapshot: true })).effects, logins4(8))
  t.match((await read(key, { ...page, useSnapshot: false })).effects, logins4(3))
})

t.test('versions and users that are not there are refused', async (t) => {
  const parts = await testParts(t)
  const { read } = createEffectService({ ...parts, buckets: 1 })
  const key = newKey()
  await t.rejects(read(key, ALL), { code: 'USER_NOT_FOUND' })
  await parts.seed(key, logins(3))
  t.match(await read(key, { ...ALL, from: 3 }), { effects: [{ version: 3 }], next: null })
  await t.rejects(read(key, { ...ALL, from: 4 }), { code: 'VERSION_NOT_FOUND', facts: { currentVersion: 3 } })
})

t.test('rules that change while it reads are not mixed', async (t) => {
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
    ...logins(1)[0]!,
    version,
    eventType: 'Moved',
    eventData: { v: version }
  })
  await parts.seed(key, [...logins(1), moved(2), moved(3)])
  await parts.replay.stateAt(key)
  const { db, holdNext } = watchDb(parts.db)
  const { read } = createEffectService({ ...parts, db, buckets: 1 })
  const { taken, release } = holdNext()
  const page = read(key, { ...ALL, from: 3 })
  await taken
  await register(null, 'Moved', 2, { ...type, upcast: [{ op: 'add', path: '/w', value: 1 }] }, { dryRun: false })
  release()
  t.strictSame((await page).effects[0]?.operations, [{ op: 'replace', path: '/attributes/n/v', value: 3 }])
  const after = await read(key, { ...ALL, from: 2 })
  t.strictSame(
    after.effects.map(({ operations }) => operations.filter(({ path }) => path.startsWith('/attributes'))),
    [
      [{ op: 'add', path: '/attributes/n', value: { v: 2, w: 1 } }],
      [{ op: 'replace', path: '/attributes/n/v', value: 3 }]
    ]
  )
})
