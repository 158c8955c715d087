import { Type } from '@sinclair/typebox'
import type { EventType } from '../event-type.js'
import { withChanges } from '../user.js'
import { actor, reason } from './fields.js'

const v1 = Type.Object({ deletedBy: actor, reason: Type.Optional(reason) }, { additionalProperties: false })

export const userDeleted: EventType = {
  name: 'UserDeleted',
  summary: 'The user is gone; nothing may follow.',
  versions: [{ schema: v1 }],
  example: { deletedBy: 'support', reason: 'asked for it' },
  effectVersion: 1,
  personalData: ['reason'],
  apply: (state, event) => withChanges(state, { status: 'deleted', deletedAt: event.createdAt })
}
