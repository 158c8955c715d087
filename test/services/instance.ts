/** Further instances of the service on one database, each with a pool and a cache of its own. */
import { Registry } from 'prom-client'
import type { Test } from 'tap'
import { openDb } from '../../src/db/client.js'
import { openRedisCache } from '../../src/edge/redis-cache.js'
import { createMetrics } from '../../src/observe/metrics.js'
import { createFairSlots } from '../../src/services/fair-slots.js'
import { createReplayService } from '../../src/services/replay.js'
import { createStateCache } from '../../src/services/state-cache.js'
import { createTailReader } from '../../src/services/tail-reader.js'
import { selectStoreGauges } from '../../src/store/statistics.js'
import { emptyGauges } from '../support/gauges.js'
import { watchDb } from '../support/watched-db.js'
import type { Parts } from './parts.js'

/** `shared` is the cache at `redisUrl`, and `trouble` what it complained of. */
export function instance(
  t: Test,
  { database, eventTypes }: Parts,
  { usersMax = 100, redisUrl }: { usersMax?: number; redisUrl?: string } = {}
) {
  const pool = openDb(database.url)
  t.teardown(() => pool.close())
  const watched = watchDb(pool)
  const { db } = watched
  const metrics = createMetrics({
    register: new Registry(),
    ...emptyGauges,
    topAggregates: 1,
    topTenants: 1,
    storeGauges: () => selectStoreGauges(db, 1, 1),
    onError: () => {}
  })
  const trouble = { poisoned: 0, failed: 0 }
  const onTrouble = (kind: keyof typeof trouble) => trouble[kind]++
  // A machine that is busy with other tests must not look like a Redis that is slow.
  const patience = { timeoutMs: 5000 }
  const shared = redisUrl ? openRedisCache({ url: redisUrl, onTrouble, ...patience }) : null
  t.teardown(() => shared?.close())
  const cache = createStateCache({
    usersMax,
    bytesMax: 10_000_000,
    shared,
    metrics
  })
  const tails = createTailReader({ db, buckets: 1 })
  const turns = createFairSlots({ what: 'replays', slots: 4, share: 1, waitingMax: 100, waitMs: 5000 })
  return {
    ...watched,
    shared,
    trouble,
    replay: createReplayService({ db, eventTypes, metrics, buckets: 1, cache, tails, turns })
  }
}

/** Whether a statement is the one that starts a fold, and not one that asks what came after a version. */
export const isLoad = ({ text }: { text: string }): boolean => text.includes('user_snapshots')
