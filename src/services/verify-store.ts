/**
 * Whether all that is stored is right, also while the service goes on: three walks over the users of a range, through their events,
 * snapshots and rows of the directory, are merged, so that memory is bounded. What looks wrong may only have changed in between:
 * such a user is looked at once more, alone, and what is kept is read before the events.
 */
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import {
  createInspection,
  type Finding,
  type Inspection,
  type InspectionRules,
  type Kept
} from '../domain/inspection.js'
import type { Projection } from '../domain/projection.js'
import { selectWrongClaims, selectWrongCounts, selectWrongDays } from '../store/inspected-counts.js'
import {
  directoryOf,
  eventsOf,
  selectAhead,
  selectBounds,
  selectIsParked,
  selectMissingPositions,
  selectProjectedUpTo,
  selectTenantOf,
  snapshotsOf,
  type UserRange
} from '../store/inspection.js'
import { selectHeads } from '../store/log.js'
import { selectVersions } from '../store/projections.js'
import type { EventTypeService } from './event-types.js'

/** Positions that are looked at by one statement. */
const WINDOW = 100_000
/** Holes of one window that are told. */
const HOLES_MAX = 1000

/** What was looked at. */
export type Looked = { users: number; events: number; snapshots: number; rows: number; offlineUsers: number }

export type Task =
  | ({ kind: 'users' } & UserRange)
  | { kind: 'positions'; bucket: number; after: number; upTo: number }
  | { kind: 'followers'; bucket: number }

export type StoreVerifier = ReturnType<typeof createStoreVerifier>

export function createStoreVerifier(parts: {
  db: Db
  eventTypes: Pick<EventTypeService, 'of' | 'refresh' | 'effectiveRevision'>
  /** what keeps the directory */
  projection: Projection
  buckets: number
}) {
  const { db, eventTypes, projection, buckets } = parts

  /** Whether the directory is made by the rules of now; else there is nothing to compare it with until it is rebuilt. */
  async function isDirectoryCurrent(): Promise<boolean> {
    const filled = await selectVersions(db, projection.name)
    return (
      filled !== null &&
      filled.serves.version === projection.version &&
      filled.serves.typesRevision >= eventTypes.effectiveRevision()
    )
  }

  async function rulesOf(bucket: number): Promise<InspectionRules> {
    const directoryAt = (await isDirectoryCurrent()) ? await selectProjectedUpTo(db, bucket, projection.name) : null
    return { bucket, buckets, catalogOf: eventTypes.of, directoryAt }
  }

  /** One user with everything read anew. */
  async function inspectAgain(
    bucket: number,
    userId: string
  ): Promise<{ findings: Finding[]; events: number; offline: boolean }> {
    await eventTypes.refresh()
    const alone = { bucket, after: before(userId), upTo: userId }
    const rules = await rulesOf(bucket)
    const isParked = () => selectIsParked(db, bucket, projection.name, userId)
    // Before and after: the row may be that of a time when the user was put aside.
    const wasParked = await isParked()
    const [row = null] = await all(directoryOf(db, alone))
    const parked = wasParked || (await isParked())
    const snapshots = await all(snapshotsOf(db, alone))
    let inspection: Inspection | null = null
    let events = 0
    for await (const event of eventsOf(db, alone)) {
      inspection ??= createInspection(rules, event, { snapshots, row, parked })
      inspection.add(event)
      events++
    }
    if (inspection) return { ...inspection.end(), events }
    return { findings: nobodys(bucket, userId, { snapshots, row, parked }, rules), events, offline: false }
  }

  async function inspectRange(range: UserRange, onEvents: (count: number) => void): Promise<Outcome> {
    const { bucket } = range
    const rules = await rulesOf(bucket)
    const looked = { ...NOTHING }
    const findings: Finding[] = []
    const events = eventsOf(db, range)
    const snapshots = walk(snapshotsOf(db, range), () => looked.snapshots++)
    const rows = walk(directoryOf(db, range), () => looked.rows++)
    let user: string | null = null
    let inspection: Inspection | null = null
    let pending = 0
    let more = 0

    async function settle(userId: string): Promise<void> {
      const { findings: found } = await inspectAgain(bucket, userId)
      const room = FINDINGS_MAX - findings.length
      findings.push(...found.slice(0, room))
      more += Math.max(0, found.length - room)
    }
    async function endUser(): Promise<void> {
      if (!inspection || user === null) return
      const { findings: found, offline } = inspection.end()
      if (offline) looked.offlineUsers++
      looked.users++
      if (found.length > 0) await settle(user)
      inspection = null
    }
    /** Users before `next` of whom something is kept, but who have no events in this walk. */
    async function passNobodies(next: string | null): Promise<void> {
      for (;;) {
        const kept = [await snapshots.peek(), await rows.peek()]
        const [id] = kept.flatMap((item) => (item && (next === null || item.userId < next) ? item.userId : [])).sort()
        if (id === undefined) return
        await snapshots.takeOf(id)
        await rows.takeOf(id)
        await settle(id)
      }
    }

    for await (const event of events) {
      if (event.userId !== user) {
        await endUser()
        await passNobodies(event.userId)
        user = event.userId
        const [row = null] = await rows.takeOf(user)
        inspection = createInspection(rules, event, { snapshots: await snapshots.takeOf(user), row, parked: false })
      }
      inspection!.add(event)
      looked.events++
      if (++pending === PROGRESS_EVENTS) {
        onEvents(pending)
        pending = 0
      }
    }
    await endUser()
    await passNobodies(null)
    onEvents(pending)
    return { findings, more, looked }
  }

  return {
    /** What is to be done to look at everything that there is now. */
    async tasks(ranges: number): Promise<Task[]> {
      const heads = await selectHeads(db, buckets)
      const tasks: Task[] = []
      for (const [bucket, head] of heads.entries()) {
        tasks.push({ kind: 'followers', bucket })
        for (let after = 0; after < head; after += WINDOW)
          tasks.push({ kind: 'positions', bucket, after, upTo: Math.min(head, after + WINDOW) })
        const bounds = await selectBounds(db, bucket, ranges)
        for (const [i, after] of [null, ...bounds].entries())
          tasks.push({ kind: 'users', bucket, after, upTo: bounds[i] ?? null })
      }
      return tasks
    },

    /** Events in the log; what `run` counts up to. */
    async countEvents(): Promise<number> {
      return (await selectHeads(db, buckets)).reduce((sum, head) => sum + head, 0)
    },

    /** Does one of them; can be repeated. */
    async run(task: Task, onEvents: (count: number) => void = () => {}): Promise<Outcome> {
      const { kind, bucket } = task
      const nobody = { bucket, userId: null, tenantId: null, version: null }
      if (kind === 'users') return await inspectRange(task, onEvents)
      if (kind === 'followers') {
        const ahead = await selectAhead(db, bucket)
        const findings: Finding[] = ahead
          ? [
              {
                ...nobody,
                kind: 'LOG_SHORT',
                position: ahead.head + 1,
                detail: `The log ends at position ${ahead.head}, and was followed up to ${ahead.position} (${ahead.followers}).`
              }
            ]
          : []
        return { findings, more: 0, looked: { ...NOTHING } }
      }
      const holes = await selectMissingPositions(db, bucket, { ...task, limit: HOLES_MAX })
      const findings = holes.map(
        ({ from, to }): Finding => ({
          ...nobody,
          kind: 'POSITION_MISSING',
          position: from,
          detail: from === to ? `No event has position ${from}.` : `No events have the positions ${from} to ${to}.`
        })
      )
      return { findings, more: 0, looked: { ...NOTHING } }
    },

    /** Compares what is counted with the log, and, where the directory is right, with it; also what is kept of unique fields. Of no use when the log itself is not. */
    async counts({ directoryIsRight }: { directoryIsRight: boolean }): Promise<Finding[]> {
      const current = await isDirectoryCurrent()
      const found: Finding[] = []
      for (let bucket = 0; bucket < buckets; bucket++) {
        found.push(...(await selectWrongCounts(db, bucket, current ? projection.name : null)))
        if (current && directoryIsRight) found.push(...(await selectWrongDays(db, bucket)))
      }
      if (current && directoryIsRight) found.push(...(await selectWrongClaims(db, buckets, projection.name, null)))
      return found
    },

    /** Whose a user is; null without events. */
    tenantOf: (userId: string): Promise<string | null> => selectTenantOf(db, bucketOf(userId, buckets), userId),

    /** Everything about one user; `events` is 0 for nobody. */
    async user(userId: string) {
      const inspected = await inspectAgain(bucketOf(userId, buckets), userId)
      if (inspected.findings.length > 0 || !(await isDirectoryCurrent())) return inspected
      return { ...inspected, findings: await selectWrongClaims(db, buckets, projection.name, userId) }
    },

    isDirectoryCurrent
  }
}

