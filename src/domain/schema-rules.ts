/**
 * What a JSON Schema from a client must be before it is compiled: small, without recursion, without anything that lives
 * elsewhere, and cheap to check data against, whatever the data.
 */
import { RE2JS } from 're2js'
import { DomainError } from './errors.js'
import type { JsonObject } from './event.js'

/** Bytes of a schema as JSON. */
export const SCHEMA_BYTES_MAX = 65_536
/** Levels of schemas within schemas. */
export const SCHEMA_DEPTH_MAX = 32
/** Schemas within a schema, each counted as often as it is referred to; code of 2000 is too deep for the parser of V8. */
export const SCHEMA_NODES_MAX = 1000
const PATTERN_LENGTH_MAX = 1000
/** Instructions of a compiled pattern: each may be looked at for each character of the text. */
const PATTERN_SIZE_MAX = 1000
/** Instructions of all patterns within a schema, each counted as often as it is referred to: all may look at one text. */
export const PATTERNS_SIZE_MAX = 2000
const UNIQUE_ITEMS_MAX = 1000

const DIALECT = 'https://json-schema.org/draft/2020-12/schema'
const ELSEWHERE = [
  '$id',
  '$anchor',
  '$dynamicRef',
  '$dynamicAnchor',
  '$recursiveRef',
  '$recursiveAnchor',
  '$vocabulary',
  '$async'
]
const UNSAFE_NAMES = ['__proto__', 'constructor', 'prototype']
/** Keywords whose value is a schema, a list of schemas, or schemas by name. */
const ONE = [
  'additionalProperties',
  'propertyNames',
  'items',
  'contains',
  'not',
  'if',
  'then',
  'else',
  'unevaluatedProperties',
  'unevaluatedItems'
]
const LISTS = ['allOf', 'anyOf', 'oneOf', 'prefixItems']
const NAMED = ['properties', 'patternProperties', 'dependentSchemas', '$defs']

/** Throws INVALID_EVENT_SCHEMA with `pointer` (into the schema) and `reason` unless the schema keeps all rules. */
export function assertSchemaRules(schema: JsonObject): void {
  const bytes = Buffer.byteLength(JSON.stringify(schema))
  if (bytes > SCHEMA_BYTES_MAX)
    throw invalidSchema('', `it has ${bytes} bytes as JSON, at most ${SCHEMA_BYTES_MAX} are allowed`)
  if (schema.type !== 'object')
    throw invalidSchema('/type', 'eventData is an object; the schema must say "type": "object"')
  if (schema.$schema !== undefined && schema.$schema !== DIALECT)
    throw invalidSchema('/$schema', `the dialect must be ${DIALECT}, or left out`)
  walk(schema, '', 1)
  weigh(schema, schema, new Map())
}

export const invalidSchema = (pointer: string, reason: string): DomainError =>
  new DomainError('INVALID_EVENT_SCHEMA', `The schema is not valid at ${pointer || 'its root'}: ${reason}.`, {
    pointer,
    reason
  })

/** Schemas directly within a schema, with where they stand. */
export function childrenOf(schema: JsonObject): [pointer: string, child: unknown][] {
  const found: [string, unknown][] = []
  for (const key of ONE) if (schema[key] !== undefined) found.push([`/${key}`, schema[key]])
  for (const key of LISTS) {
    const list = schema[key]
    if (Array.isArray(list)) for (const [i, child] of list.entries()) found.push([`/${key}/${i}`, child])
  }
  for (const key of NAMED) {
    const named = schema[key]
    if (isObject(named))
      for (const [name, child] of Object.entries(named)) found.push([`/${key}/${escaped(name)}`, child])
  }
  return found
}

/** The schema that a local `$ref` names; undefined if it names none. */
export function targetOf(root: JsonObject, ref: string): unknown {
  let target: unknown = root
  for (const segment of ref.slice(1).split('/').slice(1)) {
    const key = decodeURIComponent(segment).replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof target !== 'object' || target === null || !Object.hasOwn(target, key)) return undefined
    target = (target as JsonObject)[key]
  }
  return target
}

