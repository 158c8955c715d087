/** The users as they are: a directory to search, and what happened on each day. */
import { builtInTypes, type Catalog } from '../catalog.js'
import { storable } from '../formats.js'
import type { ProjectedEvent, Projection, ProjectionTable, Row, TableRow } from '../projection.js'
import { STATE_VERSION, type User } from '../user.js'

/** What users are found by. */
const directory: ProjectionTable = { name: 'user_read_model', key: ['userId'], reads: [] }

/** What every event changes of a user. */
const states: ProjectionTable = {
  name: 'user_read_state',
  key: ['userId'],
  reads: ['state', 'lastUpdatedVersion']
}

const KINDS = ['active', 'inactive', 'suspended', 'deleted', 'locked'] as const
type Kind = (typeof KINDS)[number]

const eventsOfDays: ProjectionTable = {
  name: 'user_activity_events',
  key: ['tenantId', 'day', 'eventType'],
  reads: ['events']
}
const days: ProjectionTable = { name: 'user_activity_days', key: ['tenantId', 'day'], reads: KINDS }

/** Raise it when the rows below become others for the same states. */
const ROWS_VERSION = 1

export const usersProjection: Projection = {
  name: 'users',
  // The rows hold states, so whatever makes states anew makes them anew. Each part only goes up.
  version: ROWS_VERSION + STATE_VERSION + sum(builtInTypes.map((type) => type.effectVersion + type.versions.length)),
  tables: [states, directory, eventsOfDays, days],
  keysOf: (event) => [stateKey(event), typeKey(event), dayKey(event)],
  apply(event, current, catalog) {
    const known = current(stateKey(event))
    const before = (known?.state ?? null) as User | null
    const version = (known?.lastUpdatedVersion ?? 0) as number
    if (event.version !== version + 1)
      throw new Error(`Version ${event.version} of user ${event.aggregateId} follows ${version}: events are missing.`)
    const after = stateAfter(event, before, catalog)
    const count = current(typeKey(event))
    return [
      { table: states, row: stateRow(after, event) },
      ...(before !== null && isFoundAlike(before, after)
        ? []
        : [{ table: directory, row: directoryRow(after, event) }]),
      {
        table: eventsOfDays,
        row: { ...typeKey(event).row, events: ((count?.events ?? 0) as number) + 1 }
      },
      ...movesOf(event, before, after, current)
    ]
  }
}

const dayOf = ({ createdAt }: ProjectedEvent): string => createdAt.slice(0, 10)
const stateKey = (event: ProjectedEvent): TableRow => ({ table: states, row: { userId: event.aggregateId } })
const dayKey = (event: ProjectedEvent): TableRow => ({
  table: days,
  row: { tenantId: event.tenantId, day: dayOf(event) }
})
const typeKey = (event: ProjectedEvent): TableRow => ({
  table: eventsOfDays,
  row: { tenantId: event.tenantId, day: dayOf(event), eventType: event.eventType }
})

const stateAfter = (event: ProjectedEvent, before: User | null, catalog: Catalog): User =>
  catalog.evolve({ tenantId: event.tenantId, userId: event.aggregateId }, before, event)

/** Longest text that is indexed, characters. Only effects of registered types can make longer ones; `state` has them whole. */
const INDEXED_MAX = 400
const indexed = (text: string): string => (text.length > INDEXED_MAX ? [...text].slice(0, INDEXED_MAX).join('') : text)
const indexedOrNull = (text: string | null): string | null => text && indexed(text)

/** The row by which the user of `state`, which was reached by `event`, is found. */
export function directoryRow(state: User, event: Pick<ProjectedEvent, 'aggregateId' | 'tenantId' | 'createdAt'>): Row {
  return {
    userId: event.aggregateId,
    tenantId: event.tenantId,
    username: indexed(state.username),
    email: indexed(state.email),
    fullName: indexedOrNull(state.fullName),
    status: indexed(state.status),
    roleIds: state.roleIds.map(indexed),
    lockedUntil: storable(state.lockedUntil),
    createdAt: storable(state.createdAt) ?? event.createdAt,
    deletedAt: storable(state.deletedAt)
  }
}

/** The row that holds `state`, which was reached by `event`. */
export function stateRow(
  state: User,
  event: Pick<ProjectedEvent, 'aggregateId' | 'tenantId' | 'version' | 'position' | 'createdAt'>
): Row {
  return {
    userId: event.aggregateId,
    tenantId: event.tenantId,
    changedAt: storable(state.updatedAt) ?? storable(state.createdAt) ?? event.createdAt,
    lastUpdatedVersion: event.version,
    lastPosition: event.position,
    status: indexed(state.status),
    lockedUntil: storable(state.lockedUntil),
    state
  }
}

const FOUND_BY = ['username', 'email', 'fullName', 'status', 'lockedUntil', 'createdAt', 'deletedAt'] as const

/** Whether two states of a user give the same row of the directory. That of one without a time of creation depends on the event. */
function isFoundAlike(one: User, other: User): boolean {
  return (
    FOUND_BY.every((field) => one[field] === other[field]) &&
    one.roleIds.length === other.roleIds.length &&
    one.roleIds.every((role, i) => role === other.roleIds[i]) &&
    storable(one.createdAt) !== null
  )
}

/** The row of the day if a user became another kind; a user is of one status, and may be locked besides. */
function movesOf(
  event: ProjectedEvent,
  before: User | null,
  after: User,
  current: (key: TableRow) => Row | null
): TableRow[] {
  const moved = KINDS.filter((kind) => isOf(kind, before) !== isOf(kind, after))
  if (moved.length === 0) return []
  const known = current(dayKey(event))
  const row: Row = { ...dayKey(event).row }
  for (const kind of KINDS)
    row[kind] = ((known?.[kind] ?? 0) as number) + Number(isOf(kind, after)) - Number(isOf(kind, before))
  return [{ table: days, row }]
}

const isOf = (kind: Kind, state: User | null): boolean =>
  state !== null &&
  (kind === 'locked' ? state.lockedUntil !== null && state.status !== 'deleted' : state.status === kind)

function sum(numbers: number[]): number {
  return numbers.reduce((total, each) => total + each, 0)
}
