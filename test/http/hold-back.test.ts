import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createHoldBack } from '../../src/http/hold-back.js'

const LONG_MS = 60_000

/** Whether it is over by itself, without any time to be waited for. */
const isOver = (work: Promise<void>): Promise<boolean> => Promise.race([work.then(() => true), pause(0, false)])

t.test('so many are held back and not one more; each that ends makes room', async (t) => {
  const holdBack = createHoldBack({ max: 2, msMax: LONG_MS })
  const first = holdBack(20)
  t.equal(await isOver(holdBack(LONG_MS)), false)
  t.equal(await isOver(holdBack(LONG_MS)), true, 'the third')
  await Promise.all([first, pause(20)])
  t.equal(await isOver(holdBack(LONG_MS)), false)
  t.equal(await isOver(holdBack(LONG_MS)), true)
})

t.test('for the time that is asked for, but not longer than the longest', async (t) => {
  const holdBack = createHoldBack({ max: 10, msMax: 60 })
  for (const [asked, least, most] of [
    [30, 29, 59],
    [LONG_MS, 59, 2000]
  ] as const) {
    const startedAt = performance.now()
    await Promise.all([holdBack(asked), pause(asked === LONG_MS ? 60 : asked)])
    const ms = performance.now() - startedAt
    t.ok(ms >= least && ms <= most, `${ms} ms of ${asked}`)
  }
})
