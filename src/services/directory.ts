/** Finding users: pages, one of them, how many. Answers are of the read model, and say up to which event. */
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import type { DirectoryUser, UserFilter, UserMark, UserOrder } from '../domain/directory.js'
import { DomainError } from '../domain/errors.js'
import type { StreamKey } from '../domain/event.js'
import { countUsers, hasTrigrams, selectUser, selectUsers, sumUsers } from '../store/directory.js'
import type { Follow } from './follow.js'

/** `next` is where the next page goes on; null on the last. */
export type UserPage = { users: DirectoryUser[]; next: UserMark | null; position: number }

/** `exact` is false when there are more than were counted. */
export type UserCount = { count: number; exact: boolean; position: number }

/** Users that are counted one by one at most. */
export const COUNT_MAX = 10_000

export type DirectoryService = ReturnType<typeof createDirectoryService>

export function createDirectoryService({ db, follow, buckets }: { db: Db; follow: Follow; buckets: number }) {
  let trigrams: Promise<boolean> | null = null

  /** Asked once: the index comes and goes with a migration, and those run before anything else. */
  function findsWords(): Promise<boolean> {
    trigrams ??= hasTrigrams(db).catch((err) => {
      trigrams = null
      throw err
    })
    return trigrams
  }

  return {
    /** One page of users in an order. Throws PROJECTION_BEHIND. */
    async list(
      filter: UserFilter,
      order: UserOrder,
      { after, limit, atLeast }: { after: UserMark | undefined; limit: number; atLeast: number | undefined }
    ): Promise<UserPage> {
      await follow.reach(atLeast)
      const page = { after, limit: limit + 1, trigrams: await findsWords() }
      const found = await follow.filled(await selectUsers(db, filter, order, page))
      const users = found.users.slice(0, limit)
      const last = found.users.length > limit ? users.at(-1)! : null
      return { users, next: last && { key: last.key, userId: last.userId }, position: found.position }
    },

    /** One user, also one who is deleted. Throws USER_NOT_FOUND, PROJECTION_BEHIND. */
    async read(key: StreamKey, atLeast: number | undefined): Promise<{ user: DirectoryUser; position: number }> {
      await follow.reach(atLeast, key.userId)
      const { user, position } = await follow.filled(await selectUser(db, bucketOf(key.userId, buckets), key))
      if (user) return { user, position }
      throw new DomainError(
        'USER_NOT_FOUND',
        `The read model has no user ${key.userId}. Check the id; if the user was only just created, ask with atLeast and the position that the append answered.`
      )
    },

    /** How many users there are: exactly when only statuses matter, else counted up to 10,000. Throws PROJECTION_BEHIND. */
    async count(filter: UserFilter, atLeast: number | undefined): Promise<UserCount> {
      await follow.reach(atLeast)
      const { tenantId, statuses, includeDeleted, ...others } = filter
      if (Object.values(others).every((value) => value === undefined)) {
        const counted = statuses ?? ['active', 'inactive', 'suspended', ...(includeDeleted ? ['deleted'] : [])]
        return { ...(await follow.filled(await sumUsers(db, tenantId, counted))), exact: true }
      }
      const options = { max: COUNT_MAX + 1, trigrams: await findsWords() }
      const { count, position } = await follow.filled(await countUsers(db, filter, options))
      return { count: Math.min(count, COUNT_MAX), exact: count <= COUNT_MAX, position }
    }
  }
}
