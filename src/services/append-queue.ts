/**
 * Group commit (DESIGN D2). Requests queue; one batch per bucket is in flight at a time; when it returns, what queued
 * meanwhile goes as the next. No timer holds anything back: an idle store answers a single request at once.
 *
 * Keeps true: requests of one user are carried out in the order they came; tenants take turns, within a batch and for the
 * places of the queue, so that none has to wait for all that another sent; a request that fails for a reason of its own
 * never fails its neighbours; nobody waits longer than the deadline; and a request whose fate could not be learnt is
 * tried again with the same event ids, and if that does not help is reported as unknown, never as not stored.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Db } from '../db/client.js'
import { type DbError, toDbError } from '../db/pg-error.js'
import { DomainError } from '../domain/errors.js'
import { createTurns, type Turns } from '../domain/turns.js'
import type { Metrics } from '../observe/metrics.js'
import { leadOf, type Span, type SpanOptions, type Tracer, untraced } from '../observe/tracing.js'
import { type AppendOutcome, type AppendRequest, appendBatch } from '../store/append.js'
import { type Claiming, isUnclaimed } from '../store/claims.js'

export type QueueLimits = {
  batchRequests: number
  batchEvents: number
  batchBytes: number
  /** requests waiting or in flight in all buckets */
  queueRequests: number
  /** bytes of events waiting or in flight in all buckets */
  queueBytes: number
  /** longest time from submit to answer, ms */
  deadlineMs: number
}

export const defaultLimits: QueueLimits = {
  batchRequests: 500,
  batchEvents: 2000,
  batchBytes: 4 * 1024 * 1024,
  queueRequests: 10_000,
  queueBytes: 64 * 1024 * 1024,
  deadlineMs: 8000
}

type Entry = {
  request: AppendRequest
  bytes: number
  /** of whoever waits for it */
  span: Span
  /** performance.now() */
  queuedAt: number
  settle: (result: AppendOutcome | Error) => void
  settled: boolean
  inFlight: boolean
  /** last failure of the database that concerned this entry */
  failure: DbError | null
  /** whether an attempt may have stored it */
  doubtful: boolean
}

const unmeasured = { appendBatch() {}, appendWaited() {} }

type Lane = { bucket: number; waiting: Turns<Entry>; working: boolean }

/** What a tenant has waiting or in flight. */
type Places = { requests: number; bytes: number }

export type AppendQueue = ReturnType<typeof createAppendQueue>

