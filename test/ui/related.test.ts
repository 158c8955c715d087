/** What an event has to do with those near it, and how two forms of its data differ. */
import t from 'tap'
import { changedPointers } from '../../src/ui/pages/user/changed-pointers.js'
import { relatedOf } from '../../src/ui/pages/user/related.js'

const event = (version: number, metadata: Record<string, unknown> | null) => ({ id: `e${version}`, version, metadata })

t.test('events are related by what their metadata say', async (t) => {
  const first = event(1, { correlationId: 'a' })
  const second = event(2, { correlationId: 'a', causationId: 'E1' })
  const other = event(3, { correlationId: 'b', causationId: 'elsewhere' })
  const plain = event(4, null)
  const near = [first, second, other, plain]
  const none = { correlationId: null, correlated: [], causationId: null, cause: null, caused: [] }
  t.strictSame(relatedOf(first, near), { ...none, correlationId: 'a', correlated: [2], caused: [2] })
  t.strictSame(relatedOf(second, near), { ...none, correlationId: 'a', correlated: [1], causationId: 'E1', cause: 1 })
  t.strictSame(relatedOf(other, near), { ...none, correlationId: 'b', causationId: 'elsewhere' })
  t.strictSame(relatedOf(plain, near), none)
  t.strictSame(relatedOf(event(5, { correlationId: 7, causationId: '' }), near), none)
})

t.test('pointers lead to what is not so in the other value', async (t) => {
  t.strictSame(changedPointers({ a: 1, b: [1] }, { a: 1, b: [1], c: 1 }), [])
  t.strictSame(changedPointers({ a: { b: 1, c: 2 }, d: [1], e: 0 }, { a: { b: 1, c: 3 }, d: [2] }), [
    '/a/c',
    '/d',
    '/e'
  ])
  t.strictSame(changedPointers({ a: '1' }, { a: { b: '1' } }), ['/a'])
  t.strictSame(changedPointers({ 'a/b~c': 1 }, {}), ['/a~1b~0c'])
})
