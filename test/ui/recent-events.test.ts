/** What the dashboard holds of the log: the newest events, and counts by second. Pure, on clocks of the test's. */
import t from 'tap'
import { createRecentEvents, peakOf, rateOf } from '../../src/ui/pages/dashboard/recent-events.js'

const START = Date.parse('2026-01-01T00:00:00.000Z')
const eventAt = (second: number, id = String(second)) => ({
  id,
  createdAt: new Date(START + second * 1000).toISOString()
})

t.test('counts whole seconds, oldest first, and says nothing of those before it looked', async (t) => {
  const recent = createRecentEvents({ listed: 2, windowSeconds: 5 })
  t.strictSame(recent.at(START + 5500).counts, [null, null, null, null, null], 'before it began')
  recent.reset(START + 1001)
  recent.add([eventAt(1.5), eventAt(2.2), eventAt(2.9)])
  recent.add([eventAt(4), eventAt(5.1)])
  const { seconds, counts } = recent.at(START + 5500)
  t.strictSame(
    seconds.map((second) => second - START / 1000),
    [0, 1, 2, 3, 4]
  )
  t.strictSame(counts, [null, null, 2, 0, 1], 'second 1 is known in part, second 5 is not over')
  t.strictSame(recent.at(START + 8000).counts, [0, 1, 1, 0, 0], 'the window moves')
  t.strictSame(recent.at(START + 100_000).counts, [0, 0, 0, 0, 0])
  t.strictSame(recent.at(START + 5500).counts, [null, null, 0, 0, 0], 'what left the window is forgotten')
})

t.test('lists the newest first, no more than it shall, and begins anew', async (t) => {
  const recent = createRecentEvents({ listed: 3, windowSeconds: 5 })
  recent.reset(START)
  const ids = () => recent.at(START).newest.map(({ id }) => id)
  recent.add([1, 2].map((second) => eventAt(second)))
  t.strictSame(ids(), ['2', '1'])
  recent.add([3, 4].map((second) => eventAt(second)))
  t.strictSame(ids(), ['4', '3', '2'])
  recent.add(Array.from({ length: 1000 }, (_, i) => eventAt(5, `of many ${i}`)))
  t.strictSame(ids(), ['of many 999', 'of many 998', 'of many 997'])
  recent.reset(START)
  t.strictSame(ids(), [])
  t.strictSame(recent.at(START + 6000).counts, [0, 0, 0, 0, 0])
})

t.test('rates and peaks are of what is known', async (t) => {
  t.equal(rateOf([null, 5, 1, 3], 2), 2)
  t.equal(rateOf([null, null, 1, 3], 4), 2)
  t.equal(rateOf([null], 4), null)
  t.equal(rateOf([], 4), null)
  t.equal(peakOf([null, 5, 1]), 5)
  t.equal(peakOf([0]), 0)
  t.equal(peakOf([null]), null)
})
