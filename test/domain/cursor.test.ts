import { randomUUID } from 'node:crypto'
import t from 'tap'
import { decodeCursor, encodeCursor } from '../../src/domain/cursor.js'

const userId = randomUUID()
const encoded = (text: string) => Buffer.from(text).toString('base64url')

t.test('a cursor reads back as the version it was made of', async (t) => {
  for (const direction of ['forward', 'backward'] as const) {
    for (const version of [1, 4711, 2_147_483_647]) {
      const cursor = encodeCursor({ userId, direction, version })
      t.match(cursor, /^[\w-]+$/, 'it needs no escaping in a URL')
      t.equal(decodeCursor(cursor, userId, direction), version)
    }
  }
})

t.test('a cursor of another user or direction is refused', async (t) => {
  const cursor = encodeCursor({ userId, direction: 'forward', version: 5 })
  t.throws(() => decodeCursor(cursor, randomUUID(), 'forward'), { code: 'CURSOR_MALFORMED' })
  t.throws(() => decodeCursor(cursor, userId, 'backward'), { code: 'CURSOR_MALFORMED' })
})

t.test('what is no cursor, or none that a version fits in, is refused', async (t) => {
  for (const cursor of [
    '',
    'nonsense',
    '%%%',
    encoded(''),
    encoded(`2.${userId}.f.5`),
    encoded(`1.${userId}.f.`),
    encoded(`1.${userId}.f.-5`),
    encoded(`1.${userId}.f.5.5`),
    encoded(`1.${userId}.f.5\n`),
    encoded(`1.${userId}.f.2147483648`),
    encoded(`1.${userId}.f.99999999999999`),
    encodeCursor({ userId, direction: 'forward', version: 5 }).slice(0, -2)
  ]) {
    t.throws(() => decodeCursor(cursor, userId, 'forward'), { code: 'CURSOR_MALFORMED' }, JSON.stringify(cursor))
  }
})
