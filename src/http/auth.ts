/**
 * The one place where requests are let in. Every route of the contract says by `config.scopes` what it takes; a route that
 * says nothing is either hidden from the contract or a mistake, which stops the start.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { assertScopes, type Principal, type Scope, tenantFor } from '../domain/access.js'
import { UUID } from '../domain/event.js'
import type { AccessService } from '../services/access.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** what a principal must have to use the route; []: valid credentials and nothing more; null: anybody may, without any */
    scopes?: readonly Scope[] | null
  }
  interface FastifyRequest {
    principal: Principal
    /** whom the request acts for */
    tenantId: string
  }
}

/** To be called before any route is declared. */
export function registerAuth(app: FastifyInstance, access: Pick<AccessService, 'authenticate'>): void {
  app.decorateRequest('principal', null as never)
  app.decorateRequest('tenantId', '')

  app.addHook('onRoute', ({ method, url, schema, config }) => {
    if (schema?.hide || config?.scopes !== undefined) return
    throw new Error(`${String(method)} ${url} does not say which scopes it needs (config.scopes).`)
  })

  app.addHook('onRequest', (request, _reply, done) => {
    const { scopes } = request.routeOptions.config
    if (!scopes) return done()
    try {
      const principal = access.authenticate(request.headers.authorization)
      if (!(principal instanceof Promise)) {
        admit(request, principal, scopes)
        return done()
      }
      principal
        .then((known) => admit(request, known, scopes))
        .then(
          () => done(),
          (err: Error) => done(err)
        )
    } catch (err) {
      done(err as Error)
    }
  })
}

function admit(request: FastifyRequest, principal: Principal, scopes: readonly Scope[]): void {
  assertScopes(principal, scopes)
  request.principal = principal
  request.tenantId = tenantFor(principal, tenantAskedFor(request))
}

/** What is no UUID is for the schema of the route to refuse; a route that knows no such header does not heed it. */
function tenantAskedFor({ headers }: FastifyRequest): string | undefined {
  const header = headers['x-tenant-id']
  return typeof header === 'string' && IS_UUID.test(header) ? header : undefined
}

const IS_UUID = new RegExp(UUID)

/** Whose something is that a request makes or asks for: its tenant's, or (null) everybody's. Throws SCOPE_MISSING. */
export function ownerOf(
  { principal, tenantId }: Pick<FastifyRequest, 'principal' | 'tenantId'>,
  scope: 'tenant' | 'global'
): string | null {
  if (scope === 'tenant') return tenantId
  assertScopes(principal, ['tenants:all'])
  return null
}
