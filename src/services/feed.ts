/**
 * The feed: all events of a tenant in the order of the log, as pages and as streams. Whoever asks for what comes next is
 * served from the end of the log in memory (log-tail.ts) when they are near it, and from the database when they are not.
 * A mark moves only past events that were looked at: what was shown is not shown again, and nothing is left out.
 */
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import type { StoredEvent } from '../domain/event.js'
import {
  bucketsBetween,
  cursorInvalid,
  type FeedCursors,
  hashOf,
  type Mark,
  markOf,
  moveTo
} from '../domain/feed-cursor.js'
import { type FeedEvent, feedEvent, jsonOf } from '../domain/feed-event.js'
import type { Metrics } from '../observe/metrics.js'
import { type LogFilter, selectPlaces } from '../store/log.js'
import type { EventTypeService } from './event-types.js'
import { readLog } from './log-reader.js'
import type { LogTail } from './log-tail.js'

/** What is to be shown, and whether with its data at the newest version of its type. */
export type FeedSelection = LogFilter & { tenantId: string; upcast: boolean }

export type PageRequest = {
  selection: FeedSelection
  direction: 'forward' | 'backward'
  /** go on from here; without it at the first event (forward) or the newest (backward) */
  after?: string | undefined
  limit: number
}

/** Events as JSON. `next` is null only at the beginning of the log; `position` is how many events lie before it. */
export type FeedPage = { events: string[]; next: string | null; head: number; position: number }

/** An event as JSON, and the cursor that goes on after it. */
export type Shown = { data: string; cursor: string }

/** Some events, or none when there was nothing to show for a while; the cursor stands behind all that was looked at. */
export type StreamBatch = { events: Shown[]; cursor: string; head: number }

/** Events that a stream holds at once, at most and at first. Then as many of the size of those before as make STREAM_BYTES. */
const STREAM_EVENTS = 100
const STREAM_EVENTS_FIRST = 10
const STREAM_BYTES = 131_072
/** No further bucket is walked in a page that took this long, ms. */
const PAGE_MS = 250

export type FeedService = ReturnType<typeof createFeedService>

