/** Samples are guesses; that good ones are among them is what registering a type relies on. */
import fc from 'fast-check'
import t from 'tap'
import type { JsonObject } from '../../src/domain/event.js'
import { compileSchema } from '../../src/domain/event-schema.js'
import { SAMPLES_MAX, samplesOf } from '../../src/domain/type-samples.js'

const valid = (schema: JsonObject): JsonObject[] => {
  const check = compileSchema(schema)
  return samplesOf(schema).filter((sample) => check(sample) === null)
}

const object = (properties: JsonObject, more: JsonObject = {}): JsonObject => ({ type: 'object', properties, ...more })

t.test('every optional property is there in one sample and missing in another', async (t) => {
  const schema = object(
    { a: { type: 'string' }, b: { type: 'integer' }, c: { type: 'boolean' } },
    { required: ['a'], additionalProperties: false }
  )
  const samples = valid(schema)
  for (const name of ['b', 'c']) {
    t.ok(samples.some((sample) => name in sample))
    t.ok(samples.some((sample) => !(name in sample)))
  }
  t.ok(samples.some((sample) => Object.keys(sample).length === 1))
  t.ok(samples.every((sample) => 'a' in sample))
})

t.test('every branch, every value, both ends', async (t) => {
  const seen = (schema: JsonObject) =>
    new Set(valid(object({ x: schema }, { required: ['x'] })).map(({ x }) => JSON.stringify(x)))
  const has = (schema: JsonObject, ...values: unknown[]) => {
    const found = seen(schema)
    for (const value of values)
      t.ok(found.has(JSON.stringify(value)), `${JSON.stringify(value)} for ${JSON.stringify(schema)}`)
  }
  has({ enum: ['a', 2, null] }, 'a', 2, null)
  has({ const: 7 }, 7)
  has({ type: ['string', 'null'] }, null)
  has({ type: 'integer', minimum: 3, maximum: 9 }, 3, 9)
  has({ type: 'integer', exclusiveMinimum: 3, exclusiveMaximum: 9 }, 4, 8)
  has({ type: 'string', minLength: 2, maxLength: 4 }, 'xx', 'xxxx')
  has({ anyOf: [{ const: 1 }, { const: 2 }] }, 1, 2)
  has({ oneOf: [{ type: 'boolean' }, { type: 'null' }] }, true, false, null)
  has({ $ref: '#/properties/x/$defs/y', $defs: { y: { const: 5 } } }, 5)
  has({ allOf: [{ type: 'integer' }, { minimum: 5 }, { maximum: 6 }] }, 5, 6)
  has({ type: 'array', items: { enum: [1, 2] }, minItems: 1, maxItems: 2 }, [1], [1, 2], [2])
  has({ type: 'string', pattern: '^[A-Z]{3}$' }, 'ABC')
  has({ type: 'string', pattern: '^never guessed [0-9]$', examples: ['never guessed 1'] }, 'never guessed 1')
  for (const format of ['date-time', 'date', 'time', 'email', 'uri', 'uuid', 'ipv4', 'ipv6'])
    t.equal(seen({ type: 'string', format }).size, 1, format)
})

t.test('a branch of the root, and what depends on a property', async (t) => {
  const branches = {
    type: 'object',
    oneOf: [
      { properties: { kind: { const: 'a' }, a: { type: 'string' } }, required: ['kind', 'a'] },
      { properties: { kind: { const: 'b' }, b: { type: 'integer' } }, required: ['kind', 'b'] }
    ]
  }
  t.same(new Set(valid(branches).map(({ kind }) => kind)), new Set(['a', 'b']))
  const dependent = object(
    { kind: { enum: ['a', 'b'] }, a: { type: 'string' } },
    JSON.parse(
      '{"required": ["kind"], "if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["a"]}}'
    ) as JsonObject
  )
  t.ok(valid(dependent).some(({ kind, a }) => kind === 'a' && a !== undefined))
  t.ok(valid(dependent).some(({ kind }) => kind === 'b'))
})

t.test('whatever the schema, it ends soon, with few samples', async (t) => {
  const startedAt = performance.now()
  const deep = (levels: number): JsonObject =>
    levels === 0 ? { type: 'string' } : { type: 'object', properties: { a: deep(levels - 1), b: deep(levels - 1) } }
  t.ok(samplesOf(deep(10)).length <= SAMPLES_MAX)
  const loop = { type: 'object', properties: { a: { $ref: '#' } } }
  t.ok(samplesOf(loop).length <= SAMPLES_MAX)
  t.ok(performance.now() - startedAt < 5000)
  fc.assert(
    fc.property(fc.object({ maxDepth: 4 }), (schema) => samplesOf({ type: 'object', ...schema }).length <= SAMPLES_MAX),
    { numRuns: 500 }
  )
  const keyword = fc.constantFrom(
    'properties',
    'anyOf',
    'allOf',
    'items',
    'enum',
    'type',
    'minimum',
    'maxLength',
    '$ref',
    'if',
    'examples',
    'required'
  )
  fc.assert(
    fc.property(
      fc.dictionary(keyword, fc.jsonValue()),
      (schema) => samplesOf({ ...schema, type: 'object' }).length <= SAMPLES_MAX
    ),
    { numRuns: 500 }
  )
})
