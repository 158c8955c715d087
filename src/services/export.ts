/** Exporting: the log of a tenant, or a selection of it, from its beginning to where it ended when the export began. */
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import type { StoredEvent } from '../domain/event.js'
import { type LogFilter, selectHeads } from '../store/log.js'
import type { EventTypeService } from './event-types.js'
import { readLog, STREAM_PAGE } from './log-reader.js'

export type ExportSelection = Pick<LogFilter, 'eventTypes' | 'userId' | 'from' | 'to' | 'includeSource'> & {
  upcast: boolean
}

export type ExportService = ReturnType<typeof createExportService>

export function createExportService(parts: { db: Db; eventTypes: Pick<EventTypeService, 'shown'>; buckets: number }) {
  const { db, eventTypes, buckets } = parts

  return {
    /**
     * The selected events of a tenant by position, one bucket after the other. Pages may be empty: a selection that lets little
     * through is looked for in steps. Holds one page in memory and no connection while the reader is slow.
     */
    async *exportEvents(
      tenantId: string,
      { upcast, ...selection }: ExportSelection
    ): AsyncGenerator<StoredEvent[], undefined> {
      const heads = await selectHeads(db, buckets)
      const only = selection.userId === undefined ? null : bucketOf(selection.userId, buckets)
      for (const [bucket, to] of heads.entries()) {
        if (only !== null && bucket !== only) continue
        for (let from = 0; from < to; ) {
          const walk = { bucket, direction: 'forward', limit: STREAM_PAGE, from, to } as const
          const page = await readLog(db, walk, { tenantId, ...selection })
          from = page.position
          yield await eventTypes.shown(tenantId, page.events, upcast)
        }
      }
    }
  }
}
