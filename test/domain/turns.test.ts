import t from 'tap'
import { createTurns } from '../../src/domain/turns.js'

/** A line of texts, each of the tenant that is its first letter. */
function lineOf(...items: string[]) {
  const turns = createTurns<string>()
  for (const item of items) turns.add(item[0]!, item)
  /** Takes `count` of those that fit. */
  const take = (count: number, fits = (_item: string) => true) => {
    const taken: string[] = []
    turns.offer((item) => {
      if (taken.length === count || !fits(item)) return false
      taken.push(item)
      return true
    })
    return taken.join(' ')
  }
  return { turns, take }
}

t.test('each tenant has one taken in turn, those of one in their order', async (t) => {
  t.equal(lineOf('a1', 'a2', 'a3', 'b1', 'c1', 'c2').take(9), 'a1 b1 c1 a2 c2 a3')
})

t.test('who had something taken comes after the others the next time', async (t) => {
  const { take, turns } = lineOf('a1', 'a2', 'a3', 'b1', 'b2', 'c1')
  t.equal(take(1), 'a1')
  t.equal(take(2), 'b1 c1')
  turns.add('c', 'c2')
  t.equal(take(9), 'a2 b2 c2 a3')
})

t.test('what is not taken keeps its place', async (t) => {
  const { take, turns } = lineOf('a1', 'a2', 'a3')
  t.equal(
    take(9, (item) => item === 'a2'),
    'a2'
  )
  turns.addFirst('a', 'a0')
  t.equal(take(9), 'a0 a1 a3')
  t.ok(turns.isEmpty())
})

t.test('the last of a tenant is dropped, if it fits', async (t) => {
  const { take, turns } = lineOf('a1', 'a2', 'b1')
  t.equal(
    turns.dropLast('a', (item) => item !== 'a2'),
    'a1'
  )
  t.equal(
    turns.dropLast('a', () => true),
    'a2'
  )
  t.equal(
    turns.dropLast('a', () => true),
    undefined
  )
  t.equal(take(9), 'b1')
  t.ok(turns.isEmpty())
})
