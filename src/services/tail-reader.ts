/**
 * "What came after version v of user u", for many users in one query. Requests of the same turn of the event loop, and those
 * that arrive while queries are out, go together, and who asks for the same shares an answer: a state that is cached costs
 * its share of a query, mostly with no row.
 */
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import { DomainError } from '../domain/errors.js'
import type { FoldEvent, StreamKey } from '../domain/event.js'
import { selectTails, type TailRequest } from '../store/replay.js'

/** Queries out at once; more would only make the batches smaller. */
const IN_FLIGHT_MAX = 2
export const BATCH_MAX = 500
/** Different requests that wait, at most: more than a database that answers leaves waiting. */
export const WAITING_MAX = 10_000

type Tail = readonly FoldEvent[]
type Waiting = TailRequest & { tail: Promise<Tail>; resolve: (tail: Tail) => void; reject: (err: unknown) => void }

export type TailReader = ReturnType<typeof createTailReader>

export function createTailReader({ db, buckets }: { db: Db; buckets: number }) {
  /** Not sent yet; by user and version. */
  const waiting = new Map<string, Waiting>()
  let inFlight = 0
  let scheduled = false

  function schedule(): void {
    if (scheduled || inFlight >= IN_FLIGHT_MAX || waiting.size === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      void send(takeBatch())
      schedule()
    })
  }

  function takeBatch(): Waiting[] {
    const batch: Waiting[] = []
    for (const [name, request] of waiting) {
      batch.push(request)
      waiting.delete(name)
      if (batch.length === BATCH_MAX) break
    }
    return batch
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
     * committed before the call. Throws OVERLOADED when too many wait.
     */
    after(key: StreamKey, after: number): Promise<Tail> {
      const name = `${key.tenantId}:${key.userId}:${after}`
      const same = waiting.get(name)
      if (same) return same.tail
      if (waiting.size >= WAITING_MAX) {
        const refusal = `${waiting.size} reads are waiting. Send the request again later.`
        return Promise.reject(new DomainError('OVERLOADED', refusal))
      }
      let [resolve, reject]: [Waiting['resolve'], Waiting['reject']] = [() => {}, () => {}]
      const tail = new Promise<Tail>((onDone, onFailed) => {
        resolve = onDone
        reject = onFailed
      })
      waiting.set(name, { bucket: bucketOf(key.userId, buckets), key, after, tail, resolve, reject })
      schedule()
      return tail
    }
  }
}
