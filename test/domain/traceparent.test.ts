/** What counts as a place in a trace, and what as nothing. */
import t from 'tap'
import { asTraceparent } from '../../src/domain/traceparent.js'
import { traceparent } from '../support/traces.js'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const SPAN = 'b7ad6b7169203331'

t.test('what the standard allows is taken as it is', async (t) => {
  for (const text of [`00-${TRACE}-${SPAN}-01`, `00-${TRACE}-${SPAN}-00`, `01-${TRACE}-${SPAN}-03`, traceparent()])
    t.equal(asTraceparent(text), text)
})

t.test('all else counts as nothing', async (t) => {
  const texts = [
    '',
    'x',
    `ff-${TRACE}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-1`,
    `00-${TRACE}-${SPAN}-01-x`,
    `00-${TRACE}-${SPAN}-01\n`,
    ` 00-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
    `00-${TRACE}${SPAN}-01`
  ]
  for (const value of [...texts, undefined, null, 7, {}, [`00-${TRACE}-${SPAN}-01`]])
    t.equal(asTraceparent(value), null, JSON.stringify(value))
})
