/**
 * Sample data for a JSON Schema: not random, but the corners where a mistake shows (every optional field there or not,
 * every branch, every value of an enum, both ends of a range). Guesses may be wrong; whoever asks checks them.
 */
import type { JsonObject } from './event.js'
import { targetOf } from './schema-rules.js'

/** Most samples of a schema, and of each schema within. */
export const SAMPLES_MAX = 64
const DEPTH_MAX = 12
const LENGTH_MAX = 200

const FORMATS: Record<string, string> = {
  'date-time': '2026-11-22T08:00:00Z',
  date: '2026-11-22',
  time: '08:00:00Z',
  email: 'ada@example.com',
  uri: 'https://example.com/',
  uuid: '5b2f3c9e-8d0a-4f6e-9a57-2f4f1c0f7a11',
  ipv4: '203.0.113.7',
  ipv6: '2001:db8::1'
}

/** At most SAMPLES_MAX objects that are likely to fit. Never throws; the work is bounded, whatever the schema. */
export function samplesOf(schema: JsonObject): JsonObject[] {
  return valuesOf({ root: schema, left: 20_000 }, schema, 0).filter(isObject).slice(0, SAMPLES_MAX)
}

/** `left` is how many more schemas may be looked at. */
type Walk = { root: JsonObject; left: number }

function valuesOf(walk: Walk, schema: unknown, depth: number): unknown[] {
  if (schema === true) return ['text', 1, null]
  if (!isObject(schema) || depth > DEPTH_MAX || walk.left-- <= 0) return []
  const merged = resolved(walk, schema, 0)
  const own = Array.isArray(merged.examples) ? merged.examples : []
  return distinct([...own, ...plainValues(walk, merged, depth)]).slice(0, SAMPLES_MAX)
}

function plainValues(walk: Walk, schema: JsonObject, depth: number): unknown[] {
  if ('const' in schema) return [schema.const]
  if (Array.isArray(schema.enum)) return schema.enum
  for (const key of ['anyOf', 'oneOf']) {
    const branches = schema[key]
    if (Array.isArray(branches)) {
      const { [key]: _, ...rest } = schema
      return fairly(
        branches.filter(isObject).map((branch) => valuesOf(walk, merge(rest, resolved(walk, branch, 0)), depth))
      )
    }
  }
  if (isObject(schema.if)) {
    const { if: condition, then: yes, else: no, ...rest } = schema
    const met = merge(merge(rest, resolved(walk, condition as JsonObject, 0)), isObject(yes) ? yes : {})
    return fairly([valuesOf(walk, met, depth), valuesOf(walk, merge(rest, isObject(no) ? no : {}), depth)])
  }
  const types = Array.isArray(schema.type) ? schema.type : [schema.type ?? guessedType(schema)]
  return fairly(types.map((type) => valuesOfType(walk, schema, type, depth)))
}

function valuesOfType(walk: Walk, schema: JsonObject, type: unknown, depth: number): unknown[] {
  switch (type) {
    case 'object':
      return objects(walk, schema, depth)
    case 'array':
      return arrays(walk, schema, depth)
    case 'string':
      return strings(schema)
    case 'integer':
    case 'number':
      return numbers(schema, type)
    case 'boolean':
      return [true, false]
    case 'null':
      return [null]
    default:
      return []
  }
}

/** With all properties, with the required ones only, without each optional one, and with each value of each property. */
function objects(walk: Walk, schema: JsonObject, depth: number): JsonObject[] {
  const properties = isObject(schema.properties) ? schema.properties : {}
  const required = new Set(
    Array.isArray(schema.required) ? schema.required.filter((name) => typeof name === 'string') : []
  )
  const names = [...new Set([...Object.keys(properties), ...required])].slice(0, 200)
  const choices = new Map(
    names.map((name) => [
      name,
      Object.hasOwn(properties, name) ? valuesOf(walk, properties[name], depth + 1) : ['text']
    ])
  )
  const possible = names.filter((name) => choices.get(name)!.length > 0)
  const pick = (chosen: string[], at = 0, of?: string): JsonObject =>
    Object.fromEntries(chosen.map((name) => [name, choices.get(name)![name === of ? at : 0]]))
  const optional = possible.filter((name) => !required.has(name))
  return [
    pick(possible),
    pick(possible.filter((name) => required.has(name))),
    ...optional.map((name) => pick(possible.filter((other) => other !== name))),
    ...fairly(
      possible.map((name) =>
        choices
          .get(name)!
          .slice(1)
          .map((_, i) => pick(possible, i + 1, name))
      )
    )
  ].slice(0, SAMPLES_MAX) as JsonObject[]
}