export function createFeedService(parts: {
  db: Db
  cursors: FeedCursors
  buckets: number
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes'>
  tail: LogTail
  metrics: Pick<Metrics, 'feedStreams' | 'feedStreamed'>
}) {
  const { db, cursors, buckets, eventTypes, tail, metrics } = parts
  const beginning = Array<number>(buckets).fill(0)
  const markAtBeginning = (): Mark =>
    markOf(
      beginning,
      beginning.map(() => hashOf(null))
    )

  /** The mark at `positions`, and the one behind the newest events. Throws CURSOR_INVALID if nothing stands at one of them. */
  async function look(positions: readonly number[]): Promise<{ mark: Mark; head: Mark }> {
    const places = await selectPlaces(db, positions)
    const lost = places.findIndex(({ idAt }, bucket) => idAt === null && positions[bucket]! > 0)
    if (lost >= 0) {
      const { head } = places[lost]!
      throw cursorInvalid(
        `it stands at position ${positions[lost]}, and the log ends at ${head}, as after a restore from a backup`
      )
    }
    return {
      mark: markOf(
        positions,
        places.map(({ idAt }) => hashOf(idAt))
      ),
      head: markOf(
        places.map(({ head }) => head),
        places.map(({ headId }) => hashOf(headId))
      )
    }
  }

  /** The mark that a cursor stands for, if the log still has the events that it was made behind. */
  async function markAt({ tenantId }: FeedSelection, cursor: string): Promise<Mark> {
    const { positions, check } = cursors.read(tenantId, cursor)
    const mark = tail.locate(positions) ?? (await look(positions)).mark
    if (mark.check !== check) throw replaced(positions)
    return mark
  }

  /**
   * Walks the log in the database from `mark` on, to `head` or back to the beginning, until `limit` events are shown or it
   * took long; `mark` moves as far as it looked.
   */
  async function walk(
    mark: Mark,
    head: Mark,
    { selection, direction, limit }: Pick<PageRequest, 'selection' | 'direction' | 'limit'>
  ): Promise<Shown[]> {
    const startedAt = performance.now()
    const forward = direction === 'forward'
    const ends = forward ? head.positions : beginning
    const only = selection.userId === undefined ? null : bucketOf(selection.userId, buckets)
    const shown: Shown[] = []
    let known = true
    for (const bucket of bucketsBetween(mark.positions, ends)) {
      if (only !== null && bucket !== only) {
        moveTo(mark, bucket, ends[bucket]!, forward ? head.hashes[bucket]! : 0n)
        continue
      }
      if (shown.length === limit || performance.now() - startedAt > PAGE_MS) continue
      const from = mark.positions[bucket]! + (forward ? 0 : 1)
      const to = forward ? ends[bucket]! : 1
      const found = await readLog(db, { bucket, direction, limit: limit - shown.length, from, to }, selection)
      const entries = found.events.map((event) => feedEvent(bucket, event))
      await eventTypes.withTypes(async () => {
        for (const entry of entries) textOf(entry, selection)
      })
      shown.push(...show(entries, mark, selection, limit))
      const end = forward ? found.position : found.position - 1
      if (mark.positions[bucket] === end) continue
      const hash = forward && end === ends[bucket] ? head.hashes[bucket]! : 0n
      moveTo(mark, bucket, end, hash)
      known &&= end === 0 || hash !== 0n
    }
    // A mark that stands behind an event that was passed over, or not read yet, does not know its id.
    if (!known) Object.assign(mark, (await look(mark.positions)).mark)
    return shown
  }

  /** Those of `entries` that are selected, until `enough`; `mark` moves behind each that was looked at. */
  function show(
    entries: Iterable<FeedEvent>,
    mark: Mark,
    selection: FeedSelection,
    eventsMax: number,
    bytesMax = Number.POSITIVE_INFINITY
  ): Shown[] {
    const shown: Shown[] = []
    let bytes = 0
    for (const entry of entries) {
      const data = isSelected(entry.event, selection) ? textOf(entry, selection) : null
      moveTo(mark, entry.bucket, entry.event.position, entry.hash)
      if (data === null) continue
      shown.push({ data, cursor: cursorBehind(entry, mark) })
      bytes += data.length
      if (shown.length === eventsMax || bytes >= bytesMax) break
    }
    return shown
  }

  const textOf = (entry: FeedEvent, { upcast }: FeedSelection): string =>
    jsonOf(entry, upcast ? eventTypes.of(entry.event.tenantId) : null)

  function cursorBehind(entry: FeedEvent, mark: Mark): string {
    const { tenantId } = entry.event
    if (buckets > 1) return cursors.write(tenantId, mark)
    entry.cursor ??= cursors.write(tenantId, mark)
    return entry.cursor
  }

  /**
   * The next events after `mark`, which moves: from memory if all of them are there, else some from the database. `idle`
   * says that there is nothing more now. Throws CURSOR_INVALID when the log has become another one.
   */
  async function next(mark: Mark, selection: FeedSelection, limits: { events: number; bytes: number }) {
    if (tail.covers(mark)) {
      const shown = show(tail.after(mark), mark, selection, limits.events, limits.bytes)
      return { shown, idle: shown.length === 0, head: tail.head() }
    }
    const { mark: found, head } = await look(mark.positions)
    if (found.check !== mark.check) throw replaced(mark.positions)
    const idle = mark.total === head.total
    const shown = await walk(mark, head, { selection, direction: 'forward', limit: limits.events })
    return { shown, idle, head: head.total }
  }

  /** Follows the tail, and is counted, until the function it returns is called. */
  function join(): () => void {
    const leave = tail.follow()
    metrics.feedStreams(1)
    return () => {
      metrics.feedStreams(-1)
      leave()
    }
  }

  const pageOf = (shown: Shown[], { tenantId }: FeedSelection, mark: Mark, head: number): FeedPage => ({
    events: shown.map(({ data }) => data),
    next: cursors.write(tenantId, mark),
    head,
    position: mark.total
  })

  return {
    /**
     * A page as the log is now. It may hold fewer events than `limit`, even none, though the log goes on: a walk over much
     * that is not selected ends after a while. Throws CURSOR_MALFORMED, CURSOR_INVALID.
     */
    async readPage({ after, ...request }: PageRequest): Promise<FeedPage> {
      const forward = request.direction === 'forward'
      const cursor = after === undefined ? null : cursors.read(request.selection.tenantId, after)
      const { mark: found, head } = await look(cursor?.positions ?? beginning)
      if (cursor && found.check !== cursor.check) throw replaced(cursor.positions)
      const mark = cursor || forward ? found : markOf(head.positions, head.hashes)
      const shown = await walk(mark, head, request)
      return {
        ...pageOf(shown, request.selection, mark, head.total),
        ...(forward || mark.total > 0 ? {} : { next: null })
      }
    },

    /**
     * A page forward that has an event in it, as soon as there is one; an empty one at `waitUntil` (as `performance.now()`
     * counts) or when the signal says so. Throws CURSOR_MALFORMED, CURSOR_INVALID.
     */
    async awaitPage(
      { selection, after, limit }: Pick<PageRequest, 'selection' | 'after' | 'limit'>,
      waitUntil: number,
      signal: AbortSignal
    ): Promise<FeedPage> {
      const leave = join()
      try {
        const mark = after === undefined ? markAtBeginning() : await markAt(selection, after)
        for (;;) {
          const moment = tail.moment()
          const { shown, idle, head } = await next(mark, selection, { events: limit, bytes: Number.POSITIVE_INFINITY })
          const left = waitUntil - performance.now()
          if (shown.length > 0 || left <= 0 || signal.aborted)
            return pageOf(shown, selection, mark, Math.max(head, mark.total))
          if (idle) await tail.changed(moment, left, signal)
        }
      } finally {
        leave()
      }
    },

    /**
     * All events from a cursor, the beginning or now on, until the signal says so, and an empty batch at first and whenever
     * there was nothing for `heartbeatMs`. Holds one batch in memory and nothing else while its reader is slow.
     * Throws CURSOR_MALFORMED, CURSOR_INVALID before the first batch; CURSOR_INVALID also later, when the log was restored.
     */
    async follow(
      selection: FeedSelection,
      from: { cursor: string } | 'beginning' | 'now',
      { heartbeatMs, signal }: { heartbeatMs: number; signal: AbortSignal }
    ): Promise<AsyncGenerator<StreamBatch>> {
      const mark =
        typeof from === 'object'
          ? await markAt(selection, from.cursor)
          : from === 'now'
            ? (await look(beginning)).head
            : markAtBeginning()
      const heartbeat = (head: number): StreamBatch => ({
        events: [],
        cursor: cursors.write(selection.tenantId, mark),
        head
      })
      async function* batches(): AsyncGenerator<StreamBatch> {
        const leave = join()
        try {
          yield heartbeat(Math.max(tail.head(), mark.total))
          let beatAt = performance.now() + heartbeatMs
          let events = STREAM_EVENTS_FIRST
          while (!signal.aborted) {
            const moment = tail.moment()
            const { shown, idle, head } = await next(mark, selection, { events, bytes: STREAM_BYTES })
            if (shown.length > 0) {
              metrics.feedStreamed(shown.length)
              events = roomAfter(shown)
              yield { events: shown, cursor: shown.at(-1)!.cursor, head }
            } else if (performance.now() >= beatAt) yield heartbeat(Math.max(head, mark.total))
            else {
              if (idle) await tail.changed(moment, beatAt - performance.now(), signal)
              continue
            }
            beatAt = performance.now() + heartbeatMs
          }
        } finally {
          leave()
        }
      }
      return batches()
    }
  }
}

function roomAfter(shown: readonly Shown[]): number {
  const bytes = shown.reduce((sum, { data }) => sum + data.length, 0)
  return Math.min(STREAM_EVENTS, Math.max(1, Math.floor((STREAM_BYTES * shown.length) / bytes)))
}

const isSelected = (event: StoredEvent, { tenantId, userId, eventTypes }: FeedSelection): boolean =>
  event.tenantId === tenantId &&
  (userId === undefined || event.aggregateId === userId) &&
  (eventTypes === undefined || eventTypes.includes(event.eventType))

const replaced = (positions: readonly number[]) =>
  cursorInvalid(
    `at ${positions.length === 1 ? `position ${positions[0]}` : 'its positions'} the log has another event than the one it was made behind, as after a restore from a backup`
  )
