import t, { type Test } from 'tap'
import { createFairSlots, type FairSlotsOptions } from '../../src/services/fair-slots.js'
import { until } from '../support/wait.js'

/** Slots whose work lasts until it is ended; work is named by its tenant's letter and a number. */
function testSlots(t: Test, options: Partial<FairSlotsOptions> = {}) {
  const slots = createFairSlots({ what: 'replays', slots: 3, share: 1, waitingMax: 10, waitMs: 60_000, ...options })
  const running = new Map<string, () => void>()
  const codes = new Map<string, string>()
  let over = false
  function begin(...names: string[]): void {
    for (const name of names)
      slots
        .run(name[0]!, () => new Promise<void>((resolve) => (over ? resolve() : running.set(name, resolve))))
        .then(
          () => codes.set(name, 'done'),
          ({ code }) => codes.set(name, code)
        )
  }
  async function end(name: string): Promise<void> {
    running.get(name)!()
    running.delete(name)
    await until(() => codes.has(name))
  }
  const isRunning = (names: string) => until(() => [...running.keys()].join(' ') === names, { what: names })
  t.teardown(() => {
    over = true
    for (const resolve of running.values()) resolve()
  })
  return { slots, begin, end, isRunning, running, codes }
}

t.test('a tenant that is here alone has all slots, and not one more', async (t) => {
  const { begin, end, isRunning } = testSlots(t)
  begin('a1', 'a2', 'a3', 'a4', 'a5')
  await isRunning('a1 a2 a3')
  await end('a2')
  await isRunning('a1 a3 a4')
})

t.test('while there is another each has its share, and not one more', async (t) => {
  for (const share of [1, 2]) {
    const { begin, end, isRunning } = testSlots(t, { slots: 5, share })
    begin('b1')
    await isRunning('b1')
    begin('a1', 'a2', 'a3')
    await isRunning(share === 1 ? 'b1 a1' : 'b1 a1 a2')
    await end('a1')
    await isRunning(share === 1 ? 'b1 a2' : 'b1 a2 a3')
  }
})

t.test('a tenant that asks for anything at all is here, for a second', async (t) => {
  const { slots, begin, end, isRunning, running } = testSlots(t)
  slots.note('b')
  begin('a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8')
  await isRunning('a1')
  const startedAt = performance.now()
  await until(async () => {
    await end([...running.keys()][0]!)
    if (running.size === 1) begin(`a${performance.now()}`)
    return running.size > 1
  })
  const ms = performance.now() - startedAt
  t.ok(ms > 900, `all slots again after ${Math.round(ms)} ms`)
})

t.test('who waits with much does not hold up who comes with little', async (t) => {
  const { begin, end, isRunning } = testSlots(t, { slots: 2 })
  begin('a1', 'a2', 'a3', 'a4', 'a5')
  await isRunning('a1 a2')
  begin('b1', 'c1')
  await end('a1')
  await isRunning('a2 b1')
  await end('a2')
  await isRunning('b1 a3')
  await end('b1')
  await isRunning('a3 c1')
})

t.test('so many may wait and not one more, of each tenant', async (t) => {
  const { begin, isRunning, codes } = testSlots(t, { slots: 1, waitingMax: 2 })
  begin('a1', 'a2', 'a3')
  await isRunning('a1')
  t.equal(codes.size, 0)
  begin('a4')
  await until(() => codes.get('a4') === 'OVERLOADED')
  begin('b1', 'b2', 'b3')
  await until(() => codes.get('b3') === 'OVERLOADED')
  t.equal(codes.size, 2)
})

t.test('who waited too long is refused, and the others keep their turns', async (t) => {
  const { begin, end, isRunning, codes } = testSlots(t, { slots: 1, waitingMax: 1, waitMs: 50 })
  begin('a1', 'a2', 'b1')
  await until(() => codes.size === 2)
  t.same(Object.fromEntries(codes), { a2: 'OVERLOADED', b1: 'OVERLOADED' })
  begin('a3')
  t.equal(codes.has('a3'), false, 'its place is free again')
  await end('a1')
  await isRunning('a3')
})

t.test('work that fails gives its slot back, and its failure is told', async (t) => {
  const { slots, begin, isRunning } = testSlots(t, { slots: 1 })
  await t.rejects(
    slots.run('a', async () => {
      throw new Error('broken')
    }),
    { message: 'broken' }
  )
  begin('a1')
  await isRunning('a1')
})

t.test('what is heavy takes its weight, begins like anything else, and lets nothing begin beside it', async (t) => {
  const slots = createFairSlots({
    what: 'requests',
    slots: Number.POSITIVE_INFINITY,
    share: 4,
    waitingMax: 10,
    waitMs: 60_000
  })
  const began: string[] = []
  const enter = async (name: string, weight?: number): Promise<void> => {
    await slots.enter(name[0]!, weight)
    began.push(name)
  }
  slots.note('b')
  await enter('a1')
  await enter('a2 heavy', 4)
  void enter('a3')
  void enter('a4 heavy', 4)
  await enter('b1')
  t.strictSame(began, ['a1', 'a2 heavy', 'b1'])
  slots.leave('a')
  await enter('b2')
  t.equal(began.length, 4, 'nothing of a: four of its slots are taken')
  slots.leave('a', 4)
  await until(() => began.length === 6)
  t.strictSame(began.slice(4), ['a3', 'a4 heavy'])
})
