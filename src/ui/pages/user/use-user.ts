/** The newest state of a user, for whoever may read it. */
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { type Loaded, useLoaded } from '../../api/use-loaded.js'

export type UserNow = AnswerOf<'/users/{userId}/state'>

/** Loads nothing when the credentials cannot read states, and as long as `wait` says so. */
export function useUser(userId: string, wait = false): Loaded<UserNow> {
  const { api, can } = useSession()
  return useLoaded(can(['state:read']) && !wait ? userId : null, (signal) =>
    answerOf<UserNow>(api.GET('/users/{userId}/state', { params: { path: { userId } }, signal }))
  )
}
