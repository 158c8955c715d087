import t from 'tap'
import { literal, wordsOf } from '../../src/domain/directory.js'

t.test('a search is words when one of them has three letters, and at most five', async (t) => {
  t.equal(wordsOf('ab'), null)
  t.equal(wordsOf('ab cd'), null)
  t.equal(wordsOf('  '), null)
  t.strictSame(wordsOf('abc'), ['abc'])
  t.strictSame(wordsOf(' ada  lo '), ['ada', 'lo'])
  t.equal(wordsOf('😀😀'), null, 'letters are counted, not code units')
  t.strictSame(wordsOf('one 2 3 4 5'), ['one', '2', '3', '4', '5'])
  t.strictSame(wordsOf('one 2 3 4 5 6'), ['one', '2', '3', '4', '5 6'])
})

t.test('what means something in a pattern is taken literally', async (t) => {
  t.equal(literal('100%_\\'), '100\\%\\_\\\\')
})
