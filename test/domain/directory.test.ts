import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { decodeUserCursor, encodeUserCursor, literal, USER_SORTS, wordsOf } from '../../src/domain/directory.js'
import { DomainError } from '../../src/domain/errors.js'

const times = { sort: 'createdAt', descending: true } as const
const names = { sort: 'username', descending: false } as const
const code = (work: () => unknown): string => {
  try {
    work()
    return 'no error'
  } catch (err) {
    return err instanceof DomainError ? err.code : String(err)
  }
}

t.test('a cursor comes back as it went out, for every order and key', async () => {
  fc.assert(
    fc.property(fc.uuid(), fc.string({ unit: 'grapheme' }), fc.boolean(), (userId, key, descending) => {
      fc.pre(!key.includes('\0'))
      for (const sort of ['username', 'email'] as const) {
        const mark = { key, userId }
        t.strictSame(decodeUserCursor(encodeUserCursor({ sort, descending }, mark), { sort, descending }), mark)
      }
    })
  )
  const mark = { key: '2026-11-22T08:00:00.000Z', userId: randomUUID() }
  t.strictSame(decodeUserCursor(encodeUserCursor(times, mark), times), mark)
})

t.test('a cursor of another order, a made-up one, and one that the database could not read are refused', async (t) => {
  const userId = randomUUID()
  const good = encodeUserCursor(names, { key: 'ada', userId })
  for (const sort of USER_SORTS)
    for (const descending of [true, false]) {
      if (sort === 'username' && !descending) continue
      t.equal(
        code(() => decodeUserCursor(good, { sort, descending })),
        'CURSOR_MALFORMED',
        `${sort} ${descending}`
      )
    }
  const raw = (parts: unknown) => Buffer.from(JSON.stringify(parts)).toString('base64url')
  const bad = {
    'not base64': '%%%',
    'not JSON': Buffer.from('{').toString('base64url'),
    'no list': raw({}),
    null: raw(null),
    'no id': raw([1, 'username', 'a', 'x', 'ada']),
    'an id in capitals': raw([1, 'username', 'a', userId.toUpperCase(), 'ada']),
    'a key that is no text': raw([1, 'username', 'a', userId, 7]),
    'a NUL': raw([1, 'username', 'a', userId, 'a\0']),
    'half a character': raw([1, 'username', 'a', userId, '\ud800']),
    'written in another way': `${good}=`,
    'another version': raw([2, 'username', 'a', userId, 'ada'])
  }
  for (const [what, cursor] of Object.entries(bad))
    t.equal(
      code(() => decodeUserCursor(cursor, names)),
      'CURSOR_MALFORMED',
      what
    )
  for (const key of ['yesterday', '2026-02-30T00:00:00.000Z', '2026-11-22T08:00:00Z'])
    t.equal(
      code(() => decodeUserCursor(raw([1, 'createdAt', 'd', userId, key]), times)),
      'CURSOR_MALFORMED',
      key
    )
})

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
