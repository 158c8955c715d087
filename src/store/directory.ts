/**
 * Reads of the directory of users, each one statement: what it finds and the position that it reflects are of one moment. They
 * are planned for the values at hand, since which index serves depends on how common a value is.
 */
import type { Db, Param } from '../db/client.js'
import {
  type DirectoryUser,
  directoryUser,
  type KeptUser,
  literal,
  type UserFilter,
  type UserMark,
  type UserOrder,
  type UserSort,
  wordsOf
} from '../domain/directory.js'
import { positionOf, REFLECTED, type Reflected, reflectedIn } from './reflected.js'

/** Columns of the order that pages are in, as the indexes have them. */
const KEYS: Record<UserSort, string> = {
  createdAt: '"createdAt"',
  updatedAt: '"changedAt"',
  username: 'lower(username) COLLATE "C"',
  email: 'lower(email) COLLATE "C"'
}
const isTime = (sort: UserSort): boolean => sort === 'createdAt' || sort === 'updatedAt'

/** Of how many users words are looked for, one after the other in the order of a page, before their index is asked. */
const NEARBY = 5_000
/** What words are looked for in. */
const NAMES = 'username, email, "fullName", search'

/** What PLACE is told from. */
const COLUMNS = 'bucket, "userId", "tenantId", "lockedUntil", "createdAt"'
/** What is told of those on a page by what they are found by; the rest by their states. */
const PLACE = `bucket, "userId", "tenantId", coalesce("lockedUntil" > now(), false) AS "accountLocked", "createdAt"`

/** What is shown of the users of a page (a subquery of PLACE): looked up for these alone, and not for all among whom they were found. */
const shownOf = (page: string): string => `
  SELECT place.*, kept.* FROM ${page} place
  CROSS JOIN LATERAL (
    SELECT s."lastUpdatedVersion", s."lastPosition", s.state FROM user_read_state s
    WHERE s.bucket = place.bucket AND s."userId" = place."userId" AND s."tenantId" = place."tenantId" OFFSET 0) kept`

type Order = { key: string; way: 'ASC' | 'DESC'; limit: string }

const users = (columns: string, conditions: string[], { key }: Order): string =>
  `SELECT ${columns}, ${key} AS key FROM users_of_tenants() WHERE ${conditions.join(' AND ')}`

/** The first of an order. */
const inOrder = (columns: string, conditions: string[], order: Order): string =>
  `${users(columns, conditions, order)} ORDER BY ${order.key} ${order.way}, "userId" ${order.way} LIMIT ${order.limit}`

/**
 * The first of an order who have words. The planner cannot know how many have a word, nor where in the order: of a million users it
 * followed the order for seconds past those who do not. So the order is followed for a while only; when too few were found there,
 * the index of words tells them all. The bound of that while is a subquery so that the planner does not know it either: it then plans for
 * a tenth of the order, and so follows it, and does not sort everybody to have so many at once.
 */
function searched(words: string[], conditions: string[], order: Order): string {
  const first = `ORDER BY key ${order.way}, "userId" ${order.way} LIMIT ${order.limit}`
  const nearby = inOrder(`${COLUMNS}, ${NAMES}`, conditions, { ...order, limit: `(SELECT ${NEARBY})` })
  return `
    WITH near AS MATERIALIZED (SELECT ${COLUMNS}, key FROM (${nearby}) nearby WHERE ${words.join(' AND ')} ${first}),
      anywhere AS MATERIALIZED (${users(COLUMNS, [...conditions, ...words], order)})
    SELECT ${PLACE}, key FROM (
      TABLE near UNION SELECT * FROM anywhere WHERE (SELECT count(*) FROM near) < ${order.limit}) found
    ${first}`
}

type Page = { position: string | null; users: string }

