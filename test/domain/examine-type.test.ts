/** A patch is tried on samples before its type is registered: what is valid now and could not be read later must be among them. */
import type { Operation } from 'fast-json-patch'
import t from 'tap'
import type { EventTypeDefinition } from '../../src/domain/custom-type.js'
import { DomainError } from '../../src/domain/errors.js'
import type { JsonObject } from '../../src/domain/event.js'
import { examine } from '../../src/domain/examine-type.js'

const define = (schema: JsonObject, upcast?: Operation[]): EventTypeDefinition => ({
  summary: '',
  schema,
  effect: { kind: 'none' },
  personalData: [],
  ...(upcast ? { upcast } : {})
})

const closed = (properties: JsonObject, required: string[] = []): JsonObject => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false
})

/** Why version 2 is refused after version 1; null when it is taken. */
function refusal(one: JsonObject, two: JsonObject, upcast: Operation[] = []): string | null {
  try {
    examine(define(two, upcast), define(one))
    return null
  } catch (err) {
    if (!(err instanceof DomainError)) throw err
    return err.code
  }
}

const letters = (from: string, count: number) => Array.from({ length: count }, (_, i) => `${from}${i}`)

/** Schemas of one value; all that the second takes the first takes too, but not the other way round. */
const narrower: [name: string, wide: JsonObject, narrow: JsonObject][] = [
  ['a longest text', { type: 'string' }, { type: 'string', maxLength: 300 }],
  ['a shorter longest text', { type: 'string', maxLength: 41 }, { type: 'string', maxLength: 40 }],
  ['a shortest text', { type: 'string', minLength: 6 }, { type: 'string', minLength: 7 }],
  [
    'digits, and how many',
    { type: 'string', pattern: '^[0-9]+$' },
    { type: 'string', pattern: '^[0-9]+$', maxLength: 30 }
  ],
  ['a text of its own', { type: 'string' }, { type: 'string', pattern: '^[a-z]{4}$' }],
  ['a smallest number', { type: 'integer' }, { type: 'integer', minimum: -17 }],
  ['a largest number', { type: 'number' }, { type: 'number', maximum: 1_000_000 }],
  ['a largest number below another', { type: 'integer', maximum: 1000 }, { type: 'integer', maximum: 500 }],
  ['an excluded end', { type: 'number', maximum: 90 }, { type: 'number', exclusiveMaximum: 90 }],
  ['whole numbers', { type: 'number', minimum: 2, maximum: 8 }, { type: 'integer', minimum: 2, maximum: 8 }],
  ['multiples', { type: 'integer', minimum: 0 }, { type: 'integer', minimum: 0, multipleOf: 5 }],
  ['one value less of many', { enum: letters('v', 150) }, { enum: letters('v', 149) }],
  ['a list of values', { type: 'string' }, { enum: ['text', ''] }],
  ['a longest list', { type: 'array', items: {} }, { type: 'array', items: {}, maxItems: 25 }],
  ['a shortest list', { type: 'array', items: {}, minItems: 3 }, { type: 'array', items: {}, minItems: 4 }],
  [
    'no item twice',
    { type: 'array', items: { type: 'integer' }, maxItems: 9 },
    { type: 'array', items: { type: 'integer' }, maxItems: 9, uniqueItems: true }
  ],
  ['no null', { type: ['string', 'null'] }, { type: 'string' }],
  ['texts of anything', {}, { type: 'string' }],
  ['texts of true', true as unknown as JsonObject, { type: ['string', 'number', 'null', 'array', 'object'] }]
]

t.test('a version that takes less than the one before is refused, wherever the value is', async (t) => {
  const others = { other: { type: 'string', maxLength: 99 }, more: { type: 'integer', minimum: 3 } }
  for (const [name, wide, narrow] of narrower) {
    t.equal(refusal(closed({ a: wide }, ['a']), closed({ a: narrow }, ['a'])), 'INVALID_UPCAST', name)
    t.equal(
      refusal(closed({ a: wide, ...others }), closed({ a: narrow, ...others })),
      'INVALID_UPCAST',
      `${name}, optional`
    )
    const moved = closed({ deep: closed({ b: narrow }, ['b']) }, ['deep'])
    const move: Operation[] = [
      { op: 'add', path: '/deep', value: {} },
      { op: 'move', from: '/a', path: '/deep/b' }
    ]
    t.equal(refusal(closed({ a: wide }, ['a']), moved, move), 'INVALID_UPCAST', `${name}, moved`)
  }
})

t.test('a version that takes more is taken', async (t) => {
  for (const [name, wide, narrow] of narrower) t.equal(refusal(closed({ a: narrow }), closed({ a: wide })), null, name)
})

t.test('names: what must be there now, and what nobody knew', async (t) => {
  const text = { type: 'string' }
  t.equal(refusal(closed({ a: text }), closed({ a: text }, ['a'])), 'INVALID_UPCAST', 'required now')
  t.equal(refusal(closed({ a: text, b: text }), closed({ a: text })), 'INVALID_UPCAST', 'gone')
  const open = { type: 'object', properties: { a: text } }
  t.equal(refusal(open, closed({ a: text })), 'INVALID_UPCAST', 'an open schema is closed')
  const taken: Operation[] = [{ op: 'move', from: '/b', path: '/a' }]
  t.equal(refusal(open, open, taken), 'INVALID_UPCAST', 'a move of what need not be there')
  t.equal(refusal(closed({ a: text }), closed({ a: text, b: text })), null, 'new and optional')
})

t.test('lists of lists are no reason to put millions of items together', async (t) => {
  const nested = (levels: number): JsonObject =>
    levels === 0
      ? { type: 'string', minLength: 100 }
      : { type: 'array', minItems: 1, maxItems: 200, items: nested(levels - 1) }
  const schema = closed({ a: nested(6) })
  const startedAt = performance.now()
  t.equal(refusal(schema, schema), null)
  t.ok(performance.now() - startedAt < 3000, `${Math.round(performance.now() - startedAt)} ms`)
})
