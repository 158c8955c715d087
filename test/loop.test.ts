import t, { type Test } from 'tap'
import { type LoopOptions, startLoop } from '../src/loop.js'
import { until } from './support/wait.js'

const DAY_MS = 86_400_000
/** A timer may fire this much before its time, by the clock that is read here. */
const EARLY_MS = 2

/** Starts a loop, stopped when the test ends, and notes when its steps began, and its errors. */
function watchedLoop(t: Test, once: (step: number, signal: AbortSignal) => unknown, options: Partial<LoopOptions>) {
  const begun: number[] = []
  const errors: unknown[] = []
  const loop = startLoop({
    intervalMs: DAY_MS,
    gapMs: 0,
    ...options,
    once: async (signal) => {
      begun.push(performance.now())
      return (await once(begun.length, signal)) === 'more' ? 'more' : 'idle'
    },
    onError: (err) => errors.push(err)
  })
  t.teardown(() => loop.stop())
  const steps = (count: number) => until(() => begun.length >= count, { what: `step ${count}` })
  return { loop, begun, errors, steps }
}

const waits = (begun: number[]): number[] => begun.slice(1).map((time, i) => time - begun[i]!)
const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length

t.test('a loop repeats its step after the interval, give or take a tenth', async (t) => {
  const { begun, steps } = watchedLoop(t, () => 'idle', { intervalMs: 50, gapMs: 10 })
  await steps(4)
  for (const ms of waits(begun)) t.ok(ms >= 45 - EARLY_MS, `${ms} ms`)
})

t.test('a step that has more is followed by the next at once', async (t) => {
  const { begun, steps } = watchedLoop(t, (step) => (step < 50 ? 'more' : 'idle'), { gapMs: DAY_MS })
  await steps(50)
  t.equal(begun.length, 50)
})

t.test('waking shortens the wait, but not below the gap', async (t) => {
  const { loop, begun, steps } = watchedLoop(t, () => 'idle', { gapMs: 60 })
  await steps(1)
  for (let i = 0; i < 10; i++) loop.wake()
  await steps(2)
  t.ok(begun[1]! - begun[0]! >= 60 - EARLY_MS, 'not below the gap')
  loop.wake()
  await steps(3)
  t.ok(begun[2]! - begun[1]! >= 60 - EARLY_MS, 'nor the next time')
})

t.test('a wake that comes during a step is not lost', async (t) => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const { loop, steps } = watchedLoop(t, (step) => (step === 1 ? held : 'idle'), {})
  await steps(1)
  loop.wake()
  release()
  await steps(2)
})

t.test('steps never overlap', async (t) => {
  let running = 0
  let most = 0
  const { loop, steps } = watchedLoop(
    t,
    async (step) => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      return step % 2 ? 'more' : 'idle'
    },
    { intervalMs: 1 }
  )
  const waking = setInterval(() => loop.wake(), 1)
  t.teardown(() => clearInterval(waking))
  await steps(30)
  t.equal(most, 1)
})

t.test('an error is reported and tried again after a wait that doubles, and starts anew after a success', async (t) => {
  const failing = [1, 2, 4]
  const { loop, begun, errors, steps } = watchedLoop(
    t,
    (step) => {
      if (failing.includes(step)) throw new Error(`step ${step}`)
    },
    {}
  )
  await steps(3)
  await until(() => {
    loop.wake()
    return begun.length >= 5
  })
  t.strictSame(errors.map(String), ['Error: step 1', 'Error: step 2', 'Error: step 4'])
  const [first, second, , anew] = waits(begun) as [number, number, number, number]
  t.ok(first >= 180 - EARLY_MS, `${first} ms`)
  t.ok(second >= 360 - EARLY_MS, `${second} ms`)
  t.ok(anew < 720, `${anew} ms, the third in a row would be 720 or more`)
})

t.test('waking does not cut the wait after an error', async (t) => {
  const { loop, begun, steps } = watchedLoop(
    t,
    (step) => {
      if (step === 1) throw new Error('once')
    },
    {}
  )
  await steps(1)
  loop.wake()
  await steps(2)
  t.ok(begun[1]! - begun[0]! >= 180 - EARLY_MS)
})

t.test('stop waits for the running step, tells it, and starts no other', async (t) => {
  let release = () => {}
  const held = new Promise<string>((resolve) => {
    release = () => resolve('more')
  })
  const signals: AbortSignal[] = []
  const { loop, begun, steps } = watchedLoop(
    t,
    (_step, signal) => {
      signals.push(signal)
      return held
    },
    {}
  )
  await steps(1)
  t.notOk(signals[0]!.aborted)
  let stopped = false
  const stopping = loop.stop().then(() => {
    stopped = true
  })
  t.ok(signals[0]!.aborted, 'the step is told')
  await new Promise((resolve) => setImmediate(resolve))
  t.notOk(stopped, 'it waits')
  release()
  await stopping
  loop.wake()
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(begun.length, 1, 'no other step, although there was more')
})

t.test('stop ends a wait at once, be it interval, gap or back-off, and leaves no timer', async (t) => {
  const cases: [string, Partial<LoopOptions>, () => unknown][] = [
    ['interval', {}, () => 'idle'],
    ['gap', { gapMs: DAY_MS }, () => 'idle'],
    ['back-off', {}, () => Promise.reject(new Error('always'))]
  ]
  for (const [name, options, once] of cases) {
    const before = timers()
    const { loop, begun } = watchedLoop(t, once, options)
    await until(() => begun.length === 1)
    await loop.stop()
    t.equal(timers(), before, name)
    await loop.stop()
  }
})
