/** Every number that a query or a body may hold is taken from its least to its greatest value, and refused beyond: read from the contract. */
import t from 'tap'
import { newUserId, userCreated } from '../support/events.js'
import { type Answer, testService } from '../support/service.js'

type Schema = {
  type?: string
  format?: string
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  properties?: Record<string, Schema>
  required?: string[]
  enum?: unknown[]
  anyOf?: Schema[]
}
type Parameter = { in: string; name: string; required?: boolean; schema: Schema }
type Operation = {
  parameters?: Parameter[]
  requestBody?: { content: Record<string, { schema: Schema; examples?: object; example?: object }> }
}

const { ask, get, append } = await testService(t, { env: { REQUEST_TIMEOUT_MS: '1000' } })
const userId = newUserId()
await append(userId, [userCreated()])
const paths = (await get('/openapi.json')).data.paths as Record<string, Record<string, Operation>>

const PLACES: Record<string, string> = { userId, version: '1', type: 'UserCreated', name: 'users', id: userId }
const urlOf = (path: string): string => path.replaceAll(/\{(\w+)\}/g, (_, name: string) => PLACES[name] ?? '1')

/** A value that the schema takes. */
const sample = ({ type, format, minimum }: Schema): string =>
  format === 'date-time' ? '2026-01-01T00:00:00Z' : type === 'integer' ? String(minimum ?? 1) : 'x'

const isRefused = ({ statusCode, data }: Answer): boolean => statusCode === 400 && data?.code === 'VALIDATION_FAILED'

let checked = 0
for (const [path, operations] of Object.entries(paths)) {
  const query = (operations.get?.parameters ?? []).filter((parameter) => parameter.in === 'query')
  const numbers = query.filter(({ schema }) => schema.type === 'integer')
  if (numbers.length === 0) continue
  t.test(`GET ${path}`, async (t) => {
    for (const { name, schema } of numbers) {
      const { minimum, maximum } = schema
      t.ok(minimum !== undefined && maximum !== undefined, `${name} has limits`)
      const asked = (value: number | string) => {
        const others = query.filter((other) => other.required && other.name !== name)
        const pairs: [string, string][] = [
          ...others.map((other) => [other.name, sample(other.schema)] as [string, string]),
          [name, String(value)]
        ]
        return get(`${urlOf(path)}?${new URLSearchParams(pairs)}`)
      }
      for (const value of [minimum!, maximum!]) t.notOk(isRefused(await asked(value)), `${name}=${value}`)
      for (const value of [minimum! - 1, maximum! + 1, '1e400', '-1e400', 'Infinity'])
        t.ok(isRefused(await asked(value)), `${name}=${value}`)
      checked++
    }
  })
}

/** The numbers of a body by the names that lead to them. */
function numbersOf({ properties = {} }: Schema, way: string[] = []): { way: string[]; schema: Schema }[] {
  return Object.entries(properties).flatMap(([name, schema]) =>
    ['integer', 'number'].includes(schema.type ?? '')
      ? [{ way: [...way, name], schema }]
      : numbersOf(schema, [...way, name])
  )
}

const withValue = (body: Record<string, any>, [name, ...rest]: string[], value: number): object => ({
  ...body,
  [name!]: rest.length === 0 ? value : withValue(body[name!] ?? {}, rest, value)
})

const BODIES: [path: string, body: object][] = [
  ['/admin/subscriptions', { name: 'crm', sink: { kind: 'webhook', url: 'https://crm.example.com/' } }],
  ['/admin/archive/runs', { dryRun: true }]
]
for (const [path, body] of BODIES) {
  t.test(`POST ${path}`, async (t) => {
    const { schema } = paths[path]!.post!.requestBody!.content['application/json']!
    const numbers = numbersOf(schema)
    t.ok(numbers.length > 0)
    for (const { way, schema } of numbers) {
      const step = schema.type === 'integer' ? 1 : 0.001
      const sent = async (value: number) => {
        const answer = await ask({ method: 'POST', url: path, payload: withValue(body, way, value) })
        if (path === '/admin/subscriptions') await ask({ method: 'DELETE', url: `${path}/crm` })
        return answer
      }
      const name = way.join('.')
      for (const value of [schema.minimum!, schema.maximum!]) t.notOk(isRefused(await sent(value)), `${name} ${value}`)
      for (const value of [schema.minimum! - step, schema.maximum! + step])
        t.ok(isRefused(await sent(value)), `${name} ${value}`)
      checked++
    }
  })
}

t.test('the contract has such numbers', async (t) => {
  t.ok(checked > 15, `${checked} numbers`)
})
