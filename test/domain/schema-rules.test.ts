/** Schemas that clients register: what is refused before it is compiled, at each limit and one past it. */
import t from 'tap'
import { DomainError } from '../../src/domain/errors.js'
import type { JsonObject } from '../../src/domain/event.js'
import { compileSchema } from '../../src/domain/event-schema.js'
import {
  PATTERNS_SIZE_MAX,
  SCHEMA_BYTES_MAX,
  SCHEMA_DEPTH_MAX,
  SCHEMA_NODES_MAX
} from '../../src/domain/schema-rules.js'

const of = (a: unknown, more: JsonObject = {}): JsonObject => ({ type: 'object', properties: { a }, ...more })

/** Where and why a schema is refused; null when it is taken. */
function refusalOf(schema: JsonObject): { pointer: string; reason: string } | null {
  try {
    compileSchema(schema)
    return null
  } catch (err) {
    if (!(err instanceof DomainError)) throw err
    if (err.code !== 'INVALID_EVENT_SCHEMA') throw err
    return err.facts as { pointer: string; reason: string }
  }
}

t.test('ordinary schemas are taken, and say what is wrong with data', async (t) => {
  const check = compileSchema({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: {
      city: { type: 'string', minLength: 1, description: 'where' },
      zip: { type: ['string', 'null'], pattern: '^[0-9]{5}$' },
      kind: { enum: ['home', 'work'] },
      since: { type: 'string', format: 'date' },
      tags: { type: 'array', items: { $ref: '#/$defs/tag' }, maxItems: 10, uniqueItems: true }
    },
    required: ['city'],
    additionalProperties: false,
    $defs: { tag: { type: 'string' } }
  })
  for (const data of [
    { city: 'Paris' },
    { city: 'Paris', zip: null, kind: 'home', since: '2026-11-22', tags: ['a', 'b'] },
    { city: 'Paris', zip: '75001' }
  ])
    t.equal(check(data), null)
  for (const [data, pointer, reason] of [
    [{}, '', /city/],
    [{ city: 7 }, '/city', /string/],
    [{ city: 'Paris', zip: '7500' }, '/zip', /pattern/],
    [{ city: 'Paris', kind: 'other' }, '/kind', /allowed values/],
    [{ city: 'Paris', since: 'yesterday' }, '/since', /date/],
    [{ city: 'Paris', tags: ['a', 'a'] }, '/tags', /duplicate/],
    [{ city: 'Paris', street: 'x' }, '', /street/]
  ] as const)
    t.match(check(data), { pointer, reason })
})

t.test('two patterns of one schema are two patterns', async (t) => {
  const check = compileSchema({
    type: 'object',
    properties: { a: { type: 'string', pattern: '^a$' }, b: { type: 'string', pattern: '^b$' } }
  })
  t.equal(check({ a: 'a', b: 'b' }), null)
  t.match(check({ a: 'a', b: 'a' }), { pointer: '/b' })
  t.match(check({ a: 'b', b: 'b' }), { pointer: '/a' })
})

t.test('what is refused, where', async (t) => {
  const refused: [schema: JsonObject, pointer: string][] = [
    [{}, '/type'],
    [{ type: 'array' }, '/type'],
    [{ type: ['object', 'null'] }, '/type'],
    [{ type: 'object', $schema: 'http://json-schema.org/draft-07/schema#' }, '/$schema'],
    [{ type: 'object', $id: 'https://example.com/x' }, '/$id'],
    [of({ $anchor: 'x' }), '/properties/a/$anchor'],
    [of({ $dynamicRef: '#x' }), '/properties/a/$dynamicRef'],
    [of({ $ref: 'https://example.com/x' }), '/properties/a/$ref'],
    [of({ $ref: 'other.json#/x' }), '/properties/a/$ref'],
    [of({ $ref: '#/$defs/none' }), '/properties/a/$ref'],
    [of({ $ref: '#/$defs/%' }), '/properties/a/$ref'],
    [of({ $ref: '#' }), '/properties/a/$ref'],
    [of({ $ref: '#/$defs/b' }, { $defs: { b: { items: { $ref: '#/$defs/b' } } } }), '/properties/a/$ref/items/$ref'],
    [of({ type: 'string', pattern: '(' }), '/properties/a/pattern'],
    [of({ type: 'string', pattern: '(?=a)' }), '/properties/a/pattern'],
    [of({ type: 'string', pattern: '(a)\\1' }), '/properties/a/pattern'],
    [of({ type: 'object', patternProperties: { '(?<!a)b': {} } }), '/properties/a/patternProperties/(?<!a)b'],
    [of({ type: 'array', uniqueItems: true }), '/properties/a/uniqueItems'],
    [of('text'), '/properties/a'],
    [of({ type: 'wrong' }), '/properties/a/type'],
    [of({ typ: 'string' }), ''],
    [of({ type: 'string', format: 'hostname' }), ''],
    [{ type: 'object', properties: JSON.parse('{"__proto__":{}}') as JsonObject }, '/properties/__proto__']
  ]
  for (const [schema, pointer] of refused) {
    const refusal = refusalOf(schema)
    t.equal(refusal?.pointer, pointer, JSON.stringify(schema))
    t.ok(refusal?.reason)
  }
})

