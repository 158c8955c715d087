/**
 * The end of the log in memory, shared by all who follow it in this process: one query per batch of events, however many
 * they are. It polls only while somebody follows, and a while longer, because those who ask again and again are gone for a
 * moment between two requests.
 *
 * Each bucket has a lane of its newest events without a gap, bounded in number and bytes. A lane knows the hash of every
 * event in it and of the one just before it, so a mark can be checked against it. Whoever stands further back reads from
 * the database until the lane reaches them: memory does not grow with slow followers. Should the event at the end of a lane
 * be gone or another one, the log was restored under us; then all is forgotten and everybody has to ask the database.
 */
import type { Db } from '../db/client.js'
import { bucketsBetween, hashOf, type Mark, markOf } from '../domain/feed-cursor.js'
import { type FeedEvent, feedEvent, jsonOf } from '../domain/feed-event.js'
import type { Metrics } from '../observe/metrics.js'
import { selectLogTail, selectPlaces } from '../store/log.js'
import type { EventTypeService } from './event-types.js'

/** Repeats the step it was started with until it is stopped; see loop.ts. */
export type Polling = { wake(): void; stop(): Promise<void> }

type Lane = {
  /** position and hash of the last event before the lane */
  floor: number
  floorHash: bigint
  /** position floor + 1 and on */
  entries: FeedEvent[]
  bytes: number
}

const KiB = 1024

export const defaultTailLimits = {
  /** events kept, over all buckets; every bucket has its share, but not less than a batch of its own */
  eventsMax: 10_000,
  /** bytes of their JSON, over all buckets; what else an event takes is no more than that again */
  bytesMax: 32 * KiB * KiB,
  /** events of one poll, over all buckets */
  batch: 500,
  /** polling goes on this long after the last follower left, ms */
  lingerMs: 5000
}

/** Least events of a bucket in one poll, and in its lane. */
const SHARE_MIN = 10

export type LogTail = ReturnType<typeof createLogTail>

