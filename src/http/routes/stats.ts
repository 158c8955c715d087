/** Routes with numbers about the store. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { StatisticsService } from '../../services/statistics.js'
import { instant, noQuery, problems, tenantHeaders, tenantOf } from '../schemas.js'

const momentOrNull = (description: string) => Type.Union([instant(description), Type.Null()])

export const statsRoutes: FastifyPluginAsyncTypebox<{ statistics: StatisticsService }> = async (
  app,
  { statistics }
) => {
  app.get(
    '/stats/events',
    {
      schema: {
        operationId: 'readEventStatistics',
        summary: 'Numbers about events',
        description: 'Exact at the moment of the request, for one tenant.',
        tags: ['stats'],
        headers: tenantHeaders,
        querystring: noQuery,
        response: {
          200: Type.Object({
            totalEvents: Type.Integer(),
            totalUsers: Type.Integer({ description: 'users that were ever created' }),
            eventsByType: Type.Record(Type.String(), Type.Integer()),
            oldestEvent: momentOrNull('when the first event was recorded'),
            newestEvent: momentOrNull('when the last event was recorded'),
            storageBytes: Type.Integer({ description: 'disk space of all events of the store, with their indexes' })
          }),
          ...problems([])
        }
      }
    },
    (request) => statistics.events(tenantOf(request))
  )

  app.get(
    '/stats/snapshots',
    {
      schema: {
        operationId: 'readSnapshotStatistics',
        summary: 'Numbers about snapshots',
        description: 'Exact at the moment of the request, for one tenant.',
        tags: ['stats'],
        headers: tenantHeaders,
        querystring: Type.Object(
          {
            limit: Type.Integer({
              minimum: 1,
              maximum: 1000,
              default: 10,
              description: 'users in snapshotsByAggregate'
            })
          },
          { additionalProperties: false }
        ),
        response: {
          200: Type.Object({
            totalSnapshots: Type.Integer(),
            snapshotsByAggregate: Type.Array(
              Type.Object({ aggregateId: Type.String({ format: 'uuid' }), snapshots: Type.Integer() }),
              {
                description: 'users with the most snapshots, largest first'
              }
            ),
            averageSnapshotSize: Type.Number({ description: 'bytes of state as JSON; 0 when there are none' }),
            oldestSnapshot: momentOrNull('when the oldest was made'),
            newestSnapshot: momentOrNull('when the newest was made')
          }),
          ...problems([])
        }
      }
    },
    (request) => statistics.snapshots(tenantOf(request), request.query.limit)
  )
}
