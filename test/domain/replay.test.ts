import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { createCatalog } from '../../src/domain/catalog.js'
import { fold, nothingFolded } from '../../src/domain/replay.js'
import { histories } from './histories.js'

const catalog = createCatalog()
const key = { tenantId: '00000000-0000-0000-0000-000000000000', userId: '0191d5a0-7c1e-7000-8000-000000000001' }
const history = fc.sample(histories(20), { numRuns: 1, seed: 7 })[0]!

t.test('folding in parts gives what folding at once gives, wherever it is cut', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(histories(40), fc.nat(), fc.nat(), (events, a, b) => {
        const [first, second] = [a % (events.length + 1), b % (events.length + 1)].sort((x, y) => x - y)
        const whole = fold(catalog, key, nothingFolded, events)
        const one = fold(catalog, key, nothingFolded, events.slice(0, first))
        const two = fold(catalog, key, one, events.slice(first, second))
        return isDeepStrictEqual(fold(catalog, key, two, events.slice(second)), whole)
      })
    )
  )
})

t.test('a state that went through JSON goes on as the one that did not', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(histories(40), fc.nat(), (events, cut) => {
        const part = fold(catalog, key, nothingFolded, events.slice(0, cut % events.length))
        const stored = JSON.parse(JSON.stringify(part))
        const rest = events.slice(cut % events.length)
        return isDeepStrictEqual(fold(catalog, key, stored, rest), fold(catalog, key, part, rest))
      })
    )
  )
})

t.test('the result says how far it went and when that was', async (t) => {
  const { version, asOf } = fold(catalog, key, nothingFolded, history)
  t.strictSame({ version, asOf }, { version: history.length, asOf: history.at(-1)!.createdAt })
})

t.test('no events leave what was folded before', async (t) => {
  t.strictSame(fold(catalog, key, nothingFolded, []), { version: 0, asOf: '', state: null })
  const before = fold(catalog, key, nothingFolded, history)
  t.strictSame(fold(catalog, key, before, []), before)
})

t.test('a hole, a repetition or disorder throws', async (t) => {
  const [one, two, three] = history.map((event, i) => ({ ...event, version: i + 1 }))
  const upToTwo = fold(catalog, key, nothingFolded, [one!, two!])
  for (const [from, events] of [
    [nothingFolded, [two!]],
    [nothingFolded, [one!, three!]],
    [nothingFolded, [one!, one!]],
    [nothingFolded, [two!, one!]],
    [nothingFolded, [one!, two!, { ...three!, version: 0 }]],
    [upToTwo, [two!]],
    [upToTwo, [{ ...three!, version: 4 }]]
  ] as const) {
    t.throws(
      () => fold(catalog, key, from, events),
      /have a hole: version \d+ follows \d+/,
      events.map((e) => e.version).join()
    )
  }
  t.equal(fold(catalog, key, upToTwo, [three!]).version, 3)
})

t.test('events are taken one at a time, so that a stream need not be held whole', async (t) => {
  let taken = 0
  function* stream() {
    for (const event of history) {
      taken++
      yield event
    }
  }
  t.equal(fold(catalog, key, nothingFolded, stream()).version, taken)
})
