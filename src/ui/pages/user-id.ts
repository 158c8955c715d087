/** Ids of users: UUIDs, as the API takes them. */

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Whether the text is an id and nothing else. */
export const isUserId = (text: string): boolean => UUID.test(text)

/** Where the page of a user is. */
export const userPath = (userId: string): string => `/ui/users/${userId}`
