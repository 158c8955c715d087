/** How Fastify turns the schemas of routes into code: what checks a request, and what writes an answer. */
import AjvCompiler, { type BuildCompilerFromPool } from '@fastify/ajv-compiler'
import { SerializerSelector as SerializerCompiler, type SerializerFactory } from '@fastify/fast-json-stringify-compiler'
import dependentRequired from 'ajv/dist/vocabularies/validation/dependentRequired.js'

/** A body must have the right types; in a URL or header everything is text, so there numbers and lists are read from it. */
export const buildValidator: BuildCompilerFromPool = (schemas) => {
  const compile = AjvCompiler()
  // The schemas are our own, and the contract's linter looks at them; to check them here takes as long as to compile them.
  const common = {
    removeAdditional: false,
    allErrors: false,
    discriminator: true,
    validateSchema: false,
    // The contract is written in JSON Schema 2020-12 (OpenAPI 3.1), while Fastify's Ajv knows the keywords of draft 7.
    keywords: [dependentRequired.default]
  }
  const strict = compile(schemas, { customOptions: { ...common, coerceTypes: false } })
  // Strict about numbers, Ajv would take 1e400 for a number and hold no limit against it, since it is not finite.
  const coercing = compile(schemas, { customOptions: { ...common, coerceTypes: 'array', strictNumbers: false } })
  // The type speaks of a schema; Fastify hands over the route's definition, which holds it.
  return (route) => ((route as { httpPart?: string }).httpPart === 'body' ? strict : coercing)(route)
}

/**
 * Problems are written by JSON.stringify (see sendProblem). Compiled, the serialisers of every refusal of every route would take
 * most of the time of a start.
 */
export const buildSerializer: SerializerFactory = (schemas, options) => {
  const compile = SerializerCompiler()(schemas, options)
  return (route) => (Number(route.httpStatus) >= 400 ? JSON.stringify : compile(route))
}