/** The next `limit` users of an order, after `after`, each with the key of its place in it. */
export async function selectUsers(
  db: Db,
  filter: UserFilter,
  { sort, descending }: UserOrder,
  page: { after: UserMark | undefined; limit: number; trigrams: boolean }
): Promise<Reflected & { users: (DirectoryUser & { key: string })[] }> {
  const bind = binder()
  const way: Order['way'] = descending ? 'DESC' : 'ASC'
  const conditions = conditionsOf(filter, bind)
  if (sort === 'updatedAt') conditions.push(...conditionsOfState(filter, bind))
  if (page.after) {
    const { key, userId } = page.after
    const place = `(${bind(key)}::${isTime(sort) ? 'timestamptz' : 'text'}, ${bind(userId)}::uuid)`
    conditions.push(`(${KEYS[sort]}, "userId") ${descending ? '<' : '>'} ${place}`)
  }
  const words = search(filter.q, page.trigrams, bind)
  const order = { key: KEYS[sort], way, limit: `${bind(page.limit)}::integer` }
  const found = words.length === 0 ? inOrder(PLACE, conditions, order) : searched(words, conditions, order)
  const [row] = await db.as(filter.tenantId).query<Page>(
    `SELECT ${REFLECTED} AS position, (
       SELECT coalesce(json_agg(found), '[]') FROM (${shownOf(`(${found})`)}
         ORDER BY place.key ${way}, place."userId" ${way}) found)::text AS users`,
    bind.values,
    ONCE
  )
  const users = (JSON.parse(row!.users) as (KeptUser & { key: string })[]).map(({ key, ...kept }) => ({
    ...shown(kept),
    key: isTime(sort) ? instant(key) : key
  }))
  return { position: positionOf(row!), users }
}

/** One user; null if the directory has no such user of the tenant. `position` is of the user's bucket. */
export async function selectUser(
  db: Db,
  bucket: number,
  { tenantId, userId }: { tenantId: string; userId: string }
): Promise<Reflected & { user: DirectoryUser | null }> {
  const [row] = await db.as(tenantId).query<{ position: string | null; user: string | null }>(
    `SELECT ${reflectedIn('$1')} AS position, (
       SELECT row_to_json(found) FROM (
         ${shownOf(`(SELECT ${PLACE} FROM users_of_tenants()
           WHERE bucket = $1::smallint AND "userId" = $2::uuid AND "tenantId" = $3::uuid)`)}) found)::text AS user`,
    [bucket, userId, tenantId],
    { repeatable: true }
  )
  return { position: positionOf(row!), user: row!.user === null ? null : shown(JSON.parse(row!.user) as KeptUser) }
}

/** How many users there are, counted no further than `max`. */
export async function countUsers(
  db: Db,
  filter: UserFilter,
  { max, trigrams }: { max: number; trigrams: boolean }
): Promise<Reflected & { count: number }> {
  const bind = binder()
  const conditions = [...conditionsOf(filter, bind), ...search(filter.q, trigrams, bind)]
  const [row] = await db.as(filter.tenantId).query<{ position: string | null; count: string }>(
    `SELECT ${REFLECTED} AS position, (
       SELECT count(*) FROM (SELECT FROM users_of_tenants() WHERE ${conditions.join(' AND ')} LIMIT ${bind(max)}::integer) found) AS count`,
    bind.values,
    ONCE
  )
  return { position: positionOf(row!), count: Number(row!.count) }
}

/** How many users of these statuses there are, from the counts of days: as quick for a million as for one. */
export async function sumUsers(
  db: Db,
  tenantId: string,
  statuses: readonly string[]
): Promise<Reflected & { count: number }> {
  const sum = STATUSES.filter((status) => statuses.includes(status)).map((status) => `sum(${status})`)
  const acting = db.as(tenantId)
  const [row] = await acting.query<{ position: string | null; count: string | null }>(
    `SELECT ${REFLECTED} AS position, (SELECT ${sum.join(' + ') || '0'} FROM user_activity_days WHERE "tenantId" = $1::uuid) AS count`,
    [tenantId],
    { repeatable: true }
  )
  return { position: positionOf(row!), count: Number(row!.count ?? 0) }
}