function arrays(walk: Walk, schema: JsonObject, depth: number): unknown[][] {
  const first = Array.isArray(schema.prefixItems)
    ? schema.prefixItems.map((item) => valuesOf(walk, item, depth + 1)[0])
    : []
  const items = schema.items === false ? [] : valuesOf(walk, schema.items ?? true, depth + 1)
  const least = bounded(schema.minItems, first.length)
  const most = bounded(schema.maxItems, Math.max(least, first.length + items.length))
  const ofLength = (length: number) =>
    [
      ...first,
      ...Array.from({ length: Math.max(0, length - first.length) }, (_, i) => items[i % Math.max(1, items.length)])
    ].slice(0, length)
  const single = items
    .slice(1, 10)
    .map((item) => ofLength(Math.max(least, first.length + 1)).map((old, i) => (i === first.length ? item : old)))
  return [ofLength(least), ofLength(most), ...single]
}

function strings(schema: JsonObject): string[] {
  const named = typeof schema.format === 'string' ? FORMATS[schema.format] : undefined
  if (named !== undefined) return [named]
  const least = bounded(schema.minLength, 0)
  const most = bounded(schema.maxLength, Math.max(least, 8))
  const guesses =
    typeof schema.pattern === 'string'
      ? ['a', 'A', '0', 'abc', 'ABC', 'Abc', '123', 'a1', 'A1', 'ab', 'AB', '1234', '+49123456789', 'EUR', 'en-GB']
      : []
  return ['text'.slice(0, most).padEnd(least, 'x'), 'x'.repeat(least), 'x'.repeat(most), ...guesses]
}

function numbers(schema: JsonObject, type: 'integer' | 'number'): number[] {
  const step = typeof schema.multipleOf === 'number' ? schema.multipleOf : 1
  const low =
    numberOf(schema.minimum) ??
    (numberOf(schema.exclusiveMinimum) === null ? null : numberOf(schema.exclusiveMinimum)! + step)
  const high =
    numberOf(schema.maximum) ??
    (numberOf(schema.exclusiveMaximum) === null ? null : numberOf(schema.exclusiveMaximum)! - step)
  const ends = [low, high].filter((end) => end !== null)
  const middle = low !== null && high !== null ? (low + high) / 2 : (low ?? high ?? 1)
  const stepped = [...ends, middle, 0, 1].map((number) => Math.round(number / step) * step)
  return type === 'integer'
    ? stepped.map(Math.round)
    : [...ends, ...stepped, ...(low === null && high === null ? [0.5] : [])]
}

/** The schema with what it refers to and what it must all be put together. */
function resolved(walk: Walk, schema: JsonObject, depth: number): JsonObject {
  if (depth > DEPTH_MAX || walk.left-- <= 0) return {}
  const { $ref: ref, allOf, ...rest } = schema
  let merged: JsonObject = rest
  const target = typeof ref === 'string' && ref.startsWith('#') ? safeTarget(walk.root, ref) : undefined
  if (isObject(target)) merged = merge(resolved(walk, target, depth + 1), merged)
  for (const part of Array.isArray(allOf) ? allOf : [])
    if (isObject(part)) merged = merge(merged, resolved(walk, part, depth + 1))
  return merged
}

function safeTarget(root: JsonObject, ref: string): unknown {
  try {
    return targetOf(root, ref)
  } catch {
    return undefined
  }
}

/** Both schemas at once, as far as samples need it. */
function merge(one: JsonObject, other: JsonObject): JsonObject {
  const merged = { ...one, ...other }
  if (isObject(one.properties) && isObject(other.properties))
    merged.properties = { ...one.properties, ...other.properties }
  if (Array.isArray(one.required) && Array.isArray(other.required))
    merged.required = [...one.required, ...other.required]
  return merged
}

function guessedType(schema: JsonObject): string {
  if ('properties' in schema || 'required' in schema) return 'object'
  if ('items' in schema || 'prefixItems' in schema || 'minItems' in schema) return 'array'
  if ('minimum' in schema || 'maximum' in schema || 'multipleOf' in schema) return 'number'
  return 'string'
}

/** The first of each list, then the second of each …, so that a limit cuts all of them alike. */
function fairly<T>(lists: T[][]): T[] {
  const longest = Math.max(0, ...lists.map(({ length }) => length))
  const rounds = Array.from({ length: Math.min(longest, SAMPLES_MAX) }, (_, i) =>
    lists.filter((list) => i < list.length).map((list) => list[i]!)
  )
  return rounds.flat().slice(0, SAMPLES_MAX)
}

function distinct(values: unknown[]): unknown[] {
  const seen = new Set<string>()
  return values.filter((value) => {
    const text = JSON.stringify(value) ?? ''
    return seen.size < seen.add(text).size
  })
}

const numberOf = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null)
const bounded = (value: unknown, otherwise: number): number =>
  Math.min(LENGTH_MAX, Math.max(0, Math.floor(numberOf(value) ?? otherwise)))

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
