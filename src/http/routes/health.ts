/** Routes for whoever keeps the process running. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { HealthService } from '../../services/health.js'

const Check = Type.Object({
  ok: Type.Boolean(),
  detail: Type.String({ description: 'what was found, and what to do if it is not ok' })
})
const Readiness = Type.Object({
  ready: Type.Boolean(),
  checks: Type.Object({ process: Check, database: Check, migrations: Check, durability: Check, projections: Check })
})

export const healthRoutes: FastifyPluginAsyncTypebox<{ health: HealthService }> = async (app, { health }) => {
  app.get(
    '/livez',
    {
      config: { scopes: null },
      schema: {
        operationId: 'isLive',
        summary: 'Whether the process answers',
        tags: ['operations'],
        response: { 200: Type.Object({ live: Type.Boolean() }) }
      }
    },
    async () => ({ live: true })
  )

  app.get(
    '/readyz',
    {
      config: { scopes: null },
      schema: {
        operationId: 'isReady',
        summary: 'Whether requests should be sent here',
        description:
          'Each part with its reason: process, database, migrations, durability settings. The projections are told about, but do not decide: events are stored without them.',
        tags: ['operations'],
        response: {
          200: Readiness,
          503: {
            description: 'Not ready, or (`DEADLINE_EXCEEDED`) not known in time',
            content: {
              'application/json': { schema: Readiness },
              'application/problem+json': { schema: Type.Ref('Problem') }
            }
          }
        }
      }
    },
    async (_request, reply) => {
      const readiness = await health.readiness()
      reply.code(readiness.ready ? 200 : 503)
      return readiness
    }
  )
}
