/** The route that shows what administrators did. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { AUDIT_PAGE_MAX, type AuditMark } from '../../domain/audit.js'
import type { CursorScope, Cursors } from '../../domain/cursor.js'
import type { AuditService } from '../../services/audit.js'
import { nextLink } from '../next-link.js'
import { instant, momentOf, nullable, problems, tenantHeaders, text } from '../schemas.js'

const Entry = Type.Object({
  id: Type.String({ format: 'uuid' }),
  createdAt: instant('when it was asked for, before the work began'),
  tenantId: Type.String({ format: 'uuid', description: 'whom it was done for' }),
  principal: Type.String({
    description: '`key:<id>`, `jwt:<subject>`, `user-events` for the command line, `anonymous` where nobody had to say'
  }),
  action: Type.String({ description: 'operation of this document' }),
  path: Type.String(),
  address: Type.String({ description: 'where the request came from' }),
  requestId: Type.String({ description: 'x-request-id of the answer' }),
  status: nullable(
    Type.Integer({ description: 'of the answer; null when there was none: whether it was done is not known' })
  )
})

export const auditRoutes: FastifyPluginAsyncTypebox<{ audit: AuditService; cursors: Cursors }> = async (
  app,
  { audit, cursors }
) => {
  app.get(
    '/admin/audit',
    {
      config: { scopes: ['events:admin'] },
      schema: {
        operationId: 'readAudit',
        summary: 'What administrators did',
        description:
          "Requests for the tenant that changed something by an administrator's scope, the newest first: snapshots, imports, event types, subscriptions, projections, the archive, API keys. They are noted before they are carried out.",
        tags: ['access'],
        headers: tenantHeaders,
        querystring: Type.Object(
          {
            principal: Type.Optional(text({ minLength: 1, maxLength: 300, description: 'only of this one' })),
            action: Type.Optional(text({ minLength: 1, maxLength: 100, description: 'only this operation' })),
            from: Type.Optional(instant('asked for at or after')),
            to: Type.Optional(instant('asked for before')),
            limit: Type.Integer({ minimum: 1, maximum: AUDIT_PAGE_MAX, default: 100 }),
            cursor: Type.Optional(
              Type.String({ minLength: 1, maxLength: 200, description: '`next` of the page before' })
            )
          },
          { additionalProperties: false }
        ),
        response: {
          200: {
            description: 'A page',
            headers: { link: { type: 'string', description: '`rel="next"`: the next page, if there is one' } },
            content: {
              'application/json': {
                schema: Type.Object({ entries: Type.Array(Entry), next: nullable(Type.String()) })
              }
            }
          },
          ...problems(['CURSOR_MALFORMED', 'MOMENT_INVALID'])
        }
      }
    },
    async ({ query, tenantId, url }, reply) => {
      const { principal, action, limit, cursor } = query
      const filter = { tenantId, principal, action, from: momentOf('/from', query.from), to: momentOf('/to', query.to) }
      const scope: CursorScope = ['audit', tenantId]
      const after = cursor === undefined ? undefined : cursors.read<AuditMark>(scope, cursor)
      const { entries, next: mark } = await audit.readPage(filter, { after, limit })
      const next = mark && cursors.write(scope, mark)
      if (next) reply.header('link', nextLink(url, 'cursor', next))
      return { entries, next }
    }
  )
}
