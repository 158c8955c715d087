/**
 * Requests made out of the OpenAPI document: each begins as one that the contract allows, and most are then spoilt in a place
 * or two: a value at or beyond a limit, of another type, missing, repeated, made of what breaks parsers; a body that is no
 * JSON, of another kind, or said to be of one. The same chance gives the same requests.
 */
import { type Random, uuidOf } from './random.js'

type Schema = Record<string, any>

type Parameter = {
  name: string
  in: 'path' | 'query' | 'header'
  required?: boolean
  schema: Schema
  example?: unknown
}
type Body = { content: Record<string, { schema: Schema; example?: unknown }> }
type Described = { operationId: string; parameters?: Parameter[]; requestBody?: Body }

export type OpenApi = {
  paths: Record<string, Record<string, Described>>
  components: { schemas: Record<string, Schema> }
}

export type Input = {
  operationId: string
  path: string
  method: 'GET' | 'PUT' | 'POST' | 'DELETE'
  url: string
  headers: Record<string, string>
  payload?: string
  /** whether the URL is written in a way that may lead to no route, or another */
  astray: boolean
}

/** Values that are likely to mean something, by name of the parameter or member. */
export type Vocabulary = Record<string, readonly unknown[]>

const METHODS = { get: 'GET', put: 'PUT', post: 'POST', delete: 'DELETE' } as const

/** Texts that parsers, patterns and databases have stumbled over. */
const TEXTS = [
  '',
  ' ',
  '0',
  '-0',
  '-1',
  '01',
  '1e3',
  '1.0',
  '0x10',
  '٣',
  'NaN',
  'Infinity',
  'null',
  'undefined',
  'true',
  '__proto__',
  'constructor',
  'toString',
  '\0',
  'a\0b',
  '\ud800',
  '\udc00x',
  '\ufeff',
  '\u202e',
  'é',
  'e\u0301',
  '👩‍👩‍👧',
  'ﬁ',
  'İ',
  "'; DROP TABLE user_events; --",
  '%',
  '_',
  '\\',
  '"',
  '`',
  '*',
  '../..',
  '/',
  '?a=b',
  '#',
  '$(1)',
  '{{7}}',
  '<script>',
  '\r\nx: y',
  '\t',
  '2026-02-30T00:00:00Z',
  '2026-06-30T23:59:60Z',
  '0000-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999999999Z',
  '-000001-01-01T00:00:00Z',
  '00000000-0000-0000-0000-000000000000',
  'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF',
  '9007199254740993',
  '99999999999999999999999999',
  '1e400',
  'x'.repeat(256),
  'x'.repeat(5000)
]

const NUMBERS = [0, -0, -1, 1, 0.5, 1e3, 2 ** 31 - 1, 2 ** 31, 2 ** 53 - 1, 2 ** 53, -(2 ** 53), 1e308, 5e-324]

/** No text in UTF-8, or no escape at all. */
const BAD_ESCAPES = ['%', '%z', '%zz', '%FF', '%C0%80', '%ED%A0%80', '%F5%80%80%80']

const CONTENT_TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'application/json; charset=latin1',
  'application/x-ndjson',
  'application/xml',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'text/plain',
  'application/*',
  'json',
  '',
  ';'
]

