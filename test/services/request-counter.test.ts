/** Windows of time as the clock of this process has them. */
import t, { type Test } from 'tap'
import { createRequestCounter } from '../../src/services/request-counter.js'

/** Counts a request of the same key at each of these times of the clock. */
async function countAt(t: Test, ...times: number[]) {
  const counter = createRequestCounter({ shared: null, onAlone: () => {} })
  const counted = []
  for (const time of times) {
    const clock = t.intercept(performance, 'now', { value: () => time, configurable: true })
    counted.push(await counter.count('key', 1000, 5))
    clock.restore()
  }
  return counted
}

t.test('a window goes on for its length after its first request, and not a moment longer', async (t) =>
  t.strictSame(await countAt(t, 500, 501, 1499, 1500, 1501), [
    { count: 1, leftMs: 1000 },
    { count: 2, leftMs: 999 },
    { count: 3, leftMs: 1 },
    { count: 1, leftMs: 1000 },
    { count: 2, leftMs: 999 }
  ])
)

t.test('a window never goes on for longer than it is long, whatever the clock says', async (t) => {
  // Adding 1000 to it takes a bit from its fraction, and taking it away again leaves 1000.0000000000073.
  t.strictSame(await countAt(t, 65_027.6469134), [{ count: 1, leftMs: 1000 }])
})
