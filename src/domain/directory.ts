/** The directory of users: what is asked of it, and how it shows them. */
import type { JsonObject } from './event.js'
import { storable } from './formats.js'
import type { User } from './user.js'

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

/** A user as the directory shows it. */
export type DirectoryUser = {
  userId: string
  tenantId: string
  username: string
  email: string
  fullName: string | null
  phone: string | null
  status: User['status']
  roleIds: string[]
  totalLogins: number
  failedLoginAttempts: number
  /** whether lockedUntil is still to come */
  accountLocked: boolean
  lockedUntil: string | null
  lastLoginAt: string | null
  attributes: JsonObject
  createdAt: string
  updatedAt: string | null
  deletedAt: string | null
  lastUpdatedVersion: number
  lastPosition: number
}

/** What is kept of a user; `accountLocked` is told by the clock of the database, as the filter `locked` is. */
export type KeptUser = Pick<
  DirectoryUser,
  'userId' | 'tenantId' | 'accountLocked' | 'createdAt' | 'lastUpdatedVersion' | 'lastPosition'
> & { state: User }

/** The user as shown. Times and counts that an effect has spoilt are shown as nothing, and as the largest that clients can read. */
export function directoryUser({ state, ...kept }: KeptUser): DirectoryUser {
  return {
    userId: kept.userId,
    tenantId: kept.tenantId,
    username: state.username,
    email: state.email,
    fullName: state.fullName,
    phone: state.phone,
    status: state.status,
    roleIds: state.roleIds,
    totalLogins: countable(state.totalLogins),
    failedLoginAttempts: countable(state.loginAttempts),
    accountLocked: kept.accountLocked,
    lockedUntil: storable(state.lockedUntil),
    lastLoginAt: storable(state.lastLoginAt),
    attributes: state.attributes,
    createdAt: kept.createdAt,
    updatedAt: storable(state.updatedAt),
    deletedAt: storable(state.deletedAt),
    lastUpdatedVersion: kept.lastUpdatedVersion,
    lastPosition: kept.lastPosition
  }
}

const countable = (count: number): number => Math.min(count, Number.MAX_SAFE_INTEGER)