function walk(schema: unknown, at: string, depth: number): void {
  if (typeof schema === 'boolean') return
  if (!isObject(schema)) throw invalidSchema(at, 'a schema is an object, true or false')
  if (depth > SCHEMA_DEPTH_MAX) throw invalidSchema(at, `it is nested deeper than ${SCHEMA_DEPTH_MAX} levels`)
  for (const key of ELSEWHERE)
    if (Object.hasOwn(schema, key)) throw invalidSchema(`${at}/${key}`, `${key} is not allowed; refer to $defs by $ref`)
  assertRef(schema.$ref, `${at}/$ref`)
  assertPattern(schema.pattern, `${at}/pattern`)
  if (isObject(schema.patternProperties))
    for (const pattern of Object.keys(schema.patternProperties))
      assertPattern(pattern, `${at}/patternProperties/${escaped(pattern)}`)
  if (isObject(schema.properties))
    for (const name of UNSAFE_NAMES)
      if (Object.hasOwn(schema.properties, name))
        throw invalidSchema(`${at}/properties/${name}`, `no property can be named ${name}`)
  if (schema.uniqueItems === true && !(Number(schema.maxItems) <= UNIQUE_ITEMS_MAX))
    throw invalidSchema(
      `${at}/uniqueItems`,
      `to compare all items takes long; give maxItems, at most ${UNIQUE_ITEMS_MAX}`
    )
  for (const [pointer, child] of childrenOf(schema)) walk(child, at + pointer, depth + 1)
}

function assertRef(ref: unknown, at: string): void {
  if (ref === undefined) return
  if (typeof ref !== 'string' || !/^#(?:\/.*)?$/s.test(ref))
    throw invalidSchema(at, 'only references within the schema are allowed, such as #/$defs/name')
  try {
    decodeURIComponent(ref)
  } catch {
    throw invalidSchema(at, 'the reference is not well encoded')
  }
}

function assertPattern(pattern: unknown, at: string): void {
  if (typeof pattern !== 'string') return
  if (pattern.length > PATTERN_LENGTH_MAX)
    throw invalidSchema(at, `the pattern has ${pattern.length} characters, at most ${PATTERN_LENGTH_MAX} are allowed`)
  let size: number
  try {
    size = sizeOf(pattern)
  } catch (err) {
    throw invalidSchema(
      at,
      `the pattern is not one of RE2, which has no look-around and no back-references (${(err as Error).message})`
    )
  }
  if (size > PATTERN_SIZE_MAX)
    throw invalidSchema(
      at,
      `the pattern compiles to ${size} instructions, at most ${PATTERN_SIZE_MAX} are allowed; repeat less`
    )
}

const sizeOf = (pattern: string): number => compile(pattern).programSize()

const compile = (pattern: string): RE2JS => RE2JS.compile(RE2JS.translateRegExp(pattern))

/** A pattern that takes time in proportion to the text, as JSON Schema wants it: unanchored. */
export function compilePattern(pattern: string): { test(text: string): boolean; toString(): string } {
  const compiled = compile(pattern)
  // Ajv tells patterns apart by their text.
  return { test: (text) => compiled.matcher(text).find(), toString: () => pattern }
}

/** What checking data may have to do: schemas to visit, and instructions of patterns. */
type Weight = { nodes: number; patterns: number }

/** A reference weighs as much as what it names, so that few bytes cannot mean endless work. */
function weigh(root: JsonObject, schema: unknown, known: Map<unknown, Weight | 'weighing'>, at = ''): Weight {
  if (!isObject(schema)) return { nodes: 1, patterns: 0 }
  const weighed = known.get(schema)
  if (weighed === 'weighing')
    throw invalidSchema(at, 'the reference leads back to itself; recursive schemas are not allowed')
  if (weighed !== undefined) return weighed
  known.set(schema, 'weighing')
  const weight = { nodes: 1, patterns: patternsOf(schema).reduce((sum, pattern) => sum + sizeOf(pattern), 0) }
  for (const [pointer, child] of [...referredTo(root, schema, at), ...childrenOf(schema)]) {
    const { nodes, patterns } = weigh(root, child, known, at + pointer)
    weight.nodes += nodes
    weight.patterns += patterns
  }
  if (weight.nodes > SCHEMA_NODES_MAX)
    throw invalidSchema(at, `with all references it has more than ${SCHEMA_NODES_MAX} schemas within; make it simpler`)
  if (weight.patterns > PATTERNS_SIZE_MAX)
    throw invalidSchema(
      at,
      `with all references its patterns compile to ${weight.patterns} instructions, at most ${PATTERNS_SIZE_MAX} are allowed; repeat less, or use format`
    )
  known.set(schema, weight)
  return weight
}

function referredTo(root: JsonObject, { $ref: ref }: JsonObject, at: string): [pointer: string, target: unknown][] {
  if (typeof ref !== 'string') return []
  const target = targetOf(root, ref)
  if (target === undefined) throw invalidSchema(`${at}/$ref`, `there is no ${ref}`)
  return [['/$ref', target]]
}

const patternsOf = ({ pattern, patternProperties }: JsonObject): string[] => [
  ...(typeof pattern === 'string' ? [pattern] : []),
  ...(isObject(patternProperties) ? Object.keys(patternProperties) : [])
]

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const escaped = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1')
