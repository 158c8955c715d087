import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createHoldBack } from '../../src/http/hold-back.js'

const LONG_MS = 60_000

// As the connection of a client does, which is held back: the hold alone lets the process end.
const keepAlive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(keepAlive))

/** Whether it is over by itself, without any time to be waited for. */
const isOver = (work: Promise<void>): Promise<boolean> => Promise.race([work.then(() => true), pause(0, false)])

t.test('so many are held back and not one more; each that ends makes room', async (t) => {
  const holdBack = createHoldBack({ max: 2, msMax: LONG_MS })
  const first = holdBack(20)
  t.equal(await isOver(holdBack(LONG_MS)), false)
  t.equal(await isOver(holdBack(LONG_MS)), true, 'the third')
  await first
  t.equal(await isOver(holdBack(LONG_MS)), false)
  t.equal(await isOver(holdBack(LONG_MS)), true)
})

t.test('for the time that is asked for, but not longer than the longest', async (t) => {
  const holdBack = createHoldBack({ max: 10, msMax: 60 })
  for (const [asked, least, most] of [
    [30, 30, 59],
    [LONG_MS, 60, 2000]
  ] as const) {
    const startedAt = performance.now()
    await holdBack(asked)
    const ms = performance.now() - startedAt
    t.ok(ms >= least && ms <= most, `${ms} ms of ${asked}`)
  }
})

t.test('never for less, however late the loop turns and however odd the time', async (t) => {
  const holdBack = createHoldBack({ max: 100, msMax: LONG_MS })
  const early = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const asked = 3 + i / 7
      // The loop counts from the beginning of its turn, which lasts a while here.
      for (const until = performance.now() + 0.3; performance.now() < until; );
      const startedAt = performance.now()
      await holdBack(asked)
      return asked - (performance.now() - startedAt)
    })
  )
  t.ok(Math.max(...early) <= 0, `at most ${Math.max(...early)} ms too early`)
})
