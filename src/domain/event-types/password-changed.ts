import { Type } from '@sinclair/typebox'
import type { JsonObject } from '../event.js'
import type { EventType } from '../event-type.js'
import { escapePointer } from '../json.js'
import { withChanges } from '../user.js'
import { actor } from './fields.js'

const v1 = Type.Object({ changedBy: actor }, { additionalProperties: false })

export const passwordChanged: EventType = {
  name: 'PasswordChanged',
  summary: 'The password was changed. Never carries a password: a field named like one is refused.',
  versions: [{ schema: v1 }],
  example: { changedBy: 'self' },
  effectVersion: 1,
  personalData: [],
  refuse: ({ eventData, metadata }) =>
    findSecret(eventData, '/eventData') ?? (metadata ? findSecret(metadata, '/metadata') : null),
  apply: (state, event) => withChanges(state, { passwordChangedAt: event.createdAt, updatedAt: event.createdAt })
}

/** Names as people write them, in any case and with or without separators: newPassword, PASSWORD_HASH, pass_word, userPwd. */
const SECRET = /pass[-_ ]?(?:word|phrase|code|wd)|^pass$|pwd|secret|credential/i

function findSecret(value: JsonObject, pointer: string): { pointer: string; reason: string } | null {
  for (const [key, child] of Object.entries(value)) {
    const at = `${pointer}/${escapePointer(key)}`
    if (SECRET.test(key))
      return { pointer: at, reason: 'a password must never be stored in an event; leave the field out' }
    const found = typeof child === 'object' && child !== null ? findSecret(child as JsonObject, at) : null
    if (found) return found
  }
  return null
}
