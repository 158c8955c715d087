import t from 'tap'
import { createRequestCounter } from '../../src/services/request-counter.js'

t.test('a window never goes on for longer than it is long, whatever the clock says', async (t) => {
  const counter = createRequestCounter({ shared: null, onAlone: () => {} })
  // Adding 1000 to it takes a bit from its fraction, and taking it away again leaves 1000.0000000000073.
  t.intercept(performance, 'now', { value: () => 65_027.6469134, configurable: true })
  t.strictSame(await counter.count('key', 1000, 5), { count: 1, leftMs: 1000 })
})
