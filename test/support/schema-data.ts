/**
 * Random data that a TypeBox schema accepts, for the keywords that the schemas of event types use. It throws at a
 * keyword it does not know, so that a schema is never tested with data that leaves some of it out.
 */
import type { TSchema } from '@sinclair/typebox'
import fc, { type Arbitrary } from 'fast-check'
import type { JsonObject } from '../../src/domain/event.js'
import { findHazard } from '../../src/domain/json.js'

/** Data of an event as the service stores it: valid under `schema`, without what JSON or the database would not keep. */
export const dataUnder = (schema: TSchema): Arbitrary<JsonObject> =>
  (valueUnder(schema) as Arbitrary<JsonObject>).filter((data) => findHazard(data, '') === null)

/** By the keyword that says what a value is, each with the other keywords it heeds. */
const kinds: Record<string, { heeds: string[]; make: (schema: TSchema) => Arbitrary<unknown> }> = {
  anyOf: { heeds: ['anyOf'], make: ({ anyOf }) => fc.oneof(...anyOf.map(valueUnder)) },
  const: { heeds: ['const', 'type'], make: (schema) => fc.constant(schema.const) },
  null: { heeds: ['type'], make: () => fc.constant(null) },
  boolean: { heeds: ['type'], make: () => fc.boolean() },
  integer: {
    heeds: ['type', 'minimum', 'maximum'],
    make: ({ minimum, maximum }) => fc.integer({ min: minimum, max: maximum })
  },
  string: { heeds: ['type', 'minLength', 'maxLength', 'pattern', 'format'], make: text },
  array: { heeds: ['type', 'items', 'maxItems', 'uniqueItems'], make: list },
  object: { heeds: ['type', 'properties', 'required', 'additionalProperties', 'minProperties'], make: object },
  record: { heeds: ['type', 'patternProperties'], make: record },
  any: { heeds: [], make: () => json }
}

function valueUnder(schema: TSchema): Arbitrary<unknown> {
  const kind = kinds[kindOf(schema)]
  const unknown = Object.keys(schema).filter((keyword) => keyword !== 'description' && !kind?.heeds.includes(keyword))
  if (!kind || unknown.length > 0)
    throw new Error(`Teach this generator the keywords ${unknown} of ${JSON.stringify(schema)}.`)
  return kind.make(schema)
}

function kindOf(schema: TSchema): string {
  for (const keyword of ['anyOf', 'const']) if (keyword in schema) return keyword
  if ('patternProperties' in schema) return 'record'
  return schema.type ?? 'any'
}

const json = fc.jsonValue({ maxDepth: 3 })

const moments = fc
  .tuple(
    fc.date({ min: new Date('0002-01-01T00:00:00Z'), max: new Date('9998-12-31T00:00:00Z'), noInvalidDate: true }),
    fc.constantFrom('Z', 'z', '+05:30', '-11:00'),
    fc.constantFrom('T', ' ')
  )
  .map(([date, zone, between]) => date.toISOString().replace('Z', zone).replace('T', between))

const formats: Record<string, Arbitrary<string>> = {
  'date-time': moments,
  ip: fc.oneof(fc.ipV4(), fc.ipV6()),
  ipv4: fc.ipV4(),
  ipv6: fc.ipV6()
}

function text({ minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern, format }: TSchema): Arbitrary<string> {
  const fits = ({ length }: string) => length >= minLength && length <= maxLength
  if (format !== undefined) return formats[format]!.filter(fits)
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern)).filter(fits)
  const limits = Number.isFinite(maxLength) ? { minLength, maxLength } : { minLength }
  return fc.oneof(fc.string(limits), fc.string({ ...limits, unit: 'grapheme' })).filter(fits)
}

function list({ items, maxItems = 10, uniqueItems }: TSchema): Arbitrary<unknown[]> {
  return uniqueItems ? fc.uniqueArray(valueUnder(items), { maxLength: maxItems }) : fc.array(valueUnder(items))
}

function object({ properties, required = [], minProperties = 0 }: TSchema): Arbitrary<object> {
  const values = Object.entries<TSchema>(properties).map(([name, schema]) => [name, valueUnder(schema)] as const)
  return fc
    .record(Object.fromEntries(values), { requiredKeys: required, noNullPrototype: true })
    .filter((made) => Object.keys(made).length >= minProperties)
}

/** An object whose keys may be anything; TypeBox says so by one pattern. */
function record({ patternProperties }: TSchema): Arbitrary<object> {
  const [[pattern, schema], ...more] = Object.entries<TSchema>(patternProperties) as [[string, TSchema]]
  if (pattern !== '^(.*)$' || more.length > 0) throw new Error(`Teach this generator keys that match ${pattern}.`)
  return fc.dictionary(fc.string({ maxLength: 8 }), valueUnder(schema), { maxKeys: 5, noNullPrototype: true })
}
