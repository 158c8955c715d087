/** What is asked of the directory of users, and the cursors of its pages. */
import { DomainError } from './errors.js'
import { parseInstant } from './formats.js'

export const USER_SORTS = ['createdAt', 'updatedAt', 'username', 'email'] as const
export type UserSort = (typeof USER_SORTS)[number]

/** Which users of a tenant; what is absent does not matter. */
export type UserFilter = {
  tenantId: string
  /** the whole of it, in either case */
  username?: string | undefined
  email?: string | undefined
  /** words of username, email or full name */
  q?: string | undefined
  /** any of these; deleted users are left out unless it names them or `includeDeleted` is set */
  statuses?: readonly string[] | undefined
  includeDeleted: boolean
  role?: string | undefined
  /** whether a lock holds now */
  locked?: boolean | undefined
  /** inclusive */
  createdFrom?: string | undefined
  /** exclusive */
  createdTo?: string | undefined
  /** of the newest change, or the creation of who was never changed; inclusive */
  updatedFrom?: string | undefined
  /** exclusive */
  updatedTo?: string | undefined
}

/** Users of one sort key are in the order of their ids, in the same direction. */
export type UserOrder = { sort: UserSort; descending: boolean }

/** The last user of a page: sort key, and id. */
export type UserMark = { key: string; userId: string }

/** The cursor that goes on behind `mark`. */
export const encodeUserCursor = ({ sort, descending }: UserOrder, { key, userId }: UserMark): string =>
  Buffer.from(JSON.stringify([1, sort, descending ? 'd' : 'a', userId, key])).toString('base64url')

/** What stands in a cursor. Throws CURSOR_MALFORMED if it was not made for this order. */
export function decodeUserCursor(cursor: string, order: UserOrder): UserMark {
  const [, , , userId, key] = partsOf(cursor)
  if (typeof userId === 'string' && UUID.test(userId) && typeof key === 'string' && isKey(key, order.sort)) {
    // There is one way to write a cursor, and the order is a part of it.
    if (encodeUserCursor(order, { key, userId }) === cursor) return { key, userId }
  }
  throw new DomainError(
    'CURSOR_MALFORMED',
    'The cursor is not one that this route gave for this order. Send `next` of the page before, unchanged, with the same sort and order.'
  )
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

function partsOf(cursor: string): unknown[] {
  try {
    const parts = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    return Array.isArray(parts) ? parts : []
  } catch {
    return []
  }
}

const isKey = (key: string, sort: UserSort): boolean =>
  sort === 'username' || sort === 'email' ? !/[\0\ud800-\udfff]/u.test(key) : parseInstant(key) === key

/** Shortest word that an index of trigrams can find. */
const TRIGRAM = 3
const WORDS_MAX = 5

/**
 * The words of a search in lower case, each to be found anywhere, or null if none of them is long enough for that: then the
 * whole is looked for at the beginning only. At most 5 words; what comes after belongs to the fifth.
 */
export function wordsOf(q: string): string[] | null {
  const words = q.trim().split(/\s+/)
  const found =
    words.length > WORDS_MAX ? [...words.slice(0, WORDS_MAX - 1), words.slice(WORDS_MAX - 1).join(' ')] : words
  return found.some((word) => [...word].length >= TRIGRAM) ? found : null
}

/** `text` as a pattern of LIKE that means nothing but itself. */
export const literal = (text: string): string => text.replaceAll(/[\\%_]/g, '\\$&')
