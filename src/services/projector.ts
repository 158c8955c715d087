/**
 * Applies the log of one bucket to the tables of a projection, batch by batch. What a batch makes and the position it leads to are
 * stored by one statement: every event is applied exactly once, whatever dies in between. A user whose events cannot be
 * applied is parked and tried again now and then; all others go on.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import type { Db } from '../db/client.js'
import { findDbError } from '../db/pg-error.js'
import { UnknownRules } from '../domain/catalog.js'
import { nameOfRow, type ProjectedEvent, type Projection, type Row, type TableRow } from '../domain/projection.js'
import { type Tracer, untraced } from '../observe/tracing.js'
import { selectNextEvents, selectUserEvents } from '../store/projected-events.js'
import {
  type Parked,
  projectionWorker,
  selectParkedFor,
  selectParkedUsers,
  selectRows,
  storeBatch
} from '../store/projections.js'
import type { Lease } from '../store/workers.js'
import type { EventTypeService } from './event-types.js'
import type { StepResult } from './worker.js'

/** Events in a batch: it grows while batches are quick and small, and shrinks when they are not. More would make requests wait for the processor. */
export const BATCH_MAX = 1000
const BATCH_START = 500
const QUICK_MS = 400
const SLOW_MS = 1200
const LARGE_BYTES = 8 * 1024 * 1024
/** Rows of earlier batches that need not be read again. */
const KNOWN_ROWS = 20_000
/** Parked users are tried again after this long, ms; so many at once; and it is looked this often who is due. */
const UNPARK_MS = 30_000
const UNPARK_USERS = 10
const UNPARK_LOOK_MS = 1000
const USER_EVENTS = 1000
/** Whose progress was refused asks for the lease again after this long, ms: a rebuild takes over, or another instance. */
const REFUSED_MS = 20

type Applied = { rows: Map<string, TableRow>; parked: Parked[] }

export type Projector = ReturnType<typeof createProjector>

