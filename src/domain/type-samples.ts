/**
 * Sample data for a JSON Schema: not random, but the corners where a mistake shows (every optional field there or not,
 * every branch, every value of an enum, both ends of a range). Guesses may be wrong; whoever asks checks them.
 */
import type { JsonObject } from './event.js'
import { type Bounds, boundsOf, noBounds } from './schema-bounds.js'
import { compilePattern, targetOf } from './schema-rules.js'

/** Most samples of a schema, and of each schema within. */
export const SAMPLES_MAX = 1000
/** Size of one sample and of all of them, about bytes of JSON; each may be checked against patterns that are slow. */
const SAMPLE_SIZE_MAX = 65_536
const SAMPLES_SIZE_MAX = 262_144
const DEPTH_MAX = 12
/** Longest text, and longest list. */
const TEXT_MAX = 4096
const LIST_MAX = 200

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

/**
 * At most SAMPLES_MAX objects that are likely to fit, SAMPLES_SIZE_MAX in all. With a `counterpart`, another version of the
 * schema, also objects at its bounds and just past them: where only one of the two takes them, their difference shows.
 * Never throws; the work is bounded, whatever the schema.
 */
export function samplesOf(schema: JsonObject, counterpart?: JsonObject): JsonObject[] {
  const bounds = counterpart ? boundsOf(counterpart) : noBounds
  const walk: Walk = { root: schema, bounds, left: 20_000, size: 64 * SAMPLES_SIZE_MAX, sizes: new WeakMap() }
  const own = valuesOf(walk, schema, 0).filter(isObject)
  const samples = own[0] ? [...beyond(walk, own[0], counterpart), ...own] : []
  let size = 0
  return samples.slice(0, SAMPLES_MAX).filter((sample) => {
    const fits = size + sizeOf(walk, sample) <= SAMPLES_SIZE_MAX
    if (fits) size += sizeOf(walk, sample)
    return fits
  })
}

/** `sample` with what the other version knows, and with what nobody knows: an open schema takes it. */
function beyond(walk: Walk, sample: JsonObject, counterpart: JsonObject | undefined): JsonObject[] {
  if (!counterpart) return []
  const other = valuesOf({ ...walk, root: counterpart, bounds: noBounds }, counterpart, 0).find(isObject) ?? {}
  const names = Object.keys(other).filter((name) => !Object.hasOwn(sample, name))
  return [
    sample,
    ...names.slice(0, 50).map((name) => ({ ...sample, [name]: other[name] })),
    { ...sample, aNameThatNoSchemaKnows: 'text' }
  ]
}

/** `left` is how many more schemas may be looked at, `size` how much more may be put together. */
type Walk = { root: JsonObject; bounds: Bounds; left: number; size: number; sizes: WeakMap<object, number> }

/** About how many bytes a value is as JSON. Lists and objects that were put together here are known. */
function sizeOf({ sizes }: Walk, value: unknown): number {
  if (typeof value === 'string') return value.length + 2
  if (typeof value !== 'object' || value === null) return 8
  const size = sizes.get(value) ?? JSON.stringify(value).length
  sizes.set(value, size)
  return size
}

/** `value` if there is room for it; `size` is what it takes. */
function put<T extends object>(walk: Walk, size: number, value: () => T): T[] {
  if (size > SAMPLE_SIZE_MAX || size > walk.size) return []
  walk.size -= size
  const made = value()
  walk.sizes.set(made, size)
  return [made]
}

function valuesOf(walk: Walk, schema: unknown, depth: number): unknown[] {
  if (schema === true) return ANYTHING
  if (!isObject(schema) || depth > DEPTH_MAX || walk.left-- <= 0) return []
  const merged = resolved(walk, schema, 0)
  const own = Array.isArray(merged.examples) ? merged.examples : []
  return distinct([...own, ...plainValues(walk, merged, depth)]).slice(0, SAMPLES_MAX)
}

const ANYTHING = ['text', 1, null, true, 0.5, [], {}]

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
  const type = schema.type ?? guessedType(schema)
  if (type === null) return ANYTHING
  const types = Array.isArray(type) ? type : [type]
  return fairly(types.map((type) => valuesOfType(walk, schema, type, depth)))
}

