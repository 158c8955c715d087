import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { DomainError } from '../../src/domain/errors.js'
import {
  bucketsBetween,
  decodeFeedCursor,
  encodeFeedCursor,
  hashOf,
  markOf,
  moveTo
} from '../../src/domain/feed-cursor.js'
import { seedOf } from '../support/random.js'

const seed = seedOf(t)
const positions = (buckets: number) =>
  fc.array(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), { minLength: buckets, maxLength: buckets })
const checks = fc.bigInt({ min: 0n, max: 2n ** 48n - 1n })
const marks = fc
  .integer({ min: 1, max: 40 })
  .chain((buckets) => fc.record({ positions: positions(buckets), check: checks }, { noNullPrototype: true }))

const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (err) {
    if (err instanceof DomainError) return err.code
    throw err
  }
}

t.test('a cursor comes back as it went', async (t) => {
  fc.assert(
    fc.property(fc.uuid(), marks, (store, mark) => {
      const cursor = encodeFeedCursor(store, mark)
      return /^[\w-]+$/.test(cursor) && isDeepStrictEqual(decodeFeedCursor(cursor, store, mark.positions.length), mark)
    }),
    { seed, numRuns: 200 }
  )
  t.pass()
})

t.test('garbage is malformed, and nothing else', async (t) => {
  const garbage = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.base64String(),
    fc.string().map((text) => Buffer.from(`1.${randomUUID()}.${text}`).toString('base64url'))
  )
  fc.assert(
    fc.property(garbage, (text) => codeOf(() => decodeFeedCursor(text, randomUUID(), 1)) === 'CURSOR_MALFORMED'),
    { seed, numRuns: 2000 }
  )
  t.pass()
})

t.test('a cursor with anything changed is refused, or says what could have been said', async (t) => {
  const store = randomUUID()
  fc.assert(
    fc.property(marks, fc.nat(), fc.string({ minLength: 1, maxLength: 1 }), (mark, place, character) => {
      const cursor = encodeFeedCursor(store, mark)
      const at = place % cursor.length
      const changed = cursor.slice(0, at) + character + cursor.slice(at + 1)
      const buckets = mark.positions.length
      const code = codeOf(() => decodeFeedCursor(changed, store, buckets))
      if (code !== 'none') return code === 'CURSOR_MALFORMED' || code === 'CURSOR_INVALID'
      return encodeFeedCursor(store, decodeFeedCursor(changed, store, buckets)) === changed
    }),
    { seed, numRuns: 2000 }
  )
  t.pass()
})

t.test(
  'a cursor of another store is invalid, however many buckets that has; one with other buckets is malformed',
  async (t) => {
    const [mine, other] = [randomUUID(), randomUUID()]
    const cursor = encodeFeedCursor(mine, { positions: [7, 9], check: 1n })
    t.equal(
      codeOf(() => decodeFeedCursor(cursor, other, 2)),
      'CURSOR_INVALID'
    )
    t.equal(
      codeOf(() => decodeFeedCursor(cursor, other, 1)),
      'CURSOR_INVALID'
    )
    t.equal(
      codeOf(() => decodeFeedCursor(cursor, mine, 1)),
      'CURSOR_MALFORMED'
    )
    t.equal(
      codeOf(() => decodeFeedCursor(cursor, mine, 3)),
      'CURSOR_MALFORMED'
    )
  }
)

t.test('a mark that moved is the mark that was made there', async (t) => {
  const [a, b, c] = [randomUUID(), randomUUID(), randomUUID()].map(hashOf) as [bigint, bigint, bigint]
  const mark = markOf([0, 5], [0n, a])
  t.equal(mark.total, 5)
  moveTo(mark, 0, 3, b)
  moveTo(mark, 1, 9, c)
  t.strictSame(mark, markOf([3, 9], [b, c]))
  moveTo(mark, 1, 5, a)
  moveTo(mark, 0, 0, hashOf(null))
  t.strictSame(mark, markOf([0, 5], [0n, a]))
  t.equal(mark.check, a)
})

t.test('two marks with the same positions behind different events have different checks', async (t) => {
  t.not(hashOf(randomUUID()), hashOf(randomUUID()))
  t.equal(hashOf(null), 0n)
})

t.test('the bucket that is furthest behind comes first, and those that are there do not come', async (t) => {
  t.strictSame(bucketsBetween([1, 5, 9, 0], [4, 5, 10, 8]), [3, 0, 2])
  t.strictSame(bucketsBetween([4, 8], [0, 0]), [1, 0])
  t.strictSame(bucketsBetween([3], [3]), [])
})

t.test('a cursor of a store with 1,024 buckets and a billion events in each fits into a header', async (t) => {
  const cursor = encodeFeedCursor(randomUUID(), { positions: Array(1024).fill(1e9), check: 1n })
  t.ok(cursor.length < 15_000, `${cursor.length} characters`)
})
