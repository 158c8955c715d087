import { randomUUID } from 'node:crypto'
import t from 'tap'
import { bucketOf } from '../../src/domain/bucket.js'

t.test('one bucket holds everybody', async (t) => {
  for (let i = 0; i < 10; i++) t.equal(bucketOf(randomUUID(), 1), 0)
})

t.test('the bucket of a user never changes: these values are fixed for ever', async (t) => {
  const fixed: [string, number, number, number][] = [
    // user, and its bucket of 2, of 4, of 1024
    ['00000000-0000-0000-0000-000000000000', 0, 0, 892],
    ['0191d5a0-7c1e-7000-8000-000000000001', 1, 1, 1021],
    ['ffffffff-ffff-4fff-bfff-ffffffffffff', 1, 1, 209],
    ['3f2504e0-4f89-41d3-9a0c-0305e82c3301', 0, 2, 854]
  ]
  for (const [userId, ofTwo, ofFour, of1024] of fixed) {
    t.strictSame(
      [2, 4, 1024].map((buckets) => bucketOf(userId, buckets)),
      [ofTwo, ofFour, of1024],
      userId
    )
  }
})

t.test('users spread evenly, random and numbered ones alike', async (t) => {
  const numbered = (i: number) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`
  for (const idOf of [() => randomUUID(), numbered]) {
    const counts = new Array<number>(16).fill(0)
    for (let i = 0; i < 16_000; i++) counts[bucketOf(idOf(i), 16)]!++
    // 1,000 are expected in each; the standard deviation is 31.
    t.ok(Math.min(...counts) > 800 && Math.max(...counts) < 1200, counts.join(' '))
  }
})
