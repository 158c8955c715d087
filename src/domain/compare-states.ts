/** What a stored state has to become to be the right one. */
import jsonPatch, { type Operation } from 'fast-json-patch'
import type { StreamKey } from './event.js'
import { isStateOf, type User } from './user.js'

/** RFC 6902 operations; none when it is right. What is no state at all is to be replaced as a whole. */
export const differenceOf = (key: StreamKey, found: unknown, right: User): Operation[] =>
  isStateOf(key, found) ? jsonPatch.compare(found, right) : [{ op: 'replace', path: '', value: right }]