export function createLogTail(parts: {
  db: Db
  buckets: number
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes'>
  metrics: Pick<Metrics, 'feedPolled'>
  startPolling: (once: () => Promise<'more' | 'idle'>) => Polling
  limits?: typeof defaultTailLimits
}) {
  const { db, buckets, eventTypes, metrics, startPolling, limits = defaultTailLimits } = parts
  const share = (total: number): number => Math.max(SHARE_MIN, Math.ceil(total / buckets))
  const [batch, eventsMax] = [share(limits.batch), share(limits.eventsMax)]
  const bytesMax = limits.bytesMax / buckets
  /** null until the first look at the log */
  let lanes: Lane[] | null = null
  let polling: Polling | null = null
  let stopped: Promise<void> = Promise.resolve()
  let followers = 0
  let lingering: NodeJS.Timeout | undefined
  const waiting = new Set<() => void>()
  /** how often there was something new */
  let news = 0

  function tellAll(): void {
    news++
    for (const done of [...waiting]) done()
  }

  async function poll(): Promise<'more' | 'idle'> {
    metrics.feedPolled()
    const current = lanes
    if (!current) {
      const places = await selectPlaces(db, Array<number>(buckets).fill(0))
      lanes = places.map(({ head, headId }) => ({ floor: head, floorHash: hashOf(headId), entries: [], bytes: 0 }))
      tellAll()
      return 'idle'
    }
    const rows = await selectLogTail(db, current.map(endOf), batch)
    if (rows.some(({ bucket, idAt }) => hashOf(idAt) !== hashAt(current[bucket]!, endOf(current[bucket]!)))) {
      lanes = null
      tellAll()
      return 'more'
    }
    const found = rows.flatMap(({ bucket, event }) => (event ? [feedEvent(bucket, event)] : []))
    await readyToShow(found)
    // Somebody stopped it, and perhaps began anew, while this poll was under way.
    if (lanes !== current || found.length === 0) return 'idle'
    for (const entry of found) add(current[entry.bucket]!, entry)
    for (const lane of current) shorten(lane)
    tellAll()
    const counts = new Map<number, number>()
    for (const { bucket } of found) counts.set(bucket, (counts.get(bucket) ?? 0) + 1)
    return Math.max(...counts.values()) === batch ? 'more' : 'idle'
  }

  /** Makes the JSON that nearly all ask for. An event of a type that nobody here knows is the trouble of those who want it. */
  async function readyToShow(entries: FeedEvent[]): Promise<void> {
    const lift = async () => {
      for (const entry of entries) jsonOf(entry, eventTypes.of(entry.event.tenantId))
    }
    await eventTypes.withTypes(lift).catch(() => {})
  }

  function add(lane: Lane, entry: FeedEvent): void {
    lane.entries.push(entry)
    lane.bytes += entry.stored.length
  }

  function shorten(lane: Lane): void {
    let gone = 0
    while (lane.entries.length - gone > eventsMax || lane.bytes > bytesMax) {
      const { event, hash, stored } = lane.entries[gone++]!
      lane.floor = event.position
      lane.floorHash = hash
      lane.bytes -= stored.length
    }
    lane.entries.splice(0, gone)
  }

  function forget(): void {
    clearTimeout(lingering)
    if (polling) stopped = polling.stop()
    polling = null
    lanes = null
  }

  return {
    /** Has the log polled until the function it returns is called, which the caller must do once. */
    follow(): () => void {
      followers++
      clearTimeout(lingering)
      polling ??= startPolling(poll)
      return () => {
        followers--
        if (followers === 0) lingering = setTimeout(forget, limits.lingerMs).unref()
      }
    },

    /** Something was appended here: whoever follows need not wait for the next poll. */
    wake(): void {
      polling?.wake()
    },

    /** The mark at these positions, or null if that cannot be told from memory. */
    locate(positions: readonly number[]): Mark | null {
      const hashes = lanes?.flatMap((lane, bucket) => hashAt(lane, positions[bucket]!) ?? [])
      return hashes?.length === buckets ? markOf(positions, hashes) : null
    },

    /** Whether all that comes after the mark is in memory; false also for a mark that stands behind other events than ours. */
    covers: ({ positions, hashes }: Mark): boolean =>
      lanes?.every((lane, bucket) => hashAt(lane, positions[bucket]!) === hashes[bucket]) ?? false,

    /** The events after a mark that is covered, those of the bucket with most of them first; the caller may move the mark meanwhile. */
    *after({ positions }: Mark): Generator<FeedEvent> {
      const current = lanes ?? []
      for (const bucket of bucketsBetween(positions, current.map(endOf))) {
        const { floor, entries } = current[bucket]!
        for (let i = positions[bucket]! - floor; i < entries.length; i++) yield entries[i]!
      }
    },

    /** How many events the log had at the last poll; 0 before the first. */
    head: (): number => lanes?.reduce((sum, lane) => sum + endOf(lane), 0) ?? 0,

    /** Names this moment for `changed`; to be asked before looking whether there is something. */
    moment: (): number => news,

    /** Resolves when there was something new since `moment`, after `ms`, or when the signal says so; at once if that is so already. */
    changed(moment: number, ms: number, signal: AbortSignal): Promise<void> {
      if (signal.aborted || news !== moment) return Promise.resolve()
      return new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer)
          waiting.delete(done)
          signal.removeEventListener('abort', done)
          resolve()
        }
        const timer = setTimeout(done, ms)
        waiting.add(done)
        signal.addEventListener('abort', done)
      })
    },

    /** Ends the polling for good; all who follow have left by then. */
    async close(): Promise<void> {
      forget()
      await stopped
    }
  }
}

const endOf = ({ floor, entries }: Lane): number => floor + entries.length

function hashAt({ floor, floorHash, entries }: Lane, position: number): bigint | undefined {
  return position === floor ? floorHash : entries[position - floor - 1]?.hash
}
