/**
 * JSON that can be stored and read back unchanged. `parseJson` checks what only the text shows (numbers that a double
 * cannot hold, repeated keys); `findHazard` checks parsed values. Nothing is ever altered: it is refused.
 */
import { DomainError } from './errors.js'

/** Deepest nesting of eventData and of metadata, each of which counts as 1. */
export const JSON_DEPTH_MAX = 32

/** Nesting of a whole request body beyond which its value is not walked: keeps every recursion here shallow. */
const TEXT_DEPTH_MAX = 128

const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype'])

export type Hazard = { pointer: string; reason: string }

/**
 * Parses JSON text. Throws MALFORMED_JSON when it is not JSON, UNSAFE_JSON (with `pointer`) when parsing would lose
 * something: a number that does not survive a round trip, a key that is given twice, nesting beyond 128. `what` the text is
 * stands in the message.
 */
export function parseJson(text: string, what = 'The body'): unknown {
  const value = parse(text, what)
  const keys = scan(text)
  if (countKeys(value) !== keys) throw unsafe(findRepeatedKey(text)!)
  return value
}

/**
 * The first thing in `value` that PostgreSQL or JavaScript would not keep as it is, or null: NUL characters, lone
 * surrogates, non-finite numbers, keys that reach prototypes, nesting deeper than JSON_DEPTH_MAX.
 * `pointer` is the RFC 6901 place of `value` itself.
 */
export function findHazard(value: unknown, pointer: string, depth = 1): Hazard | null {
  if (typeof value === 'string') return findTextHazard(value, pointer)
  if (typeof value === 'number') {
    return Number.isFinite(value) ? null : { pointer, reason: 'a number must be finite' }
  }
  if (typeof value !== 'object' || value === null) return null
  if (depth > JSON_DEPTH_MAX) {
    return { pointer, reason: `nesting is deeper than ${JSON_DEPTH_MAX} levels; flatten the data` }
  }
  for (const [key, child] of Object.entries(value)) {
    const at = `${pointer}/${escapePointer(key)}`
    if (FORBIDDEN_KEYS.has(key)) return { pointer: at, reason: `the key ${key} is not allowed; choose another name` }
    const hazard = findTextHazard(key, at) ?? findHazard(child, at, depth + 1)
    if (hazard) return hazard
  }
  return null
}

/** One token of an RFC 6901 JSON Pointer. */
export const escapePointer = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1')

function findTextHazard(text: string, pointer: string): Hazard | null {
  if (text.includes('\0')) return { pointer, reason: 'text must not contain the NUL character (\\u0000)' }
  if (!text.isWellFormed()) return { pointer, reason: 'text must be well-formed Unicode; found a lone surrogate' }
  return null
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (err) {
    throw new DomainError('MALFORMED_JSON', `${what} is not valid JSON: ${(err as Error).message}`, {}, { cause: err })
  }
}

const unsafe = ({ pointer, reason }: Hazard): DomainError =>
  new DomainError('UNSAFE_JSON', `At ${pointer || 'the top'}: ${reason}.`, { pointer, reason })

const QUOTE = 34
const BACKSLASH = 92

/** Walks valid JSON once, checks numbers and nesting, and returns how many keys stand in it. */
function scan(text: string): number {
  let keys = 0
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === QUOTE) i = endOfString(text, i)
    else if (code === 58 /* : */) keys++
    else if (code === 123 /* { */ || code === 91 /* [ */) {
      if (++depth > TEXT_DEPTH_MAX)
        throw unsafe({ pointer: '', reason: `nesting is deeper than ${TEXT_DEPTH_MAX} levels` })
    } else if (code === 125 /* } */ || code === 93 /* ] */) depth--
    else if (code === 45 /* - */ || (code >= 48 && code <= 57)) {
      const end = endOfNumber(text, i)
      const token = text.slice(i, end)
      if (!survives(token)) {
        throw unsafe({
          pointer: pointerAt(text, i),
          reason: `the number ${token.slice(0, 60)} would be changed by a 64-bit float; send it as a string`
        })
      }
      i = end - 1
    }
  }
  return keys
}

