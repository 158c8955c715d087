/** Whether an answer is one that the OpenAPI document declares for the operation. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { LightMyRequestResponse } from 'fastify'
import type { Input, OpenApi } from './fuzz-inputs.js'

type Response = { content?: Record<string, { schema: object }> }
type Declared = { responses: Record<string, Response> }

const NDJSON = 'application/x-ndjson'
const PROBLEM = 'application/problem+json'

/** What looks at answers: tells what is wrong with one, null when nothing is. */
export function createFaultFinder(document: OpenApi) {
  const ajv = new Ajv2020({ strict: false, allErrors: false })
  formats.default(ajv)
  // The contract's own: an address of either kind.
  ajv.addFormat('ip', true)
  ajv.addSchema(document, 'contract')
  const validators = new Map<string, ValidateFunction>()

  function validatorAt(...place: string[]): ValidateFunction {
    const pointer = place.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')
    const known = validators.get(pointer) ?? ajv.compile({ $ref: `contract#/${pointer}` })
    validators.set(pointer, known)
    return known
  }

  const refusal = (validate: ValidateFunction, value: unknown): string | null =>
    validate(value) ? null : `the body is not as declared: ${ajv.errorsText(validate.errors)}`

  /** The contract knows lines of NDJSON as text; each is an event. */
  function lineFault(body: string): string | null {
    const isEvent = validatorAt('components', 'schemas', 'Event')
    for (const line of body.split('\n').filter((text) => text !== '')) {
      const fault = refusal(isEvent, parsed(line))
      if (fault) return fault
    }
    return null
  }

  return ({ path, method, astray }: Input, { statusCode, headers, body }: LightMyRequestResponse): string | null => {
    const [type = ''] = String(headers['content-type'] ?? '').split(';')
    if (statusCode >= 500 && statusCode !== 503) return `status ${statusCode}`
    if (astray && statusCode >= 400)
      return type === PROBLEM
        ? refusal(validatorAt('components', 'schemas', 'Problem'), parsed(body))
        : `no problem: ${type}`
    const { responses } = document.paths[path]![method.toLowerCase()] as unknown as Declared
    const response = responses[statusCode]
    if (!response) return `status ${statusCode} is not declared`
    if (!response.content) return body === '' ? null : 'a body where none is declared'
    if (!response.content[type]) return `content type ${type} is not declared for ${statusCode}`
    if (type === NDJSON) return lineFault(body)
    const place = [path, method.toLowerCase(), 'responses', String(statusCode), 'content', type, 'schema']
    return refusal(validatorAt('paths', ...place), parsed(body))
  }
}

/** Undefined, which no schema allows, for what is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
