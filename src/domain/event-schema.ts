/** Compiles a JSON Schema (2020-12) that a client registered, so that checking data against it is safe and takes bounded time. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { JsonObject } from './event.js'
import { assertSchemaRules, compilePattern, invalidSchema } from './schema-rules.js'

/** What is wrong with data, and where in it (RFC 6901 pointer, '' for all of it); null when it fits. */
export type Check = (data: JsonObject) => { pointer: string; reason: string } | null

/** Formats that can be named; each takes time in proportion to the text. */
const FORMATS = ['date-time', 'date', 'time', 'email', 'uri', 'uuid', 'ipv4', 'ipv6'] as const

/** Throws INVALID_EVENT_SCHEMA with `pointer` (into the schema) and `reason`. */
export function compileSchema(schema: JsonObject): Check {
  assertSchemaRules(schema)
  const validate = compile(schema)
  return (data) => {
    if (validate(data)) return null
    const { instancePath, message, keyword, params } = validate.errors![0]!
    const named =
      keyword === 'additionalProperties' ? ` (${(params as { additionalProperty: string }).additionalProperty})` : ''
    return { pointer: instancePath, reason: `${message ?? 'does not fit'}${named}` }
  }
}

/** Knows what a schema may look like; to make one takes ten times as long as to compile an ordinary schema. */
const grammar = new Ajv2020({ logger: false })

function compile(schema: JsonObject) {
  if (!grammar.validateSchema(schema)) {
    const { instancePath, message } = grammar.errors![0]!
    throw invalidSchema(instancePath, message ?? 'it is not a schema')
  }
  // One for each schema: it keeps all it compiled.
  const ajv = new Ajv2020({
    strict: true,
    strictTypes: false,
    strictRequired: false,
    strictTuples: false,
    // Else Ajv tries the names of properties on patterns with the engine's own, slow, regular expressions.
    allowMatchingProperties: true,
    // Else a property named toString is there in every object.
    ownProperties: true,
    meta: false,
    validateSchema: false,
    logger: false,
    code: {
      // It takes most of the time that a large schema takes to compile.
      optimize: false,
      regExp: Object.assign((pattern: string) => compilePattern(pattern), { code: 'compilePattern' }) as never
    }
  })
  formats.default(ajv, { mode: 'fast', formats: [...FORMATS] })
  try {
    return ajv.compile(schema)
  } catch (err) {
    throw invalidSchema('', (err as Error).message)
  }
}
