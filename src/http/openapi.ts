/** The OpenAPI 3.1 document, generated from the routes, and the pages that show it. */
import { readFileSync } from 'node:fs'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { type TObject, type TSchema, Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { builtInTypes } from '../domain/catalog.js'
import { pagePolicy } from './common-headers.js'
import { type ErrorCode, errorTable } from './errors.js'
import { components } from './schemas.js'

export const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
}

/** To be called before any route is declared. With `shown` the document and its page are served. */
export async function registerOpenApi(app: FastifyInstance, { shown }: { shown: boolean }): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'user-event-store',
        version,
        description: `An event store for users. Errors are RFC 9457 problems with a stable \`code\`:\n\n${codeList()}`,
        license: { name: 'MIT', identifier: 'MIT' }
      },
      servers: [{ url: '/', description: 'this service' }],
      components: {
        securitySchemes: {
          credentials: {
            type: 'http',
            scheme: 'bearer',
            description:
              'An API key or a token. Each operation names the scopes that it needs. Nothing is asked for as long as authentication is not set up, or with AUTH=off.'
          }
        }
      },
      security: [],
      tags: [
        { name: 'events', description: 'append and read' },
        { name: 'feed', description: 'all events in order, as pages and as a stream' },
        { name: 'event types', description: 'register your own, and see what there is' },
        { name: 'state', description: 'replay and time travel' },
        { name: 'users', description: 'who there is' },
        { name: 'snapshots', description: 'stored states that save replaying' },
        { name: 'subscriptions', description: 'deliver events to other systems' },
        { name: 'projections', description: 'how far the read models are, and their rebuild' },
        { name: 'archive', description: 'old events, which move to partitions of their own' },
        { name: 'stats', description: 'numbers about the store' },
        { name: 'access', description: 'who may do what, and what administrators did' },
        { name: 'operations', description: 'health' }
      ]
    },
    transform: ({ schema, url, route }) => {
      const { scopes } = route.config ?? {}
      return { schema: { ...schema, ...(scopes && { security: [{ credentials: scopes }] }) } as never, url }
    },
    transformObject: (generated) =>
      'openapiObject' in generated ? requireLess(describeEventData(generated.openapiObject)) : {},
    refResolver: { buildLocalReference: (schema, _base, _fragment, i) => (schema.$id as string) ?? `def-${i}` }
  })
  for (const schema of [...components, ...eventDataSchemas()]) app.addSchema(schema)
  if (!shown) return

  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: pagePolicy })
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
  app.get('/openapi.yaml', { schema: { hide: true } }, async (_request, reply) =>
    reply.type('application/yaml').send(app.swagger({ yaml: true }))
  )
}

/** eventData of every type and version, as components named `UserCreated.v1`. */
function eventDataSchemas(): TSchema[] {
  return builtInTypes.flatMap(({ name, summary, versions, example }) =>
    versions.map(({ schema }, i) => {
      const examples = i === versions.length - 1 ? { examples: [example] } : {}
      return Type.Composite([schema as TObject], {
        ...schema,
        $id: `${name}.v${i + 1}`,
        description: summary,
        ...examples
      })
    })
  )
}

type Described = { properties?: Record<string, unknown> }

/** Says in the document what the domain checks: eventData is the data of one of the types. The routes take any object. */
function describeEventData(document: object): object {
  const schemas = (document as { components: { schemas: Record<string, Described> } }).components.schemas
  for (const { properties } of [schemas.Event, schemas.NewEvent].filter((schema) => schema !== undefined)) {
    const anyOf = [
      ...eventDataSchemas().map(({ $id }) => ({ $ref: `#/components/schemas/${$id}` })),
      { type: 'object', description: 'of a registered type; GET /event-types/{type} shows its schema' }
    ]
    if (properties) properties.eventData = { description: 'data of the type', anyOf }
  }
  return document
}

type Asked = {
  default?: unknown
  properties?: Record<string, Asked>
  required?: string[]
  oneOf?: Asked[]
  anyOf?: Asked[]
}
type AskedOperation = {
  parameters?: { required?: boolean; schema: Asked }[]
  requestBody?: { content: Record<string, { schema: Asked }> }
}

/** A client may leave out what has a default. The routes require it because it is filled in before they check. */
function requireLess(document: object): object {
  const { paths } = document as { paths: Record<string, Record<string, AskedOperation>> }
  for (const operation of Object.values(paths).flatMap((operations) => Object.values(operations))) {
    for (const parameter of operation.parameters ?? [])
      if (parameter.schema.default !== undefined) parameter.required = false
    for (const { schema } of Object.values(operation.requestBody?.content ?? {})) relax(schema)
  }
  return document
}

function relax(schema: Asked): void {
  const properties = schema.properties ?? {}
  const required = schema.required?.filter((name) => properties[name]?.default === undefined)
  if (required?.length === 0) delete schema.required
  else if (required) schema.required = required
  for (const each of [...Object.values(properties), ...(schema.oneOf ?? []), ...(schema.anyOf ?? [])]) relax(each)
}

function codeList(): string {
  const codes = Object.entries(errorTable) as [ErrorCode, { status: number; title: string }][]
  return codes.map(([code, { status, title }]) => `- ${status} \`${code}\`: ${title}`).join('\n')
}
