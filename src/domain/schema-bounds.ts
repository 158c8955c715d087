/** The limits that a JSON Schema names, wherever in it: a patch may move a value from anywhere to anywhere. */
import type { JsonObject } from './event.js'
import { childrenOf } from './schema-rules.js'

export type Bounds = {
  /** of texts */
  lengths: number[]
  /** of lists */
  counts: number[]
  /** with those of `enum` and `const` */
  numbers: number[]
  /** of `enum` and `const` */
  texts: string[]
}

export const noBounds: Bounds = { lengths: [], counts: [], numbers: [], texts: [] }

/** Of each kind, about. */
const BOUNDS_MAX = 90
const SCHEMAS_MAX = 2000

/** Each limit, with what is just below and just above it. */
export function boundsOf(root: JsonObject): Bounds {
  const schemas: unknown[] = [root]
  // Grows while it is walked.
  for (const schema of schemas) {
    if (schemas.length > SCHEMAS_MAX) break
    if (isObject(schema)) for (const [, child] of childrenOf(schema)) schemas.push(child)
  }
  const found = schemas.filter(isObject)
  const values = found.flatMap((schema) => [
    ...(Array.isArray(schema.enum) ? schema.enum : []),
    ...('const' in schema ? [schema.const] : [])
  ])
  const all = (keys: string[]): number[] =>
    found.flatMap((schema) => keys.map((key) => schema[key])).filter((value) => typeof value === 'number')
  const around = (limits: number[]): number[] =>
    [...new Set(limits.flatMap((limit) => [limit, limit + 1, limit - 1]))].slice(0, BOUNDS_MAX)
  const lengths = (keys: string[]): number[] =>
    around(all(keys)).filter((limit) => Number.isInteger(limit) && limit >= 0)
  return {
    lengths: lengths(['minLength', 'maxLength']),
    counts: lengths(['minItems', 'maxItems']),
    numbers: [
      ...around(all(['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'])),
      ...values.filter((value) => typeof value === 'number').slice(0, BOUNDS_MAX)
    ],
    texts: values.filter((value) => typeof value === 'string').slice(0, BOUNDS_MAX)
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