/** `more` counts the findings beyond FINDINGS_MAX. */
export type Outcome = { findings: Finding[]; more: number; looked: Looked }

/** Findings of one task that are told. */
export const FINDINGS_MAX = 1000

const NOTHING: Looked = { users: 0, events: 0, snapshots: 0, rows: 0, offlineUsers: 0 }
const PROGRESS_EVENTS = 500

/** What is kept of somebody without events. */
function nobodys(
  bucket: number,
  userId: string,
  { snapshots, row }: Kept,
  { directoryAt }: InspectionRules
): Finding[] {
  const about = { bucket, userId, position: null }
  const findings: Finding[] = []
  const [first] = snapshots
  if (first)
    findings.push({
      ...about,
      kind: 'SNAPSHOT_OF_NOBODY',
      tenantId: first.tenantId,
      version: first.version,
      detail: `There are ${snapshots.length} of them, and no event.`
    })
  if (row && directoryAt !== null)
    findings.push({
      ...about,
      kind: 'READ_MODEL_OF_NOBODY',
      tenantId: String(row.row.tenantId),
      version: row.version,
      detail: `It shows version ${row.version}, and there is no event.`
    })
  return findings
}

/** A walk that is ordered by user, taken in step with another one. */
function walk<T extends { userId: string }>(items: AsyncGenerator<T>, onItem: () => void) {
  let next: T | null | undefined
  async function peek(): Promise<T | null> {
    if (next === undefined) {
      const { value, done } = await items.next()
      next = done ? null : value
    }
    return next
  }
  return {
    peek,
    /** Those of a user who is the next one, if any is. */
    async takeOf(userId: string): Promise<T[]> {
      const taken: T[] = []
      for (let item = await peek(); item?.userId === userId; item = await peek()) {
        taken.push(item)
        onItem()
        next = undefined
      }
      return taken
    }
  }
}

async function all<T>(items: AsyncGenerator<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

/** The id before this one, null before the first: a range begins after a user. */
function before(userId: string): string | null {
  const number = BigInt(`0x${userId.replaceAll('-', '')}`)
  if (number === 0n) return null
  const hex = (number - 1n).toString(16).padStart(32, '0')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
