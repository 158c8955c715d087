import fc from 'fast-check'
import t from 'tap'
import { createTopLabels, otherLabel, type TopLabels, type TopLabelsEntry } from '../../src/observe/top-labels.js'

type Add = { label: string; n: number; part: string }

const keyOf = ({ label, part }: { label: string; part: string }) => `${label}/${part}`
/** What is shown, as an object from label and part to count: entries come in no particular order. */
const seriesOf = (top: TopLabels) => Object.fromEntries(top.entries().map((entry) => [keyOf(entry), entry.count]))
const sumOf = (entries: TopLabelsEntry[]) => entries.reduce((sum, { count }) => sum + count, 0)
const labelsOf = (top: TopLabels) => new Set(top.entries().map(({ label }) => label))
const countOf = (top: TopLabels, label: string) => sumOf(top.entries().filter((entry) => entry.label === label))

// Some labels are far more frequent than others, and all are few enough to leave and come back.
const label = fc.oneof(
  { weight: 3, arbitrary: fc.nat(3) },
  { weight: 2, arbitrary: fc.nat(12) },
  { weight: 1, arbitrary: fc.nat(200) }
)
const add = fc.record({
  label: label.map((n) => `user-${n}`),
  n: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 50 }) }),
  part: fc.constantFrom<string[]>('Created', 'Updated', 'Deleted')
})
const adds = fc.array(add, { maxLength: 400, size: 'max' })

/** Sums by part. */
function byPart(counted: { part: string; n: number }[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const { part, n } of counted) sums[part] = (sums[part] ?? 0) + n
  return sums
}

t.test('up to the capacity every label has its own exact count', async (t) => {
  const top = createTopLabels(2)
  top.add('a')
  top.add('b', 2)
  top.add('a', 3)
  t.strictSame(seriesOf(top), { 'a/': 4, 'b/': 2 })
})

t.test('capacity 0 shows only _other', async (t) => {
  const top = createTopLabels(0)
  top.add('a')
  top.add('b', 2)
  t.strictSame(seriesOf(top), { '_other/': 3 })
})

t.test('nothing added, nothing shown', async (t) => {
  t.strictSame(createTopLabels(5).entries(), [])
})

t.test('a dropped label leaves all of its count in _other, and a promoted one starts at its promotion', async (t) => {
  const top = createTopLabels(1)
  top.add('small', 4, 'Created')
  top.add('small', 4, 'Updated')
  for (let i = 0; i < 10; i++) top.add('large', 1, 'Updated')
  t.strictSame(countOf(top, 'small'), 8, 'ten is not a quarter more than eight')
  top.add('large', 1, 'Updated')
  t.strictSame(seriesOf(top), { 'large/Updated': 1, '_other/Created': 4, '_other/Updated': 14 })
})

t.test('a label that comes back starts a series of its own again', async (t) => {
  const top = createTopLabels(1)
  top.add('a', 10)
  top.add('b', 20)
  top.add('a', 20)
  t.strictSame(seriesOf(top), { 'a/': 20, '_other/': 30 })
})

t.test('a dropped label keeps its rank amid one-time values and comes back once it is a quarter larger', async (t) => {
  const top = createTopLabels(1)
  top.add('a', 50)
  for (let i = 0; i < 800; i++) top.add(`once-${i}`)
  top.add('b', 63)
  t.ok(labelsOf(top).has('b'))
  for (let i = 0; i < 200; i++) top.add(`once-more-${i}`)
  top.add('a', 28)
  t.notOk(labelsOf(top).has('a'), '78 is not a quarter more than 63')
  top.add('a', 1)
  t.equal(countOf(top, 'a'), 1)
})

t.test('a promoted label holds its place by what is sure, not by the estimate it inherited', async (t) => {
  const top = createTopLabels(1)
  for (let i = 0; i < 800; i++) top.add(`once-${i}`)
  top.add('b', 2)
  t.ok(labelsOf(top).has('b'))
  top.add('c', 3)
  t.ok(labelsOf(top).has('c'))
})

t.test('two labels neck and neck do not keep displacing each other', async (t) => {
  const top = createTopLabels(1)
  let swaps = 0
  let shown = 'a'
  for (let i = 0; i < 20_000; i++) {
    top.add(i % 2 ? 'a' : 'b', 2)
    top.add(i % 3 ? 'a' : 'b')
    const now = top.entries()[0]!.label
    if (now !== shown) swaps++
    shown = now
  }
  t.ok(swaps <= 2, `${swaps} swaps`)
})

