/** The newest state of a user, for whoever may read it. */
import { useRef } from 'preact/hooks'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { type Loaded, useLoaded } from '../../api/use-loaded.js'

export type UserNow = AnswerOf<'/users/{userId}/state'>

/**
 * Loads nothing when the credentials cannot read states. The state of a user of many events may take its time: a page that has
 * something more urgent to load says `wait` until that is there, once for each user.
 */
export function useUser(userId: string, wait = false): Loaded<UserNow> {
  const { api, can } = useSession()
  const begun = useRef<string | null>(null)
  if (!wait) begun.current = userId
  return useLoaded(can(['state:read']) && begun.current === userId ? userId : null, (signal) =>
    answerOf<UserNow>(api.GET('/users/{userId}/state', { params: { path: { userId } }, signal }))
  )
}
