/** What is asked of the directory of users. */

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