t.test('property: sums are exact by part, labels bounded, series never fall and never claim too much', async (t) => {
  fc.assert(
    fc.property(fc.nat(6), adds, (capacity, stream) => {
      const top = createTopLabels(capacity)
      const exact = new Map<string, number>()
      let total = 0
      let before = new Map<string, number>()
      for (const one of stream) {
        top.add(one.label, one.n, one.part)
        exact.set(keyOf(one), (exact.get(keyOf(one)) ?? 0) + one.n)
        total += one.n
        const entries = top.entries()
        const now = new Map(entries.map((entry) => [keyOf(entry), entry.count]))

        if (sumOf(entries) !== total) throw new Error('the sum is not exact')
        if (now.size !== entries.length) throw new Error('a series occurs twice')
        if (labelsOf(top).size > capacity + 1) throw new Error('too many labels')
        for (const [key, count] of now) {
          if (count < (before.get(key) ?? 0)) throw new Error(`${key} fell`)
          if (!key.startsWith(otherLabel) && count > exact.get(key)!) throw new Error(`${key} claims too much`)
        }
        for (const key of before.keys()) {
          if (key.startsWith(otherLabel) && !now.has(key)) throw new Error(`${key} is gone`)
        }
        before = now
      }
      const shown = top.entries().map(({ part, count }) => ({ part, n: count }))
      t.strictSame(byPart(shown), byPart(stream))
    }),
    { numRuns: 150 }
  )
})

t.test('property: a label that holds more than half of everything is shown', async () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 4, max: 12 }),
      adds,
      fc.array(fc.nat(), { minLength: 1 }),
      (capacity, noise, places) => {
        const others = noise.reduce((sum, { n }) => sum + n, 0)
        const stream = [...noise]
        const whole: Add = { label: 'heavy', n: Math.ceil(others / places.length) + 1, part: '' }
        for (const place of places) stream.splice(place % (stream.length + 1), 0, whole)

        const top = createTopLabels(capacity)
        for (const { label, n, part } of stream) top.add(label, n, part)
        if (!labelsOf(top).has('heavy')) throw new Error('the heaviest label is hidden')
      }
    ),
    { numRuns: 300 }
  )
})

t.test('property: swaps are bounded by capacity * log(total) / log(1.25)', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), adds, (capacity, stream) => {
      const top = createTopLabels(capacity)
      let swaps = 0
      let total = 0
      let before = new Set<string>()
      for (const { label, n } of stream) {
        top.add(label, n)
        total += n
        const now = new Set(top.entries().flatMap(({ label }) => (label === otherLabel ? [] : [label])))
        swaps += [...before].filter((label) => !now.has(label)).length
        before = now
      }
      if (total > 0 && swaps > (capacity * Math.log(total)) / Math.log(1.25))
        throw new Error(`${swaps} swaps in ${total}`)
    }),
    { numRuns: 150 }
  )
})

t.test('a million one-time values: no series changes, the sum is exact, it takes under two seconds', async (t) => {
  const top = createTopLabels(100)
  for (let i = 0; i < 100; i++) top.add(`regular-${i}`, 2)
  const before = labelsOf(top)
  const started = process.cpuUsage()
  for (let i = 0; i < 1_000_000; i++) top.add(`once-${i}`)
  const seconds = process.cpuUsage(started).user / 1e6
  t.ok(seconds < 2, `${seconds} s`)
  t.strictSame(labelsOf(top), before.add(otherLabel))
  t.equal(sumOf(top.entries()), 1_000_200)
})

t.test('one-time values that came first give way to regulars', async (t) => {
  const top = createTopLabels(10)
  for (let i = 0; i < 10_000; i++) top.add(`once-${i}`)
  for (let i = 0; i < 200; i++) top.add(`regular-${i % 10}`)
  t.equal([...labelsOf(top)].filter((label) => label.startsWith('regular-')).length, 10)
})

t.test(
  'a large newcomer is shown amid a stream of one-time values, and the regulars larger than it stay',
  async (t) => {
    const top = createTopLabels(10)
    for (let i = 0; i < 100_000; i++) top.add(`regular-${i % 10}`, i % 10 === 0 ? 1 : 5)
    // One in twenty: more than the sketch loses among its 80 slots.
    for (let i = 0; i < 400_000; i++) top.add(i % 20 ? `once-${i}` : 'newcomer')
    const labels = labelsOf(top)
    t.ok(labels.has('newcomer'))
    t.notOk(labels.has('regular-0'), 'the smallest gave way')
    for (let i = 1; i < 10; i++) t.ok(labels.has(`regular-${i}`))
  }
)

t.test('the largest of a skewed population are shown', async (t) => {
  const top = createTopLabels(20)
  const seen = new Map<string, number>()
  // A linear congruential generator (Numerical Recipes), so that every run sees the same order.
  let random = 42
  for (let i = 0; i < 300_000; i++) {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0
    const user = `user-${Math.floor(1 / (random / 2 ** 32 + 1e-5))}`
    seen.set(user, (seen.get(user) ?? 0) + 1)
    top.add(user)
  }
  const largest = [...seen].sort((a, b) => b[1] - a[1]).slice(0, 10)
  for (const [user] of largest) t.ok(labelsOf(top).has(user), user)
})
