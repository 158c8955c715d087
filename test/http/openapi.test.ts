/** The OpenAPI document that the service shows. (That the committed file is the same, `npm run openapi -- --check` tells.) */
import t from 'tap'
import { builtInTypes } from '../../src/domain/catalog.js'
import { errorTable } from '../../src/http/errors.js'
import { testService } from '../support/service.js'

const { app, get } = await testService(t)

type Operation = {
  operationId?: string
  summary?: string
  tags?: string[]
  parameters?: { name: string; in: string; required?: boolean }[]
  responses: Record<string, { description?: string; content?: Record<string, unknown> }>
}

const document = app.swagger() as unknown as {
  openapi: string
  info: Record<string, string>
  tags: { name: string }[]
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Record<string, any>> }
}
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method.toUpperCase()} ${path}`, path, operation }))
)

t.test('the routes show the document of the code', async (t) => {
  const json = await get('/openapi.json')
  t.equal(json.statusCode, 200)
  t.strictSame(json.data, JSON.parse(JSON.stringify(app.swagger())))
  const yaml = await get('/openapi.yaml')
  t.match(yaml.headers['content-type'], 'yaml')
  t.equal(yaml.body, app.swagger({ yaml: true }))
})

t.test('it is OpenAPI 3.1, and every reference leads somewhere', async (t) => {
  t.match(document.openapi, /^3\.1\.\d$/)
  t.ok(document.info.title && document.info.version)
  const references: string[] = []
  const keywords = new Set<string>()
  JSON.stringify(document, (key, value) => {
    keywords.add(key)
    if (key === '$ref') references.push(value)
    return value
  })
  t.ok(references.length > 20)
  for (const reference of new Set(references)) {
    const [, name = ''] = /^#\/components\/schemas\/([\w.]+)$/.exec(reference) ?? []
    t.ok(document.components.schemas[name], reference)
  }
  t.notOk(keywords.has('nullable'), 'nullable is a word of 3.0')
  t.notOk(keywords.has('$id'))
})

t.test(
  'every operation has a name of its own, a summary, known tags, its path parameters and described answers',
  async (t) => {
    const ids = operations.map(({ operation }) => operation.operationId)
    t.equal(new Set(ids).size, ids.length)
    const tags = new Set(document.tags.map(({ name }) => name))
    for (const { name, path, operation } of operations) {
      t.match(operation.operationId, /^[a-z][A-Za-z]+$/, name)
      t.ok(operation.summary, name)
      t.ok(operation.tags?.length && operation.tags.every((tag) => tags.has(tag)), name)
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter)
      const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path')
      t.strictSame(declared.map((parameter) => parameter.name).sort(), inPath.sort(), name)
      t.ok(declared.every(({ required }) => required))
      for (const [status, { description }] of Object.entries(operation.responses))
        t.ok(description, `${name} ${status}`)
    }
  }
)

t.test('what has a default may be left out', async (t) => {
  const required: string[] = []
  let defaults = 0
  function look(name: string, schema: any): void {
    for (const [property, each] of Object.entries<any>(schema?.properties ?? {})) {
      if (each.default !== undefined) {
        defaults++
        if (schema.required?.includes(property)) required.push(`${name} ${property}`)
      }
      look(`${name}.${property}`, each)
    }
    for (const each of [...(schema?.oneOf ?? []), ...(schema?.anyOf ?? [])]) look(name, each)
  }
  for (const { name, operation } of operations as { name: string; operation: any }[]) {
    for (const { name: parameter, required: isRequired, schema } of operation.parameters ?? []) {
      if (schema.default === undefined) continue
      defaults++
      if (isRequired) required.push(`${name} ${parameter}`)
    }
    for (const { schema } of Object.values<any>(operation.requestBody?.content ?? {})) look(name, schema)
  }
  t.strictSame(required, [])
  t.ok(defaults > 30, `${defaults} defaults`)
})

t.test('every code of the error table is in the document, and no other', async (t) => {
  const codes = Object.keys(errorTable).sort()
  const { Problem } = document.components.schemas
  const alternatives: { enum: string[] }[] = Problem!.properties.code.anyOf
  const listed = alternatives.flatMap((alternative) => alternative.enum)
  t.strictSame(listed.sort(), codes)
  for (const [code, { status, title }] of Object.entries(errorTable)) {
    t.ok(document.info.description!.includes(`- ${status} \`${code}\`: ${title}`), code)
  }
})

t.test('a route lists codes of the table only, each under its status, and all that any route can give', async (t) => {
  const known: Record<string, { status: number }> = errorTable
  for (const { name, operation } of operations) {
    const listed = Object.entries(operation.responses).flatMap(([status, { description = '', content = {} }]) =>
      'application/problem+json' in content
        ? [...description.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => ({ status, code: code! }))
        : []
    )
    for (const { status, code } of listed) t.equal(String(known[code]?.status), status, `${name} ${code}`)
    if (operation.tags?.includes('operations')) continue
    const codes = listed.map(({ code }) => code)
    for (const code of ['VALIDATION_FAILED', 'INTERNAL_ERROR', 'DATABASE_UNAVAILABLE', 'SHUTTING_DOWN']) {
      t.ok(codes.includes(code), `${name} lists ${code}`)
    }
  }
})

t.test('whatever can come with a body says how a body is refused', async (t) => {
  for (const { name, operation } of operations) {
    if (name.startsWith('GET ')) continue
    for (const status of [400, 408, 415, 422]) t.ok(operation.responses[status], `${name} ${status}`)
  }
})

t.test('every event type has a component for each version of its data', async (t) => {
  for (const { name, versions } of builtInTypes) {
    for (const i of versions.keys()) {
      const component = document.components.schemas[`${name}.v${i + 1}`]
      t.equal(component?.type, 'object', name)
      t.equal(component?.additionalProperties, false)
    }
  }
})