/** Whether words can be found anywhere in a name: the index for it needs the extension pg_trgm. */
export async function hasTrigrams(db: Db): Promise<boolean> {
  const [row] = await db.query<{ found: boolean }>(
    `SELECT to_regclass('"IDX_READ_MODEL_SEARCH"') IS NOT NULL AS found`,
    [],
    { repeatable: true }
  )
  return row!.found
}

/** A plan for these values alone, made anew each time. */
const ONCE = { repeatable: true, prepare: false }
const STATUSES = ['active', 'inactive', 'suspended', 'deleted'] as const

type Binder = ((value: Param) => string) & { values: Param[] }

/** Gives values the names of parameters. */
function binder(): Binder {
  const values: Param[] = []
  return Object.assign((value: Param) => `$${values.push(value)}`, { values })
}

function conditionsOf(filter: UserFilter, bind: Binder): string[] {
  const { username, email, statuses, role, locked } = filter
  const conditions = [`"tenantId" = ${bind(filter.tenantId)}::uuid`]
  const add = (value: Param | undefined, condition: (bound: string) => string) => {
    if (value !== undefined) conditions.push(condition(bind(value)))
  }
  if (!filter.includeDeleted && !statuses?.includes('deleted')) conditions.push('"deletedAt" IS NULL')
  add(username, (bound) => `lower(username) COLLATE "C" = lower(${bound}::text)`)
  add(email, (bound) => `lower(email) COLLATE "C" = lower(${bound}::text)`)
  add(statuses && textArray(statuses), (bound) => `status = ANY (${bound}::text::text[])`)
  add(role === undefined ? undefined : textArray([role]), (bound) => `"roleIds" @> ${bound}::text::text[]`)
  if (locked !== undefined)
    conditions.push(locked ? '"lockedUntil" > now()' : '("lockedUntil" IS NULL OR "lockedUntil" <= now())')
  add(filter.createdFrom, (bound) => `"createdAt" >= ${bound}::timestamptz`)
  add(filter.createdTo, (bound) => `"createdAt" < ${bound}::timestamptz`)
  add(filter.updatedFrom, (bound) => `${KEYS.updatedAt} >= ${bound}::timestamptz`)
  add(filter.updatedTo, (bound) => `${KEYS.updatedAt} < ${bound}::timestamptz`)
  return conditions
}

/**
 * What is kept beside the states as well, so that in the order of changes others are passed over there, and not looked up to be. Written so
 * that the planner cannot count it: it knows of how many users it holds from the same condition on what they are found by.
 */
function conditionsOfState({ statuses, locked }: UserFilter, bind: Binder): string[] {
  return [
    '"changedAt" IS NOT NULL',
    ...(statuses ? [`coalesce("stateStatus" = ANY (${bind(textArray(statuses))}::text::text[]), false)`] : []),
    ...(locked ? ['coalesce("stateLockedUntil" > now(), false)'] : [])
  ]
}

/** An array as PostgreSQL writes it. */
const textArray = (texts: readonly string[]): string =>
  `{${texts.map((text) => `"${text.replaceAll(/["\\]/g, '\\$&')}"`).join(',')}}`

/** All words anywhere, or the whole at the beginning of username, email or full name. */
function search(q: string | undefined, trigrams: boolean, bind: Binder): string[] {
  if (q === undefined) return []
  const words = trigrams ? wordsOf(q) : null
  if (words) return words.map((word) => `search LIKE '%' || lower(${bind(literal(word))}::text) || '%'`)
  const prefix = `lower(${bind(literal(q.trim()))}::text) || '%'`
  const columns = ['username', 'email', '"fullName"'].map((column) => `lower(${column}) COLLATE "C" LIKE ${prefix}`)
  return [`(${columns.join(' OR ')})`]
}

const instant = (text: string): string => new Date(text).toISOString()
const shown = (kept: KeptUser): DirectoryUser => directoryUser({ ...kept, createdAt: instant(kept.createdAt) })