export function createAppendQueue({
  db,
  claiming = { on: false },
  metrics = unmeasured,
  tracer = untraced,
  limits = defaultLimits
}: {
  db: Db
  claiming?: Claiming
  metrics?: Pick<Metrics, 'appendBatch' | 'appendWaited'>
  tracer?: Tracer
  limits?: QueueLimits
}) {
  const lanes = new Map<number, Lane>()
  const taken: Places = { requests: 0, bytes: 0 }
  const takenBy = new Map<string, Places>()
  let closing: (() => void) | null = null

  function laneOf(bucket: number): Lane {
    let lane = lanes.get(bucket)
    if (!lane) {
      lane = { bucket, waiting: createTurns(), working: false }
      lanes.set(bucket, lane)
    }
    return lane
  }

  function admit(tenantId: string, size: number): void {
    if (closing)
      throw new DomainError(
        'SHUTTING_DOWN',
        'The service is shutting down. Send the request again: another instance will take it.'
      )
    makeRoom(tenantId, { requests: 1, bytes: size })
    const own = takenBy.get(tenantId) ?? { requests: 0, bytes: 0 }
    takenBy.set(tenantId, own)
    for (const places of [taken, own]) {
      places.requests++
      places.bytes += size
    }
  }

  function leave(tenantId: string, size: number): void {
    const own = takenBy.get(tenantId)!
    for (const places of [taken, own]) {
      places.requests--
      places.bytes -= size
    }
    if (own.requests === 0) takenBy.delete(tenantId)
    if (closing && taken.requests === 0) closing()
  }

  /**
   * In a full queue a tenant that has less than another takes from the end of what that has waiting, which is refused instead: so
   * all places are there for one tenant alone, and are shared as soon as there is another. Throws OVERLOADED.
   */
  function makeRoom(tenantId: string, wanted: Places): void {
    for (const kind of ['requests', 'bytes'] as const) {
      const max = kind === 'requests' ? limits.queueRequests : limits.queueBytes
      while (taken[kind] + wanted[kind] > max) {
        const dropped = dropOfLargest(kind, (takenBy.get(tenantId)?.[kind] ?? 0) + wanted[kind])
        if (!dropped) throw full(taken, kind)
        dropped.settle(full(taken, kind))
      }
    }
  }

  /** The request that waits shortest of the tenant that has most, if that is more than `fair`, and it was never sent. */
  function dropOfLargest(kind: keyof Places, fair: number): Entry | undefined {
    let largest: { tenantId: string; places: number } = { tenantId: '', places: fair }
    for (const [tenantId, places] of takenBy)
      if (places[kind] > largest.places) largest = { tenantId, places: places[kind] }
    for (const { waiting } of lanes.values()) {
      const entry = waiting.dropLast(largest.tenantId, ({ settled, failure }) => !settled && failure === null)
      if (entry) return entry
    }
    return undefined
  }

  async function work(lane: Lane): Promise<void> {
    lane.working = true
    let failures = 0
    while (!lane.waiting.isEmpty()) {
      const batch = takeBatch(lane, limits)
      if (batch.length === 0) continue // Nothing was waiting that had no answer yet.
      const failed = await attempt(lane.bucket, batch)
      const again = failed.filter(({ settled }) => !settled)
      if (again.length === 0) failures = 0
      else {
        for (const entry of again.reverse()) lane.waiting.addFirst(entry.request.tenantId, entry)
        await pause(backoffMs(failures++))
      }
    }
    lane.working = false
  }

  /** Sends one batch and settles what can be settled; returns the entries that another attempt may help. */
  async function attempt(bucket: number, batch: Entry[]): Promise<Entry[]> {
    const startedAt = performance.now()
    for (const entry of batch) {
      if (!entry.failure) {
        const waitedMs = startedAt - entry.queuedAt
        metrics.appendWaited(waitedMs / 1000)
        if (tracer.on) entry.span.set({ 'append.queue_wait_ms': waitedMs })
      }
      entry.inFlight = true
    }
    try {
      const outcomes = await tracer.span(
        'append batch',
        () => spanOf(bucket, batch),
        () =>
          appendBatch(
            db,
            bucket,
            batch.map(({ request, doubtful }) => (doubtful ? { ...request, repeatable: true } : request)),
            claiming.on
          )
      )
      metrics.appendBatch({ requests: batch.length, seconds: (performance.now() - startedAt) / 1000 })
      for (const [i, entry] of batch.entries()) entry.settle(firstOutcome(entry, outcomes[i]!))
      return []
    } catch (thrown) {
      const err = toDbError(thrown)
      for (const entry of batch) note(entry, err)
      if (isUnclaimed(err)) {
        claiming.on = true
        return batch
      }
      if (batch.length > 1 && isOfOneRequest(err)) return await attemptInHalves(bucket, batch)
      if (err.outcome !== 'definite') return batch
      for (const entry of batch) entry.settle(err)
      return []
    }
  }

  /** One request of the batch is at fault and failed them all: halving finds it and lets the others pass. */
  async function attemptInHalves(bucket: number, batch: Entry[]): Promise<Entry[]> {
    const middle = batch.length >> 1
    const first = await attempt(bucket, batch.slice(0, middle))
    const second = await attempt(bucket, batch.slice(middle))
    return [...first, ...second]
  }

  return {
    /**
     * Queues one request of `size` bytes and resolves with its outcome. Throws OVERLOADED or SHUTTING_DOWN before it is
     * queued; OVERLOADED or DATABASE_UNAVAILABLE at the deadline when it was certainly not stored; OUTCOME_UNKNOWN (with
     * `eventIds`) when it may have been; a DbError when the database refused the data itself.
     */
    async submit(bucket: number, request: AppendRequest, size: number): Promise<AppendOutcome> {
      const { tenantId } = request
      admit(tenantId, size)
      return await new Promise((resolve, reject) => {
        const entry: Entry = {
          request,
          bytes: size,
          span: tracer.current(),
          queuedAt: performance.now(),
          settled: false,
          inFlight: false,
          failure: null,
          doubtful: false,
          settle
        }
        const timer = setTimeout(() => settle(expired(entry, limits.deadlineMs)), limits.deadlineMs)
        function settle(result: AppendOutcome | Error): void {
          if (entry.settled) return
          entry.settled = true
          clearTimeout(timer)
          leave(tenantId, size)
          if (result instanceof Error) reject(result)
          else resolve(result)
        }
        const lane = laneOf(bucket)
        lane.waiting.add(tenantId, entry)
        if (!lane.working) void work(lane)
      })
    },

    /** Refuses new requests and resolves when all that were queued have their answer. */
    async close(): Promise<void> {
      await new Promise<void>((resolve) => {
        closing = resolve
        if (taken.requests === 0) resolve()
      })
    }
  }
}