/** Index of the quote that closes the string opened at `open`; the end of the text when none does. */
function endOfString(text: string, open: number): number {
  for (let end = text.indexOf('"', open + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return end
  }
  return text.length
}

function endOfNumber(text: string, start: number): number {
  let end = start + 1
  while (end < text.length && '0123456789+-.eE'.includes(text.charAt(end))) end++
  return end
}

/** Whether the number reads back as the same decimal value. Up to 15 plain digits always do (IEEE 754 double). */
function survives(token: string): boolean {
  if (token.length <= 15 && !/[eE]/.test(token)) return true
  const kept = String(Number(token))
  return kept === token || (kept !== 'Infinity' && kept !== '-Infinity' && decimal(kept) === decimal(token))
}

/** A decimal numeral as `digits e exponent` without sign, leading or trailing zeros: equal for equal magnitudes. */
function decimal(numeral: string): string {
  const [mantissa = '', exponent = '0'] = numeral.replace(/^-/, '').toLowerCase().split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  const digits = whole + fraction
  let first = 0
  let end = digits.length
  // Not by a regular expression: /0+$/ takes minutes for a body full of zeros that do not end it.
  while (digits[first] === '0') first++
  while (end > first && digits[end - 1] === '0') end--
  if (first === end) return '0'
  return `${digits.slice(first, end)}e${Number(exponent) - fraction.length + digits.length - end}`
}

function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let keys = 0
  if (Array.isArray(value)) for (const item of value) keys += countKeys(item)
  else for (const key in value) keys += 1 + countKeys((value as Record<string, unknown>)[key])
  return keys
}

type Frame = { key: string | number; seen: Set<string> | null }

/**
 * Walks valid JSON and calls `visit` for every string, and for every character outside of strings that is no bracket
 * and no comma, with the path that leads to it; `key` is the string when it is one. True ends the walk.
 */
function walk(text: string, visit: (offset: number, path: Frame[], key: string | null) => boolean): void {
  const path: Frame[] = []
  let before = '' // the last character that is not white space
  for (let i = 0; i < text.length; i++) {
    const top = path.at(-1)
    const char = text.charAt(i)
    if (char === '"') {
      const end = endOfString(text, i)
      const isKey = top?.seen != null && (before === '{' || before === ',')
      const word = isKey ? String(JSON.parse(text.slice(i, end + 1))) : null
      if (visit(i, path, word)) return
      if (isKey && word !== null) top.key = word
      i = end
    } else if (char === '{') path.push({ key: '', seen: new Set() })
    else if (char === '[') path.push({ key: 0, seen: null })
    else if (char === '}' || char === ']') path.pop()
    else if (char === ',' && typeof top?.key === 'number') top.key++
    else if (visit(i, path, null)) return
    if (char.trim() !== '') before = char
  }
}

const pointerOf = (path: Frame[]): string => path.map(({ key }) => `/${escapePointer(String(key))}`).join('')

/** JSON Pointer of the number that starts at `offset`. */
function pointerAt(text: string, offset: number): string {
  let pointer = ''
  walk(text, (at, path) => {
    if (at < offset) return false
    pointer = pointerOf(path)
    return true
  })
  return pointer
}

/** The first key that stands twice in one object of `text`, which is valid JSON; null when none does. */
export function findRepeatedKey(text: string): Hazard | null {
  let pointer: string | null = null
  walk(text, (_at, path, key) => {
    const seen = path.at(-1)?.seen
    if (key === null || !seen) return false
    if (seen.has(key)) {
      pointer = `${pointerOf(path.slice(0, -1))}/${escapePointer(key)}`
      return true
    }
    seen.add(key)
    return false
  })
  return pointer === null ? null : { pointer, reason: 'the key is given twice; send it once' }
}
