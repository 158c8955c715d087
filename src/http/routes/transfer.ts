/** Routes that move history out of the store and into it, a line for each event. */
import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { ExportService } from '../../services/export.js'
import type { ImportService } from '../../services/import.js'
import { assertPlainUtf8 } from '../json-body.js'
import { bytesOf, SILENCE_MS } from '../long-bodies.js'
import { sendNdjson } from '../ndjson.js'
import { eventTypeFilter, instant, momentOf, noQuery, problems, shownAs, tenantHeaders, uuid } from '../schemas.js'
import type { StreamSlots } from '../stream-slots.js'

const ExportQuery = Type.Object(
  {
    ...eventTypeFilter,
    userId: Type.Optional(uuid('only this user')),
    from: Type.Optional(instant('recorded at or after')),
    to: Type.Optional(instant('recorded before')),
    upcast: Type.Boolean({
      default: true,
      description: 'false shows the data as it was stored, which is what an import elsewhere should get'
    }),
    includeSource: shownAs.includeSource
  },
  { additionalProperties: false }
)

const Imported = Type.Object({
  lines: Type.Integer({ description: 'lines read, empty ones included' }),
  imported: Type.Integer({ description: 'events that are stored now and were not before' }),
  duplicates: Type.Integer({ description: 'events that were stored before' }),
  head: Type.Integer({ description: 'events in the store, those of all tenants; with one bucket the last position' })
})

export const transferRoutes: FastifyPluginAsyncTypebox<{
  exports: ExportService
  imports: ImportService
  slots: StreamSlots
  silenceMs?: number | undefined
}> = async (app, { exports, imports, slots, silenceMs = SILENCE_MS }) => {
  // Here a body is lines and nothing else; the parser for JSON holds for all other routes.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/x-ndjson', (request, body, done) => {
    try {
      assertPlainUtf8(request)
      done(null, body)
    } catch (err) {
      done(err as Error)
    }
  })

  app.get(
    '/events/export',
    {
      config: { scopes: ['events:read'] },
      schema: {
        operationId: 'exportEvents',
        summary: 'Export the log',
        description:
          'All events of the tenant, or a selection, one per line in the order of positions, up to the end that the log had when the export began. With `upcast=false` the file is what `POST /events/import` takes. A connection that is cut off before the end of the body means that the export is not complete. Who takes nothing for 30 seconds is disconnected.',
        tags: ['events'],
        headers: tenantHeaders,
        querystring: ExportQuery,
        response: {
          200: {
            description: 'The events',
            content: { 'application/x-ndjson': { schema: Type.String({ description: 'one Event per line' }) } }
          },
          ...problems(['ARCHIVE_OFFLINE', 'MOMENT_INVALID', 'TOO_MANY_STREAMS'])
        }
      }
    },
    async (request, reply) => {
      const { eventType, userId, from, to, upcast, includeSource } = request.query
      const selection = {
        eventTypes: eventType,
        userId: userId?.toLowerCase(),
        from: momentOf('/from', from),
        to: momentOf('/to', to),
        upcast,
        includeSource
      }
      reply.raw.once('close', slots.take(request.ip))
      const pages = exports.exportEvents(request.tenantId, selection)
      return (await sendNdjson(request, reply, pages, { stalledMs: silenceMs })) as never
    }
  )

  app.post(
    '/events/import',
    {
      config: { scopes: ['events:admin'], longBody: true },
      schema: {
        operationId: 'importEvents',
        summary: 'Import history',
        description: `Stores events with the ids, versions and times that they had: a line for each, as \`GET /events/export?upcast=false\` gives them. Lines of a user come in the order of versions and continue the user's stream; \`position\` is ignored, the log gives new ones in the order of lines. What is stored already, with the same id, version and content, is passed over, so an import can be repeated, and a part of one be followed by the whole.

The import ends at the first bad line: all lines before it are stored, and nothing of it and after it. (In a store of several buckets later lines of the same batch may be stored; \`storedAfter\` counts them.) The body may be as long as it likes, and is cut off when it brings nothing for 30 seconds; whole lines that came are stored.`,
        tags: ['events'],
        headers: tenantHeaders,
        querystring: noQuery,
        body: {
          content: {
            'application/x-ndjson': {
              schema: Type.Unsafe<AsyncIterable<Buffer>>({ description: 'one Event per line' })
            }
          }
        },
        response: {
          200: { description: 'All lines are stored', content: { 'application/json': { schema: Imported } } },
          ...problems([
            'IMPORT_LINE_INVALID',
            'IMPORT_INTERRUPTED',
            'MALFORMED_REQUEST',
            'UNSUPPORTED_MEDIA_TYPE',
            'OUTCOME_UNKNOWN'
          ])
        }
      },
      // Before the import is noted in the audit, which takes a while.
      preHandler: (request, _reply, done) => {
        request.body = bytesOf((request.body as Readable | undefined) ?? Readable.from([]), silenceMs)
        done()
      }
    },
    (request) => {
      request.endTurn()
      return imports.importEvents(request.tenantId, request.body as AsyncIterable<Buffer>)
    }
  )
}
