/** A feed without HTTP on a database of its own. */
import { randomUUID } from 'node:crypto'
import { Registry } from 'prom-client'
import type { Test } from 'tap'
import { createCursors } from '../../src/domain/cursor.js'
import { createFeedCursors } from '../../src/domain/feed-cursor.js'
import { createMetrics } from '../../src/observe/metrics.js'
import { createFeedService, type FeedService } from '../../src/services/feed.js'
import { createLogTail, defaultTailLimits, type LogTail, type Polling } from '../../src/services/log-tail.js'
import { emptyGauges } from '../support/gauges.js'
import { type WatchedDb, watchDb } from '../support/watched-db.js'
import { type Parts, testParts } from './parts.js'

export type FeedParts = Parts & { feed: FeedService; tail: LogTail; sent: WatchedDb['sent'] }

/** `startPolling` is given what looks at the end of the log once; `seenAs` may give the feed another tail. */
export async function testFeed(
  t: Test,
  startPolling: (once: () => Promise<'more' | 'idle'>) => Polling,
  limits: Partial<typeof defaultTailLimits> = {},
  seenAs: (tail: LogTail) => LogTail = (tail) => tail
): Promise<FeedParts> {
  const parts = await testParts(t)
  const { db, sent } = watchDb(parts.db)
  const { eventTypes } = parts
  const metrics = createMetrics({
    register: new Registry(),
    ...emptyGauges,
    topAggregates: 1,
    topTenants: 1,
    onError: () => {}
  })
  const tail = createLogTail({
    db,
    buckets: 1,
    eventTypes,
    metrics,
    startPolling,
    limits: { ...defaultTailLimits, ...limits }
  })
  t.teardown(() => tail.close())
  const feed = createFeedService({
    db,
    cursors: createFeedCursors({ cursors: createCursors(randomUUID()), storeId: randomUUID(), buckets: 1 }),
    buckets: 1,
    eventTypes,
    tail: seenAs(tail),
    metrics
  })
  return { ...parts, feed, tail, sent }
}