t.test('names of properties are matched with the same care, and prototypes are no data', async (t) => {
  const startedAt = performance.now()
  const schema = {
    type: 'object',
    properties: { [`${'a'.repeat(40)}!`]: { type: 'string' } },
    patternProperties: { '^(a+)+$': { type: 'string' } }
  }
  t.equal(refusalOf(schema), null)
  t.ok(performance.now() - startedAt < 1000)
  const optional = { type: 'object', properties: { toString: { type: 'string' }, valueOf: { type: 'string' } } }
  t.equal(compileSchema(optional)({}), null)
  t.match(compileSchema({ ...optional, required: ['toString'] })({}), { pointer: '' })
})

t.test('names of keywords mean nothing where no schema stands', async (t) => {
  t.equal(refusalOf(of({ enum: [{ $ref: 'https://example.com', pattern: '(' }] })), null)
  t.equal(refusalOf(of({ type: 'string' }, { examples: [{ a: '$id' }] })), null)
  t.equal(refusalOf({ type: 'object', properties: { $ref: { type: 'string' }, pattern: { type: 'string' } } }), null)
})

t.test('limits', async (t) => {
  const padded = (bytes: number) => {
    const schema = { type: 'object', description: '' }
    return { ...schema, description: 'x'.repeat(bytes - JSON.stringify(schema).length) }
  }
  t.equal(refusalOf(padded(SCHEMA_BYTES_MAX)), null)
  t.match(refusalOf(padded(SCHEMA_BYTES_MAX + 1)), { pointer: '' })

  const nested = (levels: number): JsonObject => (levels === 1 ? { type: 'object' } : of(nested(levels - 1)))
  t.equal(refusalOf(nested(SCHEMA_DEPTH_MAX)), null)
  t.match(refusalOf(nested(SCHEMA_DEPTH_MAX + 1)), { reason: /nested/ })

  const wide = (nodes: number): JsonObject => ({
    type: 'object',
    properties: Object.fromEntries(Array.from({ length: nodes - 1 }, (_, i) => [`p${i}`, { type: 'string' }]))
  })
  t.equal(refusalOf(wide(SCHEMA_NODES_MAX)), null)
  t.match(refusalOf(wide(SCHEMA_NODES_MAX + 1)), { reason: /schemas within/ })

  const unique = (maxItems: number) => of({ type: 'array', items: {}, maxItems, uniqueItems: true })
  t.equal(refusalOf(unique(1000)), null)
  t.match(refusalOf(unique(1001)), { pointer: '/properties/a/uniqueItems' })

  const pattern = (length: number) => of({ type: 'string', pattern: '[abc]'.repeat(length / 5) })
  t.equal(refusalOf(pattern(1000)), null)
  t.match(refusalOf(pattern(1005)), { pointer: '/properties/a/pattern' })
  t.equal(refusalOf(of({ type: 'string', pattern: '(?:ab){400}' })), null)
  t.match(refusalOf(of({ type: 'string', pattern: '(?:ab){600}' })), { reason: /instructions/ })
})

t.test('the patterns of a schema have a limit together, wherever they stand', async (t) => {
  // A text of n letters is n + 2 instructions: one for each, and two around them.
  const text = (size: number) => ({ type: 'string', pattern: 'a'.repeat(size - 2) })
  const half = PATTERNS_SIZE_MAX / 2
  const both = (a: JsonObject, b: JsonObject) => ({ type: 'object', properties: { a, b } })
  t.equal(refusalOf(both(text(half), text(half))), null)
  t.match(refusalOf(both(text(half), { allOf: [text(1 + half / 2), text(half / 2)] })), {
    reason: /compile to 2001 instructions/
  })
  const names = (size: number) => ({ type: 'object', patternProperties: { [text(size).pattern]: {} } })
  t.equal(refusalOf(both(names(half), text(half))), null)
  t.match(refusalOf(both(names(half), both(text(half / 2), text(1 + half / 2)))), { pointer: '' })
  const shared = (uses: number): JsonObject => ({
    type: 'object',
    properties: Object.fromEntries(Array.from({ length: uses }, (_, i) => [`p${i}`, { $ref: '#/$defs/text' }])),
    $defs: { text: text(PATTERNS_SIZE_MAX / 4) }
  })
  t.equal(refusalOf(shared(3)), null, 'three uses and the definition itself')
  t.match(refusalOf(shared(4)), { reason: /patterns compile to/ })
})

t.test('a schema of few bytes that stands for endless work is refused at once', async (t) => {
  const $defs = Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [
      `d${i}`,
      i === 29 ? { type: 'string' } : { anyOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] }
    ])
  )
  const startedAt = performance.now()
  t.match(refusalOf(of({ $ref: '#/$defs/d0' }, { $defs })), { reason: /schemas within/ })
  t.ok(performance.now() - startedAt < 1000)
})

t.test('hostile text takes no time to refuse', async (t) => {
  const hostile = `${'a'.repeat(65_000)}!`
  for (const schema of [
    ...['^(a+)+$', '^(a|a)*$', '^(.*a){20}$'].map((pattern) => ({ type: 'string', pattern })),
    ...['date-time', 'date', 'time', 'email', 'uri', 'uuid', 'ipv4', 'ipv6'].map((format) => ({
      type: 'string',
      format
    }))
  ]) {
    const check = compileSchema(of(schema))
    const startedAt = performance.now()
    for (const text of [hostile, '1'.repeat(65_000), '@'.repeat(65_000), ':'.repeat(65_000), `${'a.'.repeat(32_000)}@`])
      check({ a: text })
    t.ok(performance.now() - startedAt < 2000, `${JSON.stringify(schema)} took ${performance.now() - startedAt} ms`)
  }
})
