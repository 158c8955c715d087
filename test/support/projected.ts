/** What the projection of users made of a log, and what it should have made of it, told by a fold of every user's events. */
import type { Test } from 'tap'
import { openDb } from '../../src/db/client.js'
import type { FoldEvent } from '../../src/domain/event.js'
import { fold, nothingFolded } from '../../src/domain/replay.js'
import type { User } from '../../src/domain/user.js'
import { createEventTypeService, type EventTypeService } from '../../src/services/event-types.js'
import type { TestDatabase } from './db.js'
import { until } from './wait.js'

/** Rows by key, as the database shows them. */
export type Projected = { users: Record<string, object>; events: Record<string, number>; days: Record<string, object> }

const USERS = `
  SELECT "userId"::text AS key, jsonb_build_object('bucket', bucket, 'tenantId', "tenantId", 'username', username, 'email', email,
    'fullName', "fullName", 'status', m.status, 'roleIds', "roleIds", 'lockedUntil', extract(epoch FROM m."lockedUntil") * 1000,
    'createdAt', extract(epoch FROM "createdAt") * 1000, 'deletedAt', extract(epoch FROM "deletedAt") * 1000,
    'changedAt', extract(epoch FROM "changedAt") * 1000, 'alike', (m.status, m."lockedUntil") IS NOT DISTINCT FROM (s.status, s."lockedUntil"),
    'version', "lastUpdatedVersion", 'position', "lastPosition", 'state', state)::text AS row
  FROM user_read_model m FULL JOIN user_read_state s USING (bucket, "userId", "tenantId")`
const EVENTS = `SELECT concat_ws('/', bucket, "tenantId", day, "eventType") AS key, events::text AS row FROM user_activity_events`
const DAYS = `
  SELECT concat_ws('/', bucket, "tenantId", day) AS key,
    jsonb_build_object('active', active, 'inactive', inactive, 'suspended', suspended, 'deleted', deleted, 'locked', locked)::text AS row
  FROM user_activity_days`

/** All rows of the tables that serve. */
export async function projectedIn({ run }: Pick<TestDatabase, 'run'>): Promise<Projected> {
  const rows = async (text: string) => {
    const found = await run<{ key: string; row: string }>(`${text} ORDER BY 1`)
    return Object.fromEntries(found.map(({ key, row }) => [key, JSON.parse(row)]))
  }
  return { users: await rows(USERS), events: await rows(EVENTS), days: await rows(DAYS) }
}

type LogRow = Omit<FoldEvent, 'eventData'> & {
  bucket: number
  position: string
  aggregateId: string
  tenantId: string
  eventData: string
}

/** The rows that the log asks for, under the event types that are registered now. */
export async function expectedOf(database: TestDatabase): Promise<Projected> {
  const log = await database.run<LogRow>(
    `SELECT bucket, position, "aggregateId", "tenantId", version, "eventType", "schemaVersion", "eventData"::text,
       to_char("createdAt" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "createdAt"
     FROM user_events ORDER BY "aggregateId", version`
  )
  const db = openDb(database.url, { poolMax: 1 })
  try {
    const eventTypes = createEventTypeService({ db, onPatchFailed: () => {} })
    await eventTypes.refresh()
    return expected(log, eventTypes)
  } finally {
    await db.close()
  }
}

function expected(log: readonly LogRow[], eventTypes: EventTypeService): Projected {
  const found: Projected = { users: {}, events: {}, days: {} }
  const days: Record<string, Record<string, number>> = {}
  const folded = new Map<string, typeof nothingFolded>()
  for (const row of log) {
    const { bucket, aggregateId: userId, tenantId, eventType, position } = row
    const event: FoldEvent = { ...row, eventData: JSON.parse(row.eventData) }
    const before = folded.get(userId) ?? nothingFolded
    const after = fold(eventTypes.of(tenantId), { userId, tenantId }, before, [event])
    folded.set(userId, after)
    const day = `${bucket}/${tenantId}/${event.createdAt.slice(0, 10)}`
    found.events[`${day}/${eventType}`] = (found.events[`${day}/${eventType}`] ?? 0) + 1
    for (const [kind, change] of changes(before.state, after.state!)) {
      days[day] ??= { active: 0, inactive: 0, suspended: 0, deleted: 0, locked: 0 }
      days[day][kind]! += change
    }
    found.users[userId] = { bucket, version: event.version, position: Number(position), ...shownOf(after.state!) }
  }
  // Changes of a day that cancel each other leave a row of zeros where they came by different events.
  found.days = days
  return JSON.parse(JSON.stringify(found))
}

/** How many more of each kind there are after an event; each user is of one status, and locked besides. */
function changes(before: User | null, after: User): [kind: string, change: number][] {
  const kinds = (user: User | null) =>
    user === null ? [] : [user.status, ...(user.lockedUntil !== null && user.status !== 'deleted' ? ['locked'] : [])]
  const [left, entered] = [kinds(before), kinds(after)]
  return [
    ...left.filter((kind) => !entered.includes(kind)).map((kind): [string, number] => [kind, -1]),
    ...entered.filter((kind) => !left.includes(kind)).map((kind): [string, number] => [kind, 1])
  ]
}

function shownOf(state: User) {
  const ms = (text: string | null) => text && Date.parse(text)
  return {
    tenantId: state.tenantId,
    username: state.username,
    email: state.email,
    fullName: state.fullName,
    status: state.status,
    roleIds: state.roleIds,
    lockedUntil: ms(state.lockedUntil),
    createdAt: ms(state.createdAt),
    deletedAt: ms(state.deletedAt),
    changedAt: ms(state.updatedAt ?? state.createdAt),
    alike: true,
    state
  }
}

/** Waits until the tables that serve hold what the log asks for, and claims that they do. */
export async function becomesExact(
  t: Test,
  database: TestDatabase,
  message: string,
  timeoutMs = 30_000
): Promise<void> {
  let [found, wanted] = [await projectedIn(database), await expectedOf(database)]
  const isExact = async (): Promise<boolean> => {
    if (same(found, wanted)) return true
    ;[found, wanted] = [await projectedIn(database), await expectedOf(database)]
    return same(found, wanted)
  }
  await until(isExact, { timeoutMs, everyMs: 50 }).catch(() => {})
  t.strictSame(sorted(found), sorted(wanted), message)
}

/** Objects that hold the same, whatever the order of their keys. */
const same = (one: unknown, other: unknown): boolean => JSON.stringify(sorted(one)) === JSON.stringify(sorted(other))

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)])
  )
}
