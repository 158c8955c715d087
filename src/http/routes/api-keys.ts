/** Routes that make, list and revoke API keys. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { SCOPES } from '../../domain/access.js'
import { KEYS_LISTED_MAX } from '../../domain/api-key.js'
import type { AccessService } from '../../services/access.js'
import { instant, momentOf, noQuery, nullable, problems, tenantHeaders, text } from '../schemas.js'

const Scopes = Type.Array(Type.Union(SCOPES.map((scope) => Type.Literal(scope))), {
  minItems: 1,
  maxItems: SCOPES.length,
  uniqueItems: true,
  description: 'what it may do'
})

const Key = Type.Object(
  {
    id: Type.String({ description: 'names the key, also in the metadata of events and in the audit: `key:<id>`' }),
    hint: Type.String({ description: 'first characters of the key' }),
    tenantId: Type.String({ format: 'uuid', description: 'whom it acts for' }),
    name: Type.String(),
    scopes: Scopes,
    createdAt: instant('when it was made'),
    createdBy: Type.String(),
    expiresAt: nullable(instant('from when on it is refused')),
    revokedAt: nullable(instant('since when it is refused')),
    revokedBy: nullable(Type.String()),
    lastUsedAt: nullable(instant('when it was last used, to about a minute'))
  },
  { $id: 'ApiKey' }
)

export const apiKeyRoutes: FastifyPluginAsyncTypebox<{ access: AccessService }> = async (app, { access }) => {
  app.post(
    '/admin/api-keys',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'createApiKey',
        summary: 'Make an API key',
        description:
          'The key is in the answer and nowhere else: only its hash is stored. It acts for the tenant of the request. Nobody can give scopes that they have not. The first key there is ends the time in which nobody had to say who they are.',
        tags: ['access'],
        headers: tenantHeaders,
        querystring: noQuery,
        body: Type.Object(
          {
            name: text({ minLength: 1, maxLength: 100, description: 'who uses it, and for what' }),
            scopes: Scopes,
            expiresAt: Type.Optional(instant('never when absent'))
          },
          { additionalProperties: false, examples: [{ name: 'billing', scopes: ['events:write', 'state:read'] }] }
        ),
        response: {
          201: {
            description: 'Made',
            content: {
              'application/json': {
                schema: Type.Object({
                  ...Key.properties,
                  key: Type.String({ description: 'send it as `authorization: Bearer …`; it is shown here only' })
                })
              }
            }
          },
          ...problems(['MOMENT_INVALID', 'API_KEYS_FULL', 'API_KEY_INVALID'], { body: true })
        }
      }
    },
    async ({ body, tenantId, principal }, reply) => {
      reply.code(201)
      const expiresAt = momentOf('/expiresAt', body.expiresAt) ?? null
      return await access.create({ ...body, tenantId, expiresAt }, principal)
    }
  )

  app.get(
    '/admin/api-keys',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'listApiKeys',
        summary: 'List API keys',
        description: `Those of the tenant, also the revoked and expired ones, the newest first; at most ${KEYS_LISTED_MAX}.`,
        tags: ['access'],
        headers: tenantHeaders,
        querystring: noQuery,
        response: { 200: Type.Object({ keys: Type.Array(Key) }), ...problems([]) }
      }
    },
    async ({ tenantId }) => ({ keys: await access.list(tenantId) })
  )

  app.delete(
    '/admin/api-keys/:id',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'revokeApiKey',
        summary: 'Revoke an API key',
        description: 'All instances refuse it within 5 seconds. It stays in the list; it cannot be made valid again.',
        tags: ['access'],
        params: Type.Object({ id: Type.String({ pattern: '^[0-9a-f]{12}$', description: 'id of the key' }) }),
        headers: tenantHeaders,
        querystring: noQuery,
        response: { 200: Key, ...problems(['API_KEY_NOT_FOUND'], { body: true }) }
      }
    },
    ({ params, tenantId, principal }) => access.revoke(params.id, tenantId, principal)
  )
}