/**
 * Takes the next batch, of each tenant in turn, within the limits and with at most one request of a user; whom it passes over
 * keeps its place. The first entry is always taken, however large. Empty if all that waited have their answer.
 */
function takeBatch(lane: Lane, limits: QueueLimits): Entry[] {
  const batch: Entry[] = []
  const users = new Set<string>()
  let events = 0
  let bytes = 0
  lane.waiting.offer((entry) => {
    if (entry.settled) return true
    const { userId } = entry.request
    const fits =
      batch.length === 0 ||
      (batch.length < limits.batchRequests &&
        events + entry.request.events.length <= limits.batchEvents &&
        bytes + entry.bytes <= limits.batchBytes &&
        !users.has(userId))
    users.add(userId)
    if (!fits) return false
    batch.push(entry)
    events += entry.request.events.length
    bytes += entry.bytes
    return true
  })
  return batch
}

/** A batch is part of the trace of one of its members, and linked to all: so an append that is alone is one trace to its end. */
function spanOf(bucket: number, batch: readonly Entry[]): SpanOptions {
  const members = batch.map(({ span }) => span.traceparent)
  const events = batch.reduce((sum, { request }) => sum + request.events.length, 0)
  const attributes = { 'batch.requests': batch.length, 'batch.events': events, bucket }
  return { parent: leadOf(members), links: members, attributes }
}

function note(entry: Entry, err: DbError): void {
  entry.inFlight = false
  entry.failure = err
  if (err.outcome === 'unknown') entry.doubtful = true
}

/** Whether the data of one request was refused: by its type, or by a key (which may also be another writer's, and pass). */
const isOfOneRequest = ({ outcome, constraint }: DbError): boolean => outcome === 'definite' || constraint !== null

/** Ids that were made for this very request can only have been stored by an earlier attempt of ours: they are not duplicates. */
const firstOutcome = ({ request }: Entry, result: AppendOutcome): AppendOutcome =>
  result.outcome === 'duplicate' && !request.repeatable ? { ...result, outcome: 'stored' } : result

const backoffMs = (failures: number): number => Math.min(1000, 10 * 2 ** failures) * (0.5 + Math.random() / 2)

const full = ({ requests, bytes }: Places, kind: keyof Places): DomainError =>
  overloaded(kind === 'requests' ? `${requests} appends are waiting` : `${bytes} bytes of events are waiting`)

const overloaded = (why: string): DomainError =>
  new DomainError('OVERLOADED', `The service has more appends than it can store: ${why}. Send the request again later.`)

function expired({ request, inFlight, doubtful, failure }: Entry, deadlineMs: number): DomainError {
  const options = failure ? { cause: failure } : {}
  if (inFlight || doubtful) {
    return new DomainError(
      'OUTCOME_UNKNOWN',
      `Whether the events were stored could not be learnt within ${deadlineMs} ms. Send the same request with the same event ids again: it is stored once.`,
      { eventIds: request.events.map(({ id }) => id) },
      options
    )
  }
  if (failure) {
    return new DomainError(
      'DATABASE_UNAVAILABLE',
      'The database cannot be reached; nothing was stored. Send the request again later.',
      {},
      options
    )
  }
  return overloaded(`its turn did not come within ${deadlineMs} ms`)
}