function valuesOfType(walk: Walk, schema: JsonObject, type: unknown, depth: number): unknown[] {
  switch (type) {
    case 'object':
      return objects(walk, schema, depth)
    case 'array':
      return arrays(walk, schema, depth)
    case 'string':
      return strings(schema, walk.bounds)
    case 'integer':
    case 'number':
      return numbers(schema, type, walk.bounds)
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
  const pick = (chosen: string[], at = 0, of?: string): JsonObject[] => {
    const entries = chosen.map((name) => [name, choices.get(name)![name === of ? at : 0]] as const)
    const size = entries.reduce((sum, [name, value]) => sum + name.length + 4 + sizeOf(walk, value), 2)
    return put(walk, size, () => Object.fromEntries(entries))
  }
  const optional = possible.filter((name) => !required.has(name))
  const varied = possible.map((name) =>
    choices
      .get(name)!
      .slice(1)
      .map((_, i) => [name, i + 1] as const)
  )
  return [
    ...pick(possible),
    ...pick(possible.filter((name) => required.has(name))),
    ...optional.flatMap((name) => pick(possible.filter((other) => other !== name))),
    ...fairly(varied).flatMap(([name, at]) => pick(possible, at, name))
  ].slice(0, SAMPLES_MAX)
}

function arrays(walk: Walk, schema: JsonObject, depth: number): unknown[][] {
  const first = Array.isArray(schema.prefixItems)
    ? schema.prefixItems.map((item) => valuesOf(walk, item, depth + 1)[0])
    : []
  const items = schema.items === false ? [] : valuesOf(walk, schema.items ?? true, depth + 1)
  const least = bounded(schema.minItems, first.length, LIST_MAX)
  const most = bounded(schema.maxItems, Math.max(least, first.length + items.length), LIST_MAX)
  const ofLength = (length: number, chosen: unknown[] = items): unknown[][] => {
    const rest = Math.max(0, length - first.length)
    if (rest > 0 && chosen.length === 0) return []
    const largest = Math.max(0, ...[...first, ...chosen].map((item) => sizeOf(walk, item)))
    return put(walk, 2 + length * (largest + 1), () =>
      [...first, ...Array.from({ length: rest }, (_, i) => chosen[i % chosen.length])].slice(0, length)
    )
  }
  const lengths = walk.bounds.counts.filter(
    (length) => length >= least && length <= (numberOf(schema.maxItems) ?? length)
  )
  const single = items.slice(1, 10).flatMap((item) => ofLength(Math.max(least, first.length + 1), [item]))
  return [
    ...ofLength(least),
    ...ofLength(most),
    ...single,
    ...lengths.flatMap((length) => ofLength(length)),
    // The same twice.
    ...ofLength(Math.max(least, first.length + 2), items.slice(0, 1))
  ]
}

function strings(schema: JsonObject, { lengths, texts }: Bounds): string[] {
  const named = typeof schema.format === 'string' ? FORMATS[schema.format] : undefined
  if (named !== undefined) return [named]
  const least = bounded(schema.minLength, 0, TEXT_MAX)
  const most = bounded(schema.maxLength, Math.max(least, 8), TEXT_MAX)
  const ends = [least, most, ...lengths.filter((length) => length <= TEXT_MAX)]
  const fits = matcherOf(schema)
  const letters = fits ? ['x', 'X', '0'] : ['x']
  return [
    'text'.slice(0, most).padEnd(least, 'x'),
    ...(fits ? GUESSES : []),
    ...letters.flatMap((letter) => ends.map((length) => letter.repeat(length))),
    ...texts
  ].filter(
    (text) =>
      text.length >= least && text.length <= (numberOf(schema.maxLength) ?? text.length) && (fits?.(text) ?? true)
  )
}

const GUESSES = 'a A 0 abc ABC Abc 123 a1 A1 ab AB 1234 +49123456789 EUR en-GB'.split(' ')

/** Tells whether a text has the pattern of the schema, if there is one that can be compiled. */
function matcherOf({ pattern }: JsonObject): ((text: string) => boolean) | null {
  if (typeof pattern !== 'string') return null
  try {
    const compiled = compilePattern(pattern)
    return (text) => compiled.test(text)
  } catch {
    return null
  }
}

function numbers(schema: JsonObject, type: 'integer' | 'number', bounds: Bounds): number[] {
  const step = typeof schema.multipleOf === 'number' ? schema.multipleOf : 1
  const low =
    numberOf(schema.minimum) ??
    (numberOf(schema.exclusiveMinimum) === null ? null : numberOf(schema.exclusiveMinimum)! + step)
  const high =
    numberOf(schema.maximum) ??
    (numberOf(schema.exclusiveMaximum) === null ? null : numberOf(schema.exclusiveMaximum)! - step)
  const ends = [low, high].filter((end) => end !== null)
  const middle = low !== null && high !== null ? (low + high) / 2 : (low ?? high ?? 1)
  const stepped = [...ends, middle, 0, 1, ...bounds.numbers].map((number) => Math.round(number / step) * step)
  const broken = [(low ?? 0) + 0.5, ...bounds.numbers]
  const found = type === 'integer' ? stepped.map(Math.round) : [...ends, ...stepped, ...broken]
  return found.filter((number) => number >= (low ?? number) && number <= (high ?? number))
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

/** The type that the keywords speak of; null if there is none. */
function guessedType(schema: JsonObject): string | null {
  if ('properties' in schema || 'required' in schema) return 'object'
  if ('items' in schema || 'prefixItems' in schema || 'minItems' in schema) return 'array'
  if ('minimum' in schema || 'maximum' in schema || 'multipleOf' in schema) return 'number'
  return 'minLength' in schema || 'maxLength' in schema || 'pattern' in schema || 'format' in schema ? 'string' : null
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
  const seen = new Set<unknown>()
  return values.filter((value) => {
    const text = typeof value === 'object' && value !== null ? `object ${JSON.stringify(value)}` : value
    return seen.size < seen.add(text).size
  })
}

const numberOf = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null)
const bounded = (value: unknown, otherwise: number, most: number): number =>
  Math.min(most, Math.max(0, Math.floor(numberOf(value) ?? otherwise)))

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
