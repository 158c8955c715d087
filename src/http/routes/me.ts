/** The route that tells callers who they are. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { SCOPES } from '../../domain/access.js'
import type { AccessService } from '../../services/access.js'
import { noQuery, nullable, problems, tenantHeaders } from '../schemas.js'

export const meRoutes: FastifyPluginAsyncTypebox<{ access: Pick<AccessService, 'credentialsOf'> }> = async (
  app,
  { access }
) => {
  app.get(
    '/me',
    {
      config: { scopes: [] },
      schema: {
        operationId: 'readMe',
        summary: 'Who you are',
        description: 'To whom the credentials of the request belong and what they allow. Any that are valid may ask.',
        tags: ['access'],
        headers: tenantHeaders,
        querystring: noQuery,
        response: {
          200: Type.Object({
            principal: Type.String({
              description:
                'as in the metadata of events and in the audit: `key:<id>`, `jwt:<subject>`; `anonymous` where nobody has to say who they are'
            }),
            kind: Type.Union([Type.Literal('key'), Type.Literal('token'), Type.Literal('none')], {
              description: '`none`: nobody has to say who they are (AUTH=off, or no credentials were ever set up)'
            }),
            keyName: nullable(Type.String({ description: 'name of the API key' })),
            tenantId: Type.String({ format: 'uuid', description: 'whom a request with these headers acts for' }),
            scopes: Type.Array(Type.Union(SCOPES.map((scope) => Type.Literal(scope))), {
              description: 'what the credentials allow'
            })
          }),
          ...problems([])
        }
      }
    },
    async ({ principal, tenantId }) => ({
      principal: principal.name,
      ...access.credentialsOf(principal),
      tenantId,
      scopes: SCOPES.filter((scope) => principal.scopes.has(scope))
    })
  )
}
