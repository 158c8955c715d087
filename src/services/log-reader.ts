/** Walks the log of one bucket in spans, so that a filter that lets little through costs no statement without an end. */
import type { Db } from '../db/client.js'
import type { StoredEvent } from '../domain/event.js'
import { type LogFilter, type LogSpan, selectLogSpan } from '../store/log.js'

/** Events that an answer without an end holds at once. Of larger pages more outlives the collector's young generation, and memory grows. */
export const STREAM_PAGE = 100

/** Positions in the first span of a walk. */
const SPAN_MIN = 10_000
/** Positions in a span at most; a rare type lets the walk take such steps. Should it be frequent there, they are still few enough. */
const SPAN_MAX = 1_000_000
/** A span that took less is followed by one twice as long, ms. */
const SHORT_MS = 20
/** A walk that finds too little ends after this long, ms. */
const WALK_MS = 250

export type LogWalk = Pick<LogSpan, 'bucket' | 'direction' | 'limit'> & {
  /** begin beyond this position */
  from: number
  /** end with this position: the last (forward) or the first (backward) that is looked at */
  to: number
}

export type LogPage = {
  events: StoredEvent[]
  /** everything from the start of the walk to this position, itself included, was looked at */
  position: number
}

/**
 * The next events of a walk, at most `limit`. Fewer, even none, mean no end: that is `position` at `to`. `to` must not lie
 * beyond the head at the time of the call, or events that come during the walk would be passed over.
 */
export async function readLog(db: Db, walk: LogWalk, filter: LogFilter): Promise<LogPage> {
  const { bucket, direction, limit, to } = walk
  const startedAt = performance.now()
  const events: StoredEvent[] = []
  let position = walk.from
  let length = filter.userId === undefined ? SPAN_MIN : Number.POSITIVE_INFINITY
  while (position !== to) {
    const spanStartedAt = performance.now()
    const span =
      direction === 'forward'
        ? { after: position, upTo: Math.min(position + length, to) }
        : { after: Math.max(position - 1 - length, to - 1), upTo: position - 1 }
    const found = await selectLogSpan(db, { bucket, direction, limit: limit - events.length, ...span }, filter)
    events.push(...found)
    if (events.length === limit) return { events, position: events.at(-1)!.position }
    position = direction === 'forward' ? span.upTo : span.after + 1
    const now = performance.now()
    if (now - startedAt > WALK_MS) break
    if (now - spanStartedAt < SHORT_MS) length = Math.min(2 * length, SPAN_MAX)
  }
  return { events, position }
}