export function createInputs(document: OpenApi, random: Random, words: Vocabulary): () => Input {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      path,
      method: METHODS[method as keyof typeof METHODS],
      operation
    }))
  )
  const { next, below, pick } = random
  const chance = (probability: number): boolean => next() < probability

  const resolve = (schema: Schema): Schema =>
    schema.$ref ? resolve(document.components.schemas[schema.$ref.split('/').at(-1)!]!) : schema

  /** A value that the schema allows, or nearly: patterns are met by the vocabulary and by examples. */
  function make(given: Schema, name: string, depth = 0): unknown {
    const schema = resolve(given)
    const known = words[name]
    if (known && chance(0.8)) return pick(known)
    if (schema.const !== undefined) return schema.const
    if (schema.enum) return pick(schema.enum)
    const choices = schema.anyOf ?? schema.oneOf
    if (choices) return make(pick(choices), name, depth)
    if (schema.example !== undefined && chance(0.5)) return schema.example
    if (schema.examples && chance(0.5)) return pick(schema.examples)
    switch (schema.type) {
      case 'integer':
      case 'number':
        return number(schema)
      case 'boolean':
        return chance(0.5)
      case 'null':
        return null
      case 'array': {
        const length = chance(0.1) ? (schema.maxItems ?? 3) + below(2) : below(3) + (schema.minItems ?? 0)
        return Array.from({ length: Math.min(length, 30) }, () => make(schema.items ?? {}, name, depth + 1))
      }
      case 'object':
        return object(schema, depth)
      case 'string':
        return text(schema)
      default:
        return depth > 2 ? pick(NUMBERS) : anything(depth + 1)
    }
  }

  function number({ minimum, maximum, default: usual }: Schema): number {
    const limits = [minimum, maximum, usual].filter((limit) => limit !== undefined)
    if (limits.length > 0 && chance(0.6)) return pick(limits) + pick([-1, 0, 0, 0, 1])
    return chance(0.7) ? below(20) : pick(NUMBERS)
  }

  function text({ format, pattern, minLength = 0, maxLength = 30 }: Schema): string {
    if (format === 'date-time') return new Date(below(2 ** 31) * 1000).toISOString()
    if (format === 'uuid' || pattern?.includes('{8}-')) return uuidOf(random)
    if (chance(0.2))
      return 'x'.repeat(Math.min(20_000, Math.max(0, pick([minLength, maxLength]) + pick([-1, 0, 0, 1]))))
    return chance(0.3) ? pick(TEXTS) : Array.from({ length: 1 + below(12) }, () => pick([...'abcXYZ019_-'])).join('')
  }

  function object({ properties = {}, required = [] }: Schema, depth: number): object {
    const made: Record<string, unknown> = {}
    for (const [name, schema] of Object.entries<Schema>(properties))
      if (required.includes(name) || chance(0.4)) made[name] = make(schema, name, depth + 1)
    return made
  }

  function anything(depth = 0): unknown {
    switch (below(depth > 3 ? 4 : 6)) {
      case 0:
        return pick(NUMBERS)
      case 1:
        return chance(0.5)
      case 2:
        return null
      case 3:
        return pick(TEXTS)
      case 4:
        return Array.from({ length: below(4) }, () => anything(depth + 1))
      default:
        return Object.fromEntries(
          Array.from({ length: below(4) }, () => [pick(TEXTS).slice(0, 40), anything(depth + 1)])
        )
    }
  }

  /** The same with something changed somewhere in it. */
  function spoilt(value: unknown): unknown {
    if (typeof value !== 'object' || value === null || chance(0.2)) return anything()
    const keys = Object.keys(value)
    const copy: Record<string, unknown> | unknown[] = Array.isArray(value) ? [...value] : { ...value }
    const put = (key: string, member: unknown) =>
      Object.defineProperty(copy, key, { value: member, enumerable: true, configurable: true, writable: true })
    if (keys.length === 0 || chance(0.2)) {
      if (Array.isArray(copy)) copy.push(anything())
      else put(pick(TEXTS), anything())
    } else {
      const key = pick(keys)
      if (chance(0.2) && !Array.isArray(copy)) delete copy[key]
      else put(key, spoilt((value as Record<string, unknown>)[key]))
    }
    return copy
  }

  /** JSON of a body, with what JSON.stringify would never write. */
  function written(value: unknown): string {
    const json = JSON.stringify(value) ?? ''
    if (chance(0.9)) return json
    const at = below(json.length + 1)
    return pick([
      () => json.slice(0, at),
      () =>
        json.slice(0, at) +
        pick(['\0', '\ud800', ',', '}', '"', '\\u0000', '\\ud800', '1e999', '/**/', '﻿']) +
        json.slice(at),
      () => json.replace('{', `{"__proto__":${json},`),
      () => json.replace('{', '{"a":1,"a":2,'),
      () => `${'['.repeat(2000)}${']'.repeat(2000)}`,
      () => `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`,
      () => json + json,
      () => `﻿${json}`,
      () => ''
    ])()
  }

  function inUrl(value: unknown): string {
    const plain = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined')
    return encodeURIComponent(plain.toWellFormed()) + (chance(0.005) ? pick(BAD_ESCAPES) : '')
  }

  /** What a header can carry over the wire. */
  const inHeader = (value: unknown): string =>
    (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).replaceAll(/[^\x20-\x7e]/g, '?').trim()

  return () => {
    const { path, method, operation } = pick(operations)
    const { parameters = [], requestBody, operationId } = operation
    const of = (place: Parameter['in']) => parameters.filter((parameter) => parameter.in === place)
    let astray = false
    let spoils = pick([0, 0, 1, 1, 2])
    const spoil = (): boolean => {
      if (spoils === 0 || chance(0.6)) return false
      spoils--
      return true
    }
    const valueFor = ({ name, schema }: Parameter): unknown =>
      spoil() ? pick([...TEXTS, ...NUMBERS]) : make(schema, name)

    let route = path
    for (const parameter of of('path')) {
      const value = inUrl(valueFor(parameter)) || '%20'
      astray ||= BAD_ESCAPES.some((bad) => value.endsWith(bad))
      route = route.replace(`{${parameter.name}}`, value)
    }
    const query: string[] = []
    for (const parameter of of('query')) {
      if (!parameter.required && chance(0.7)) continue
      const value = valueFor(parameter)
      for (const each of Array.isArray(value) ? value : [value]) query.push(`${parameter.name}=${inUrl(each)}`)
      if (spoil()) query.push(`${parameter.name}=${inUrl(anything())}`)
    }
    if (spoil())
      query.push(
        pick(['x', '=', '&', '%zz', '__proto__=1', 'limit', 'limit[]=1', 'toString=1', `${inUrl(pick(TEXTS))}=1`])
      )
    if (chance(0.01)) {
      route = pick([
        `${route}/`,
        `/${route}`,
        route.toUpperCase(),
        `${route}%00`,
        `${route}/%zz`,
        route.replace('/', '//')
      ])
      astray = true
    }
    const headers: Record<string, string> = {}
    for (const parameter of of('header')) if (chance(0.15)) headers[parameter.name] = inHeader(valueFor(parameter))
    if (chance(0.1)) headers.accept = pick(['application/x-ndjson', '*/*', 'text/html', '', 'application/json;q=0'])
    const input: Input = {
      operationId,
      path,
      method,
      url: query.length > 0 ? `${route}?${query.join('&')}` : route,
      headers,
      astray
    }
    if (requestBody) {
      const [type, { schema, example }] = pick(Object.entries(requestBody.content))
      const good = example !== undefined && chance(0.5) ? example : make(schema, operationId)
      headers['content-type'] = spoil() ? pick(CONTENT_TYPES) : type
      let body = good
      while (spoils > 0) {
        spoils--
        body = spoilt(body)
      }
      input.payload =
        type === 'application/json' ? written(body) : `${typeof body === 'string' ? body : written(body)}\n`
    } else if (method !== 'GET' && chance(0.1)) {
      headers['content-type'] = pick(CONTENT_TYPES)
      input.payload = written(anything())
    }
    return input
  }
}
