import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { createCursors } from '../../src/domain/cursor.js'
import { DomainError } from '../../src/domain/errors.js'
import { bucketsBetween, createFeedCursors, hashOf, markOf, moveTo } from '../../src/domain/feed-cursor.js'
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

const secret = randomUUID()
const feedCursors = (storeId: string, buckets: number, key = secret) =>
  createFeedCursors({ cursors: createCursors(key), storeId, buckets })

t.test('a cursor comes back as it went', async (t) => {
  fc.assert(
    fc.property(fc.uuid(), fc.uuid(), marks, (store, tenantId, mark) => {
      const { write, read } = feedCursors(store, mark.positions.length)
      const cursor = write(tenantId, mark)
      return /^[\w-]+$/.test(cursor) && isDeepStrictEqual(read(tenantId, cursor), mark)
    }),
    { seed, numRuns: 200 }
  )
  t.pass()
})

t.test('garbage is malformed, and nothing else', async (t) => {
  const tenantId = randomUUID()
  const { read } = feedCursors(randomUUID(), 1)
  const others = createCursors(secret)
  const garbage = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.base64String(),
    fc.jsonValue().map((value) => others.write(['events', tenantId], value))
  )
  fc.assert(
    fc.property(garbage, (text) => codeOf(() => read(tenantId, text)) === 'CURSOR_MALFORMED'),
    { seed, numRuns: 2000 }
  )
  t.pass()
})

t.test('a cursor of another tenant is malformed', async (t) => {
  const { write, read } = feedCursors(randomUUID(), 1)
  const cursor = write(randomUUID(), { positions: [7], check: 1n })
  t.equal(
    codeOf(() => read(randomUUID(), cursor)),
    'CURSOR_MALFORMED'
  )
})

t.test(
  'a cursor of another store is invalid, however many buckets that has; one with other buckets is malformed',
  async (t) => {
    const tenantId = randomUUID()
    const [mine, other] = [randomUUID(), randomUUID()]
    const cursor = feedCursors(mine, 2).write(tenantId, { positions: [7, 9], check: 1n })
    for (const [store, buckets, key, code] of [
      [other, 2, randomUUID(), 'CURSOR_INVALID'],
      [other, 1, randomUUID(), 'CURSOR_INVALID'],
      [mine, 1, secret, 'CURSOR_MALFORMED'],
      [mine, 3, secret, 'CURSOR_MALFORMED'],
      [mine, 2, randomUUID(), 'CURSOR_MALFORMED'],
      [mine, 2, secret, 'none']
    ] as const)
      t.equal(
        codeOf(() => feedCursors(store, buckets, key).read(tenantId, cursor)),
        code
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
  const cursor = feedCursors(randomUUID(), 1024).write(randomUUID(), {
    positions: Array(1024).fill(1e9),
    check: 2n ** 48n - 1n
  })
  t.ok(cursor.length < 15_000, `${cursor.length} characters`)
})
