/**
 * What is wrong with a user: the events are looked at one after the other and folded, and what is kept of the user is compared
 * with the outcome. Where the events themselves are wrong, nothing is compared from there on: one damage is one finding.
 */
import type { Operation } from 'fast-json-patch'
import { bucketOf } from './bucket.js'
import { type Catalog, CREATED, DELETED, UnknownRules } from './catalog.js'
import { differenceOf } from './compare-states.js'
import { DomainError } from './errors.js'
import type { JsonObject, StreamKey } from './event.js'
import { instantOf } from './formats.js'
import type { Row } from './projection.js'
import { directoryRow, stateRow } from './projections/users.js'
import type { User } from './user.js'

export const FINDINGS = {
  VERSION_MISSING: 'events of a user are not there',
  EVENT_UNKNOWN: 'an event is of a type, or a version of it, that nobody knows',
  EVENT_INVALID: 'the data of an event is not what its type says',
  EVENT_ORDER: "positions or times of a user's events do not go up",
  EVENT_BUCKET: 'events of a user are in a bucket that is not theirs',
  EVENT_TENANT: 'events of one user belong to different tenants',
  LIFE_CYCLE: 'a user is created twice, or never, or goes on after the end',
  SNAPSHOT_DIFFERS: 'the state of a snapshot is not what the events say',
  SNAPSHOT_BEYOND: 'a snapshot is of a version that the user has not reached',
  SNAPSHOT_TENANT: 'a snapshot belongs to another tenant than its user',
  SNAPSHOT_OF_NOBODY: 'there are snapshots of a user without events',
  STATE_DIFFERS: 'the state that is served is not what the events say',
  READ_MODEL_DIFFERS: 'the directory shows something else than the events say',
  READ_MODEL_STALE: 'the directory lacks events that were applied to it',
  READ_MODEL_BEYOND: 'the directory shows a version that the user has not reached',
  READ_MODEL_MISSING: 'the directory lacks a user',
  READ_MODEL_OF_NOBODY: 'the directory shows a user without events',
  POSITION_MISSING: 'positions of the log are not there',
  LOG_SHORT: 'somebody has followed the log further than it goes: events at its end are gone',
  COUNTS_DIFFER: 'counts of events are not those of the log',
  CLAIM_DIFFERS: 'what is kept of the unique fields of a user is not what the events say'
} as const

export type FindingKind = keyof typeof FINDINGS

export type Finding = {
  kind: FindingKind
  bucket: number
  userId: string | null
  tenantId: string | null
  /** the first that it is about */
  version: number | null
  position: number | null
  /** what was found and what was expected */
  detail: string
}

/** An event as it is inspected; `eventData` is null where its partition is offline. */
export type InspectedEvent = {
  userId: string
  tenantId: string
  version: number
  position: number
  eventType: string
  schemaVersion: number
  createdAtMs: number
  eventData: JsonObject | null
}

export type InspectedSnapshot = {
  userId: string
  tenantId: string
  version: number
  fingerprint: string
  state: unknown
}

/** A row of the directory, times in ms. */
export type InspectedRow = { userId: string; version: number; row: Row }

/** What is kept of a user besides the events. `parked`: the directory put the user aside, which is known. */
export type Kept = { snapshots: readonly InspectedSnapshot[]; row: InspectedRow | null; parked: boolean }

export type InspectionRules = {
  bucket: number
  buckets: number
  catalogOf(tenantId: string): Catalog
  /** position up to which the directory holds everything; null: it is not compared */
  directoryAt: number | null
}

export type Inspection = ReturnType<typeof createInspection>

