/** Ids of users: UUIDs, as the API takes them, and where their pages are. */

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Whether the text is an id and nothing else. */
export const isUserId = (text: string): boolean => UUID.test(text)

/** Where the timeline of a user is. */
export const userPath = (userId: string): string => `/ui/users/${userId}`

/** Where the time machine shows a user; at the newest version when none is given. */
export const timePath = (userId: string, version?: number): string =>
  `${userPath(userId)}/time${version === undefined ? '' : `?version=${version}`}`

/** Where one event of a user is. */
export const eventPath = (userId: string, version: number): string => `${userPath(userId)}/events/${version}`
