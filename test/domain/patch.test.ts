/** Patches that clients register: whatever they are, and whatever they meet, they end soon, and fail by one kind of error. */

import fc from 'fast-check'
import type { Operation } from 'fast-json-patch'
import t from 'tap'
import type { JsonObject } from '../../src/domain/event.js'
import {
  applyPatch,
  PATCH_BYTES_MAX,
  PATCHED_BYTES_MAX,
  PATCHED_DEPTH_MAX,
  PatchFailed,
  valueAt
} from '../../src/domain/patch.js'
import { deepFreeze } from '../support/freeze.js'
import { seedOf } from '../support/random.js'

/** What the operations make, or why they fail. */
function outcome(document: JsonObject, operations: Operation[]): unknown {
  try {
    return applyPatch(deepFreeze(document), deepFreeze(operations))
  } catch (err) {
    if (!(err instanceof PatchFailed)) throw err
    return err.reason
  }
}

const copy = (from: string, path: string): Operation => ({ op: 'copy', from, path })
const move = (from: string, path: string): Operation => ({ op: 'move', from, path })

t.test('the operations do what RFC 6902 says, and neither document nor patch is touched', async (t) => {
  const document = { a: { b: [1, 2] }, 'x/y': { '~': 1 } }
  t.strictSame(outcome(document, [{ op: 'add', path: '/a/b/-', value: 3 }, move('/a/b', '/b'), copy('/b/0', '/c')]), {
    a: {},
    b: [1, 2, 3],
    c: 1,
    'x/y': { '~': 1 }
  })
  t.strictSame(outcome(document, [{ op: 'replace', path: '', value: { d: 1 } }]), { d: 1 })
  t.strictSame(outcome(document, [{ op: 'replace', path: '/x~1y/~0', value: 2 }]), { ...document, 'x/y': { '~': 2 } })
  t.equal(outcome(document, [{ op: 'test', path: '/a/b/0', value: 2 }]), 'TEST_OPERATION_FAILED')
  t.equal(outcome(document, [{ op: 'test', path: '/none', value: 2 }]), 'TEST_OPERATION_FAILED')
  t.equal(outcome(document, [{ op: 'remove', path: '/none' }]), 'OPERATION_PATH_UNRESOLVABLE')
  t.equal(outcome(document, [copy('/a/b/7', '/c')]), 'OPERATION_FROM_UNRESOLVABLE')
})

t.test('what no object becomes, and what the library stumbles over, is a patch that fails', async (t) => {
  const document = { a: { b: [1] }, c: 'text' }
  for (const operations of [
    [{ op: 'replace', path: '', value: [] }],
    [{ op: 'remove', path: '' }],
    [copy('/c', '')],
    [move('/a', '/a/b')],
    [move('/a', '/a/b/0')],
    [copy('/a/toString', '/d')],
    [move('/c/length', '/d')],
    [copy('/a/b', '/c/d')],
    [copy('/c', '/a/b/5')],
    [{ op: 'add', path: '/__proto__/x', value: 1 }]
  ] as Operation[][])
    t.type(outcome(document, operations), 'string', JSON.stringify(operations))
})

t.test('limits', async (t) => {
  // A text of JSON has two quotation marks; its key has two more, a colon and a comma.
  const around = '""'.length + ',"b":'.length
  const adds = (bytes: number): Operation[] => [{ op: 'add', path: '/b', value: 'x'.repeat(bytes - around) }]
  t.type(outcome({}, adds(PATCH_BYTES_MAX)), 'object')
  t.match(outcome({}, adds(PATCH_BYTES_MAX + 1)), /writes more than/)
  const copies = (bytes: number) => outcome({ a: 'x'.repeat(bytes - around) }, [copy('/a', '/b')])
  t.type(copies(PATCH_BYTES_MAX), 'object')
  t.match(copies(PATCH_BYTES_MAX + 1), /writes more than/)

  const ofBytes = (bytes: number) => ({ a: 'x'.repeat(bytes - '{"a":""}'.length) })
  const addB = (bytes: number): Operation[] => [{ op: 'add', path: '/b', value: 'x'.repeat(bytes - ',"b":""'.length) }]
  t.type(outcome(ofBytes(PATCHED_BYTES_MAX - 100), addB(100)), 'object')
  t.match(outcome(ofBytes(PATCHED_BYTES_MAX - 100), addB(101)), /makes more than/)
  const large = ofBytes(PATCHED_BYTES_MAX + 1000)
  t.match(outcome(large, addB(100)), /makes more than/)
  t.type(outcome(large, [{ op: 'replace', path: '/a', value: 'small' }]), 'object', 'what shrinks is welcome')

  const nested = (levels: number): unknown => (levels === 0 ? 1 : { n: nested(levels - 1) })
  const deep = (levels: number) => outcome({}, [{ op: 'add', path: '/a', value: nested(levels) }])
  t.type(deep(PATCHED_DEPTH_MAX - 1), 'object')
  t.match(deep(PATCHED_DEPTH_MAX), /nests deeper/)
})

t.test('what doubles with each operation ends at the limit, in no time', async (t) => {
  const doubling = Array.from({ length: 100 }, (_, i) => copy('/a', `/a/${i}`))
  const startedAt = performance.now()
  t.match(outcome({ a: { text: 'x'.repeat(1000) } }, doubling), /writes more than/)
  t.ok(performance.now() - startedAt < 500)
  const deepening = Array.from({ length: 100 }, () => [copy('', '/a'), move('/a', '/b')]).flat()
  t.type(outcome({}, deepening), 'string')
})

t.test('any patch on any document gives an object within bounds, or fails by name', async (t) => {
  const pointer = fc
    .array(fc.constantFrom('a', 'b', '0', '1', '-', '', 'toString', 'length', '~0', '~1', '__proto__', 'constructor'), {
      maxLength: 4
    })
    .map((segments) => segments.map((segment) => `/${segment}`).join(''))
  const value = fc.jsonValue({ maxDepth: 3 })
  const operation = fc.oneof(
    fc.record({ op: fc.constantFrom('add', 'replace', 'test'), path: pointer, value }),
    fc.record({ op: fc.constantFrom('move', 'copy'), path: pointer, from: pointer }),
    fc.record({ op: fc.constant('remove'), path: pointer })
  )
  const document = fc.object({ key: fc.constantFrom('a', 'b', '0', ''), maxDepth: 3, values: [fc.constant(1)] })
  const property = fc.property(document, fc.array(operation, { maxLength: 6 }), (given, operations) => {
    const json = JSON.parse(JSON.stringify(given)) as JsonObject
    const made = outcome(json, operations as Operation[])
    return typeof made === 'string' || JSON.stringify(JSON.parse(JSON.stringify(made))) === JSON.stringify(made)
  })
  t.doesNotThrow(() => fc.assert(property, { seed: seedOf(t), numRuns: 20_000 }))
  t.equal(Object.hasOwn(Object.prototype, 'a'), false, 'prototypes stay as they are')
})

t.test('a pointer finds own members only', async (t) => {
  t.equal(valueAt({ a: [5] }, '/a/0'), 5)
  t.equal(valueAt({ a: [5] }, '/a/length'), 1)
  for (const nothing of ['/b', '/a/1', '/toString', '/a/0/0']) t.equal(valueAt({ a: [5] }, nothing), undefined, nothing)
})
