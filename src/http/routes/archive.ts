/** Routes that show the archive and ask for runs. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { ArchiveService } from '../../services/archive.js'
import { instant, noQuery, nullable, problems } from '../schemas.js'

const literals = <T extends string>(...names: T[]) => Type.Union(names.map((name) => Type.Literal(name)))

const Run = Type.Object({
  id: Type.String({ format: 'uuid' }),
  origin: literals('schedule', 'request'),
  dryRun: Type.Boolean({ description: 'whether it only counts what would be moved' }),
  cutoff: instant('events recorded before are moved'),
  status: literals('waiting', 'running', 'done', 'failed'),
  requestedAt: instant('when it was asked for'),
  startedAt: nullable(instant('when it began')),
  finishedAt: nullable(instant('when it ended')),
  events: Type.Integer({ description: 'events it moved; of a dry run, what it would move' }),
  windows: Type.Integer({ description: 'steps it moved them in, each noted in archive_windows with its hash' }),
  error: nullable(Type.String({ description: 'why it failed; nothing was lost then' }))
})

const Partition = Type.Object({
  name: Type.String({ description: 'name of the table' }),
  from: instant('its events were recorded at or after'),
  to: instant('its events were recorded before'),
  events: Type.Integer(),
  bytes: Type.Integer({ description: 'what it takes in the database, with its indexes' }),
  location: nullable(Type.String({ description: 'where its files were written' })),
  offlineAt: nullable(instant('since when it is there only'))
})

const Archive = Type.Object({
  afterDays: Type.Integer({ description: 'age at which events are moved; 0: only on request' }),
  nextRun: nullable(instant('when a run begins by itself')),
  hot: Type.Object({ events: Type.Integer(), bytes: Type.Integer() }, { description: 'in user_events' }),
  cold: Type.Object({ events: Type.Integer(), bytes: Type.Integer() }, { description: 'in user_events_archive' }),
  offline: Type.Object({ events: Type.Integer() }, { description: 'in partitions that were taken away' }),
  runs: Type.Array(Run, { description: 'the newest 20, the newest first' }),
  partitions: Type.Array(Partition, { description: 'the oldest first' }),
  heldBackBy: Type.Array(
    Type.Object({
      bucket: Type.Integer(),
      follower: Type.String(),
      position: Type.Integer({ description: 'events beyond are not moved' }),
      head: Type.Integer({ description: 'last position of the bucket' })
    }),
    { description: 'of each bucket the follower of the log that is the furthest behind' }
  )
})

export const archiveRoutes: FastifyPluginAsyncTypebox<{ archive: ArchiveService }> = async (app, { archive }) => {
  app.get(
    '/admin/archive',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'readArchive',
        summary: 'What is archived, and how runs went',
        tags: ['archive'],
        querystring: noQuery,
        response: { 200: Archive, ...problems([]) }
      }
    },
    () => archive.read()
  )

  app.post(
    '/admin/archive/runs',
    {
      config: { scopes: ['events:admin', 'tenants:all'] },
      schema: {
        operationId: 'runArchive',
        summary: 'Move old events to the archive now',
        description:
          'Events that every follower of the log has passed are moved, but for the newest of each user. All reads answer as before. A run that breaks off goes on by itself.',
        tags: ['archive'],
        querystring: noQuery,
        body: Type.Object(
          {
            olderThanDays: Type.Optional(
              Type.Integer({ minimum: 0, maximum: 36_500, description: 'ARCHIVE_AFTER_DAYS when absent' })
            ),
            dryRun: Type.Boolean({ default: false, description: 'count what would be moved, and move nothing' })
          },
          { additionalProperties: false, examples: [{ dryRun: true }] }
        ),
        response: { 202: Run, ...problems(['ARCHIVE_RUNNING', 'ARCHIVE_AGE_MISSING'], { body: true }) }
      }
    },
    async (request, reply) => reply.code(202).send(await archive.request(request.body))
  )
}
