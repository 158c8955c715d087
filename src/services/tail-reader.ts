/**
 * "What came after version v of user u", for many users in one query. Requests of the same turn of the event loop, and those
 * that arrive while queries are out, go together: a state that is cached costs its share of a query, mostly with no row.
 */
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import type { FoldEvent, StreamKey } from '../domain/event.js'
import { selectTails, type TailRequest } from '../store/replay.js'

/** Queries out at once; more would only make the batches smaller. */
const IN_FLIGHT_MAX = 2
const BATCH_MAX = 500

type Waiting = TailRequest & { resolve: (events: FoldEvent[]) => void; reject: (err: unknown) => void }

export type TailReader = ReturnType<typeof createTailReader>

export function createTailReader({ db, buckets }: { db: Db; buckets: number }) {
  let waiting: Waiting[] = []
  let inFlight = 0
  let scheduled = false

  function schedule(): void {
    if (scheduled || inFlight >= IN_FLIGHT_MAX || waiting.length === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      void send(waiting.slice(0, BATCH_MAX))
      waiting = waiting.slice(BATCH_MAX)
      schedule()
    })
  }

  async function send(batch: Waiting[]): Promise<void> {
    inFlight++
    try {
      const tails = await selectTails(db, batch)
      for (const [i, { resolve }] of batch.entries()) resolve(tails[i]!)
    } catch (err) {
      for (const { reject } of batch) reject(err)
    } finally {
      inFlight--
      schedule()
    }
  }

  return {
    /**
     * Events of a user with a version above `after`, in order, at most TAIL_EVENTS of them; includes everything that was
     * committed before the call.
     */
    after({ userId }: StreamKey, after: number): Promise<FoldEvent[]> {
      return new Promise((resolve, reject) => {
        waiting.push({ bucket: bucketOf(userId, buckets), userId, after, resolve, reject })
        schedule()
      })
    }
  }
}
