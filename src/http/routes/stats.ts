/** Routes with numbers about the store. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { ACTIVITY_INTERVALS } from '../../domain/activity.js'
import type { StatisticsService } from '../../services/statistics.js'
import { atLeastOf, positionHeaders, reflectedPosition, reflection } from '../reflection.js'
import { instant, noQuery, problems, tenantHeaders } from '../schemas.js'

const momentOrNull = (description: string) => Type.Union([instant(description), Type.Null()])

export const EventStatistics = Type.Object({
  totalEvents: Type.Integer(),
  totalUsers: Type.Integer({ description: 'users that were ever created' }),
  eventsByType: Type.Record(Type.String(), Type.Integer()),
  oldestEvent: momentOrNull('when the first event was recorded'),
  newestEvent: momentOrNull('when the last event was recorded'),
  storageBytes: Type.Integer({ description: 'disk space of all events of the store, with their indexes' })
})

export const SnapshotStatistics = Type.Object({
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
})

const day = (description: string) => Type.String({ format: 'date', description })

const ActivityInterval = Type.Object({
  from: day('first day'),
  to: day('the day after the last'),
  events: Type.Integer({ description: 'that were recorded' }),
  eventsByType: Type.Record(Type.String(), Type.Integer()),
  signIns: Type.Integer({ description: 'events of LoginInfoUpdated' }),
  users: Type.Object(
    {
      active: Type.Integer(),
      inactive: Type.Integer(),
      suspended: Type.Integer(),
      deleted: Type.Integer(),
      locked: Type.Integer({
        description: 'locked and not unlocked since, also when the lock has run out; they are of a status besides'
      })
    },
    { description: 'at the end of the interval' }
  )
})

export const statsRoutes: FastifyPluginAsyncTypebox<{ statistics: StatisticsService }> = async (
  app,
  { statistics }
) => {
  app.get(
    '/stats/events',
    {
      config: { scopes: ['events:read'] },
      schema: {
        operationId: 'readEventStatistics',
        summary: 'Numbers about events',
        description: 'Exact at the moment of the request, for one tenant.',
        tags: ['stats'],
        headers: tenantHeaders,
        querystring: noQuery,
        response: {
          200: EventStatistics,
          ...problems([])
        }
      }
    },
    (request) => statistics.events(request.tenantId)
  )

  app.get(
    '/stats/snapshots',
    {
      config: { scopes: ['state:read'] },
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
          200: SnapshotStatistics,
          ...problems([])
        }
      }
    },
    (request) => statistics.snapshots(request.tenantId, request.query.limit)
  )

  app.get(
    '/stats/activity',
    {
      config: { scopes: ['events:read'] },
      schema: {
        operationId: 'readActivity',
        summary: 'What happened by day, week or month',
        description:
          'Events, sign-ins and users of a tenant, by the time at which events were recorded, in days of UTC. Comes from the read model: `position` says up to which event. The first and the last interval are cut off at `from` and `to`.',
        tags: ['stats'],
        headers: positionHeaders,
        querystring: Type.Object(
          {
            from: Type.Optional(day('first day; 30 days before `to` when absent')),
            to: Type.Optional(day('exclusive; tomorrow when absent, so that today is in it')),
            interval: Type.Union(
              ACTIVITY_INTERVALS.map((interval) => Type.Literal(interval)),
              { default: 'day', description: 'weeks begin on Monday; at most 1,000 intervals' }
            ),
            ...reflection
          },
          { additionalProperties: false }
        ),
        response: {
          200: Type.Object({
            from: day('first day'),
            to: day('exclusive'),
            interval: Type.String(),
            position: reflectedPosition,
            intervals: Type.Array(ActivityInterval, { description: 'the earliest first, also where nothing happened' })
          }),
          ...problems(['RANGE_INVALID', 'PROJECTION_BEHIND'])
        }
      }
    },
    (request) => {
      const { from, to, interval } = request.query
      return statistics.activity(
        request.tenantId,
        { ...(from && { from }), ...(to && { to }), interval },
        atLeastOf(request)
      )
    }
  )
}
