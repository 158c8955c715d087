/** Routes about tenants, named by the path: their numbers and their limits. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { tenantFor } from '../../domain/access.js'
import type { StatisticsService } from '../../services/statistics.js'
import type { TenantLimitsService } from '../../services/tenant-limits.js'
import { instant, noQuery, nullable, problems, uuid } from '../schemas.js'
import { EventStatistics, SnapshotStatistics } from './stats.js'

const RATE_MAX = 1_000_000
/** Users in snapshotsByAggregate. */
const USERS_SHOWN = 10

const params = Type.Object({ tenantId: uuid('the tenant') })

const perSecond = nullable(
  Type.Integer({
    minimum: 1,
    maximum: RATE_MAX,
    description: 'requests of all keys of the tenant in a second; null: any number'
  })
)
const perSecondPerKey = nullable(
  Type.Integer({
    minimum: 0,
    maximum: RATE_MAX,
    description: 'those of each key; 0: any number; null: RATE_LIMIT_PER_SECOND'
  })
)

const Limits = Type.Object(
  {
    tenantId: Type.String({ format: 'uuid' }),
    requestsPerSecond: perSecond,
    requestsPerSecondPerKey: perSecondPerKey,
    updatedAt: nullable(instant('null: the tenant has no limits of its own')),
    updatedBy: nullable(Type.String())
  },
  { $id: 'TenantLimits' }
)

const idOf = (request: { params: { tenantId: string } }): string => request.params.tenantId.toLowerCase()

export const tenantRoutes: FastifyPluginAsyncTypebox<{
  statistics: StatisticsService
  limits: TenantLimitsService
}> = async (app, { statistics, limits }) => {
  app.get(
    '/tenants/:tenantId/stats',
    {
      config: { scopes: ['events:read', 'state:read'] },
      schema: {
        operationId: 'readTenantStatistics',
        summary: 'Numbers about a tenant',
        description:
          'Its events and snapshots, as `/stats/events` and `/stats/snapshots` tell them. Of another tenant than that of the credentials it takes the scope tenants:all.',
        tags: ['stats'],
        params,
        querystring: noQuery,
        response: {
          200: Type.Object({
            tenantId: Type.String({ format: 'uuid' }),
            events: EventStatistics,
            snapshots: SnapshotStatistics
          }),
          ...problems([])
        }
      }
    },
    async (request) => {
      const tenantId = tenantFor(request.principal, request.params.tenantId)
      const [events, snapshots] = await Promise.all([
        statistics.events(tenantId),
        statistics.snapshots(tenantId, USERS_SHOWN)
      ])
      return { tenantId, events, snapshots }
    }
  )

  app.get(
    '/admin/tenants/:tenantId/limits',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'readTenantLimits',
        summary: 'Show the limits of a tenant',
        tags: ['access'],
        params,
        querystring: noQuery,
        response: { 200: Limits, ...problems([]) }
      }
    },
    (request) => limits.show(idOf(request))
  )

  app.put(
    '/admin/tenants/:tenantId/limits',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'setTenantLimits',
        summary: 'Give a tenant limits of its own',
        description:
          'In place of those it had; what is left out is null. All instances know them within 5 seconds. Beyond them requests of its keys get 429 `RATE_LIMITED`.',
        tags: ['access'],
        params,
        querystring: noQuery,
        body: Type.Object(
          {
            requestsPerSecond: Type.Optional(perSecond),
            requestsPerSecondPerKey: Type.Optional(perSecondPerKey)
          },
          { additionalProperties: false, examples: [{ requestsPerSecond: 100, requestsPerSecondPerKey: 20 }] }
        ),
        response: { 200: Limits, ...problems(['TENANT_LIMITS_FULL'], { body: true }) }
      }
    },
    (request) => {
      const { requestsPerSecond = null, requestsPerSecondPerKey = null } = request.body
      const updatedBy = request.principal.name
      return limits.put({ tenantId: idOf(request), requestsPerSecond, requestsPerSecondPerKey, updatedBy })
    }
  )

  app.delete(
    '/admin/tenants/:tenantId/limits',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'removeTenantLimits',
        summary: 'Take the limits of a tenant away',
        description: 'Those of the settings hold again, on all instances within 5 seconds.',
        tags: ['access'],
        params,
        querystring: noQuery,
        response: { 200: Limits, ...problems([], { body: true }) }
      }
    },
    (request) => limits.remove(idOf(request))
  )
}
