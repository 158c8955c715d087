/** Has what administrators change noted: every request of a route that takes an administrator's scope and is no reading. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Scope } from '../domain/access.js'
import type { AuditService } from '../services/audit.js'
import { logFailure } from './errors.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** id of the note; null if there is none */
    auditId: string | null
  }
}

const OF_ADMINISTRATORS: readonly Scope[] = ['snapshots:admin', 'events:admin', 'tenants:all']
const READING = ['GET', 'HEAD']

/** To be called after registerAuth and before any route is declared. */
export function registerAudit(app: FastifyInstance, audit: Pick<AuditService, 'note' | 'conclude'>): void {
  app.decorateRequest('auditId', null)

  app.addHook('onRoute', (route) => {
    const scopes = route.config?.scopes ?? []
    const methods = [route.method].flat()
    if (
      methods.every((method) => READING.includes(method)) ||
      !scopes.some((scope) => OF_ADMINISTRATORS.includes(scope))
    )
      return
    const action = (route.schema as { operationId: string }).operationId
    // When the request is known to be valid, and nothing of it is done.
    route.preHandler = [
      ...[route.preHandler ?? []].flat(),
      async (request: FastifyRequest) => {
        request.auditId = await audit.note({
          tenantId: request.tenantId,
          principal: request.principal.name,
          action,
          path: request.url,
          address: request.ip,
          requestId: request.id
        })
      }
    ]
  })

  app.addHook('onResponse', async (request, reply) => {
    if (request.auditId === null) return
    await audit
      .conclude(request.auditId, reply.statusCode)
      .catch((err: Error) =>
        logFailure(request.log, err, { code: 'DATABASE_UNAVAILABLE', detail: 'the audit lacks a status' })
      )
  })
}
