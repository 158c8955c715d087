import { randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { type CursorScope, createCursors, unverified } from '../../src/domain/cursor.js'
import { seedOf } from '../support/random.js'

const seed = seedOf(t)
const cursors = createCursors(randomUUID())
const scopes = fc
  .tuple(fc.string(), fc.uuid(), fc.array(fc.string()))
  .map(([list, tenantId, others]): CursorScope => [list, tenantId, ...others])

/** Whether `cursor` is refused for `scope`, as a cursor and not by accident. */
function refuses(scope: CursorScope, cursor: string): boolean {
  try {
    cursors.read(scope, cursor)
    return false
  } catch (err) {
    return (err as { code?: string }).code === 'CURSOR_MALFORMED'
  }
}

t.test('a cursor reads back as what it was made of, for what it was made for', async (t) => {
  fc.assert(
    fc.property(scopes, fc.json(), (scope, text) => {
      const value = JSON.parse(text)
      const cursor = cursors.write(scope, value)
      return (
        /^[\w-]+$/.test(cursor) &&
        isDeepStrictEqual(cursors.read(scope, cursor), value) &&
        isDeepStrictEqual(unverified(cursor), value)
      )
    }),
    { seed, numRuns: 500 }
  )
  t.pass()
})

t.test('a cursor of another list, tenant, user or order is refused, and so is one of another secret', async (t) => {
  const tenantId = randomUUID()
  const scope: CursorScope = ['events', tenantId, 'ada', 'forward']
  const cursor = cursors.write(scope, 5)
  t.notOk(refuses(scope, cursor))
  for (const other of [
    ['users', tenantId, 'ada', 'forward'],
    ['events', randomUUID(), 'ada', 'forward'],
    ['events', tenantId, 'bob', 'forward'],
    ['events', tenantId, 'ada', 'backward'],
    ['events', tenantId, 'ada'],
    ['events', tenantId, 'ada', 'forward', ''],
    ['events', tenantId, 'ada","forward']
  ] as const)
    t.ok(refuses(other, cursor), other.join(' '))
  t.ok(refuses(scope, createCursors(randomUUID()).write(scope, 5)))
  fc.assert(
    fc.property(scopes, scopes, (one, other) => isDeepStrictEqual(one, other) || refuses(other, cursors.write(one, 1))),
    { seed, numRuns: 500 }
  )
})

t.test('a cursor with one bit changed is refused, and so are its parts and other ways to write it', async (t) => {
  const scope: CursorScope = ['events', randomUUID()]
  const cursor = cursors.write(scope, { version: 4711 })
  const bytes = Buffer.from(cursor, 'base64url')
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Buffer.from(bytes)
    changed[bit >> 3]! ^= 1 << (bit & 7)
    t.ok(refuses(scope, changed.toString('base64url')), `bit ${bit}`)
  }
  for (let end = 0; end < cursor.length; end++) t.ok(refuses(scope, cursor.slice(0, end)), `the first ${end}`)
  for (const other of [
    `${cursor}=`,
    `${cursor}A`,
    ` ${cursor}`,
    `${cursor.replaceAll('-', '+').replaceAll('_', '/')}\n`
  ])
    t.ok(refuses(scope, other), JSON.stringify(other))
})

t.test('what is no cursor is refused, and says nothing', async (t) => {
  const scope: CursorScope = ['events', randomUUID()]
  const garbage = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.base64String())
  fc.assert(
    fc.property(garbage, (text) => refuses(scope, text)),
    { seed, numRuns: 2000 }
  )
  for (const text of ['', 'x', '%%%', 'A'.repeat(21), 'A'.repeat(22)]) t.equal(unverified(text), undefined, text)
})