/** Begins with the first event of the user. */
export function createInspection(rules: InspectionRules, first: InspectedEvent, kept: Kept) {
  const { userId, tenantId } = first
  const { bucket, directoryAt } = rules
  const key: StreamKey = { userId, tenantId }
  const catalog = rules.catalogOf(tenantId)
  const findings: Finding[] = []
  const { row } = kept
  const snapshots = [...kept.snapshots].sort((a, b) => a.version - b.version)
  let last: InspectedEvent | null = null
  let state: User | null = null
  /** whether the state is known: no event so far was wrong or away */
  let known = true
  let broken = false
  let offline = false

  function found(kind: FindingKind, detail: string, at: Partial<Pick<Finding, 'version' | 'position'>> = {}): void {
    findings.push({ kind, bucket, userId, tenantId, version: null, position: null, ...at, detail })
  }

  /** The first damage of the events is told, and what follows from it is not. */
  function breaks(kind: FindingKind, event: InspectedEvent, detail: string): void {
    if (!broken) found(kind, detail, { version: event.version, position: event.position })
    broken = true
    known = false
  }

  function lookAt(event: InspectedEvent): void {
    const { version, position, eventType, createdAtMs } = event
    const before = last?.version ?? 0
    if (version !== before + 1)
      breaks(
        'VERSION_MISSING',
        { ...event, version: before + 1 },
        `${versions(before + 1, version - 1)} not there; the next is ${version}.`
      )
    if (event.tenantId !== tenantId)
      breaks(
        'EVENT_TENANT',
        event,
        `Version ${version} belongs to tenant ${event.tenantId}, those before to ${tenantId}.`
      )
    if (last && (position <= last.position || createdAtMs < last.createdAtMs))
      breaks(
        'EVENT_ORDER',
        event,
        `Version ${version} has position ${position} of ${instantOf(createdAtMs)}, the one before has ${last.position} of ${instantOf(last.createdAtMs)}.`
      )
    if (version === 1 && eventType !== CREATED)
      breaks('LIFE_CYCLE', event, `The first event is ${eventType}, expected ${CREATED}.`)
    if (version > 1 && eventType === CREATED)
      breaks('LIFE_CYCLE', event, `Version ${version} creates the user once more.`)
    if (last?.eventType === DELETED)
      breaks('LIFE_CYCLE', event, `Version ${version} (${eventType}) follows ${DELETED}.`)
  }

  function evolve(event: InspectedEvent, eventData: JsonObject): void {
    const { version, eventType, schemaVersion } = event
    try {
      catalog.schemaVersionOf({ eventType, schemaVersion, eventData }, '')
      if (known)
        state = catalog.evolve(key, state, {
          version,
          eventType,
          schemaVersion,
          eventData,
          createdAt: instantOf(event.createdAtMs)
        })
    } catch (err) {
      if (err instanceof UnknownRules || (err instanceof DomainError && err.code !== 'INVALID_EVENT_DATA'))
        breaks(
          'EVENT_UNKNOWN',
          event,
          `Version ${version} is of ${eventType} ${schemaVersion}, which is not registered.`
        )
      else breaks('EVENT_INVALID', event, `Version ${version}: ${(err as Error).message}`)
    }
  }

  function compareSnapshots(version: number): void {
    while (snapshots[0] && snapshots[0].version <= version) {
      const snapshot = snapshots.shift()!
      if (snapshot.version < version || !known || snapshot.fingerprint !== catalog.fingerprint) continue
      const operations = differenceOf(key, snapshot.state, state!)
      if (snapshot.tenantId === tenantId && operations.length > 0)
        found('SNAPSHOT_DIFFERS', `It should be different at ${placesOf(operations)}.`, { version })
    }
  }

  function compareRow(event: InspectedEvent): void {
    if (!row || !known || directoryAt === null || row.version !== event.version) return
    const of = {
      aggregateId: userId,
      tenantId,
      version: event.version,
      position: event.position,
      createdAt: instantOf(event.createdAtMs)
    }
    const right: Row = { ...directoryRow(state!, of), ...stateRow(state!, of) }
    const wrong = Object.keys(right).filter((name) =>
      name === 'state'
        ? differenceOf(key, row.row.state, state!).length > 0
        : JSON.stringify(inMs(name, right[name])) !== JSON.stringify(row.row[name])
    )
    if (wrong.length > 0) found('READ_MODEL_DIFFERS', `It is wrong in ${wrong.join(', ')}.`, { version: event.version })
  }

  function checkApplied(event: InspectedEvent): void {
    if (directoryAt === null || broken || kept.parked || event.position > directoryAt) return
    if (!row && event.version === 1)
      found('READ_MODEL_MISSING', `It holds everything up to position ${directoryAt}, and not this user.`, {
        version: 1,
        position: event.position
      })
    if (row && event.version === row.version + 1)
      found('READ_MODEL_STALE', `It shows version ${row.version}, and ${event.version} was applied.`, {
        version: event.version,
        position: event.position
      })
  }

  if (bucketOf(userId, rules.buckets) !== bucket)
    found('EVENT_BUCKET', `They are in bucket ${bucket}, expected ${bucketOf(userId, rules.buckets)}.`)
  for (const snapshot of snapshots)
    if (snapshot.tenantId !== tenantId)
      found('SNAPSHOT_TENANT', `It belongs to tenant ${snapshot.tenantId}, the user to ${tenantId}.`, {
        version: snapshot.version
      })

  return {
    /** The next event, in the order of versions. */
    add(event: InspectedEvent): void {
      lookAt(event)
      if (event.eventData === null) {
        offline = true
        known = false
      } else evolve(event, event.eventData)
      compareSnapshots(event.version)
      compareRow(event)
      checkApplied(event)
      last = event
    },

    /** After the last event. `offline`: some events could not be read, so the state was not compared. */
    end(): { findings: Finding[]; offline: boolean } {
      const version = last?.version ?? 0
      if (!broken) {
        for (const snapshot of snapshots)
          found('SNAPSHOT_BEYOND', `It is of version ${snapshot.version}, and the newest event of ${version}.`, {
            version: snapshot.version
          })
        if (row && row.version > version)
          found('READ_MODEL_BEYOND', `It shows version ${row.version}, and the newest event is ${version}.`, {
            version: row.version
          })
      }
      return { findings, offline }
    }
  }
}

const versions = (from: number, to: number): string =>
  from === to ? `Version ${from} is` : `Versions ${from} to ${to} are`

/** As the row is read: times in ms. */
const inMs = (name: string, value: unknown): unknown =>
  (name.endsWith('At') || name === 'lockedUntil') && typeof value === 'string' ? Date.parse(value) : value

const PLACES_SHOWN = 5

const placesOf = (operations: readonly Operation[]): string =>
  operations
    .slice(0, PLACES_SHOWN)
    .map(({ path }) => path || 'its root')
    .join(', ') + (operations.length > PLACES_SHOWN ? ' …' : '')