export function createProjector(parts: {
  db: Db
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes'>
  projection: Projection
  bucket: number
  /** fills the tables of a rebuild instead of those that serve */
  rebuilds: boolean
  tracer?: Tracer
  /** told about users who are parked */
  onParked: (parked: readonly Parked[]) => void
}) {
  const { db, eventTypes, projection, bucket, rebuilds, tracer = untraced, onParked } = parts
  const worker = projectionWorker(projection.name, rebuilds)
  /** Rows as they are stored, as long as nobody else wrote: that is from `place` on. */
  const known = new LRUCache<string, Row>({ max: KNOWN_ROWS })
  let place = ''
  let size = BATCH_START
  let unparkAt = 0

  /** The rows that events may ask for, by name. */
  async function rowsFor(events: readonly ProjectedEvent[]): Promise<Map<string, Row>> {
    const rows = new Map<string, Row>()
    const missing = new Map<string, TableRow>()
    for (const event of events) {
      for (const key of projection.keysOf(event)) {
        const name = nameOfRow(key)
        if (rows.has(name) || missing.has(name)) continue
        const row = known.get(name)
        if (row) rows.set(name, row)
        else missing.set(name, key)
      }
    }
    if (missing.size > 0) {
      for (const [name, row] of await selectRows(db, bucket, [...missing.values()], rebuilds)) rows.set(name, row)
    }
    return rows
  }

  /** What events make of rows. An event that cannot be applied parks its user; with `strict`, one of unknown rules throws. */
  function applyAll(events: readonly ProjectedEvent[], before: ReadonlyMap<string, Row>, strict: boolean): Applied {
    const rows = new Map<string, TableRow>()
    const parked = new Map<string, Parked>()
    const current = (key: TableRow): Row | null => {
      const name = nameOfRow(key)
      return rows.get(name)?.row ?? before.get(name) ?? null
    }
    for (const event of events) {
      const { aggregateId: user, tenantId: tenant, position, version } = event
      if (parked.has(user)) continue
      try {
        for (const row of projection.apply(event, current, eventTypes.of(tenant))) rows.set(nameOfRow(row), row)
      } catch (err) {
        if (strict && err instanceof UnknownRules) throw err
        parked.set(user, { user, tenant, position, version, error: (err as Error).message })
      }
    }
    return { rows, parked: [...parked.values()] }
  }

  async function apply(events: readonly ProjectedEvent[], before: ReadonlyMap<string, Row>): Promise<Applied> {
    try {
      return await eventTypes.withTypes(async () => applyAll(events, before, true))
    } catch (err) {
      if (!(err instanceof UnknownRules)) throw err
      return applyAll(events, before, false)
    }
  }

  async function store(
    { epoch, position }: Lease,
    to: number,
    { rows, parked }: Applied,
    released: string[]
  ): Promise<boolean> {
    const batch = { bucket, rebuilds, epoch, from: position, to, rows: [...rows.values()], parked, released }
    const stored = await storeBatch(db, projection, batch)
    if (!stored) known.clear()
    else for (const [name, { row }] of rows) known.set(name, row)
    place = stored ? `${epoch}/${to}` : ''
    return stored
  }

  /** Rows that were stored here are still what is stored only if nobody else held the lease since. */
  function trustKnown({ epoch, position }: Lease): void {
    if (place !== `${epoch}/${position}`) known.clear()
  }

  /** The next batch. Of what the database refuses, or takes too long for, the half is tried next, until one event is left: its user is parked. */
  async function advance(lease: Lease): Promise<StepResult> {
    const startedAt = performance.now()
    const events = await selectNextEvents(db, bucket, lease.position, size, tracer.on)
    if (events.length === 0) return { position: lease.position, worked: false, more: false }
    const batch = () => ({
      parent: null,
      links: [...new Set(events.map(({ traceparent = null }) => traceparent))],
      attributes: {
        'projection.name': projection.name,
        'projection.rebuilds': rebuilds,
        bucket,
        'batch.events': events.length
      }
    })
    return await tracer.span('projection batch', batch, () => project(lease, events, startedAt))
  }

  async function project(lease: Lease, events: readonly ProjectedEvent[], startedAt: number): Promise<StepResult> {
    const idle = { position: lease.position, worked: false, more: false }
    const last = events.at(-1)!
    const full = events.length === size
    const users = [...new Set(events.map((event) => event.aggregateId))]
    const aside = await selectParkedUsers(db, bucket, worker, users)
    const free = aside.size === 0 ? events : events.filter((event) => !aside.has(event.aggregateId))
    let applied = await apply(free, await rowsFor(free))
    let stored: boolean
    try {
      stored = await store(lease, last.position, applied, [])
    } catch (err) {
      place = ''
      size = Math.ceil(events.length / 2)
      if (!isRefused(err)) throw err
      if (events.length > 1) return { ...idle, more: true }
      applied = { rows: new Map(), parked: [parkedAt(last, err)] }
      stored = await store(lease, last.position, applied, [])
    }
    if (!stored) {
      await pause(REFUSED_MS)
      return { ...idle, more: true, lost: true }
    }
    if (applied.parked.length > 0) onParked(applied.parked)
    adapt(performance.now() - startedAt, events)
    return { position: last.position, worked: true, more: full }
  }

  function adapt(tookMs: number, events: readonly ProjectedEvent[]): void {
    const large = estimate(events) > LARGE_BYTES
    if (tookMs > SLOW_MS || large) size = Math.max(1, Math.floor(size / 2))
    else if (tookMs < QUICK_MS && events.length === size) size = Math.min(BATCH_MAX, size * 2)
  }

  /** Applies what a parked user missed, if it can be applied by now; else notes why not. */
  async function unpark(lease: Lease, parked: Parked): Promise<void> {
    const { user } = parked
    const rows = new Map<string, TableRow>()
    const before = new Map<string, Row>()
    for (let next = parked.version; ; ) {
      const span = { user, version: next, upTo: lease.position }
      const events = await selectUserEvents(db, bucket, span, USER_EVENTS)
      for (const [name, row] of await rowsFor(events)) if (!rows.has(name)) before.set(name, row)
      for (const [name, { row }] of rows) before.set(name, row)
      const applied = await apply(events, before)
      const [failed] = applied.parked
      if (failed) return await parkAgain(lease, { ...parked, error: failed.error })
      for (const [name, row] of applied.rows) rows.set(name, row)
      if (events.length < USER_EVENTS) break
      next += events.length
    }
    try {
      await store(lease, lease.position, { rows, parked: [] }, [user])
    } catch (err) {
      place = ''
      if (!isRefused(err)) throw err
      await parkAgain(lease, { ...parked, error: refusal(err) })
    }
  }

  async function parkAgain(lease: Lease, parked: Parked): Promise<void> {
    await store(lease, lease.position, { rows: new Map(), parked: [parked] }, [])
  }

  async function unparkSome(lease: Lease): Promise<void> {
    if (performance.now() < unparkAt) return
    const due = await selectParkedFor(db, bucket, worker, { ms: UNPARK_MS, limit: UNPARK_USERS })
    for (const parked of due) await unpark(lease, parked)
    if (due.length < UNPARK_USERS) unparkAt = performance.now() + UNPARK_LOOK_MS
  }

  return {
    /** One batch, and parked users when it is time for them. */
    async step(lease: Lease): Promise<StepResult> {
      trustKnown(lease)
      await unparkSome(lease)
      return await advance(lease)
    }
  }
}

/** Whether the database can not hold what it was given: data exceptions, constraints, limits. */
function isRefused(err: unknown): boolean {
  return /^(22|23|54)/.test(findDbError(err)?.sqlState ?? '')
}

const parkedAt = ({ aggregateId, tenantId, position, version }: ProjectedEvent, err: unknown): Parked => ({
  user: aggregateId,
  tenant: tenantId,
  position,
  version,
  error: refusal(err)
})

const refusal = (err: unknown): string => `The database refused what came of it (${findDbError(err)?.sqlState}).`

/** About how many bytes a batch is, by a look at some of its events. */
function estimate(events: readonly ProjectedEvent[]): number {
  const every = Math.ceil(events.length / 20)
  let bytes = 0
  for (let i = 0; i < events.length; i += every) bytes += JSON.stringify(events[i]!.eventData).length
  return bytes * every
}
