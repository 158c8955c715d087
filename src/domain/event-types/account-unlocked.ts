import { Type } from '@sinclair/typebox'
import type { EventType } from '../event-type.js'
import { withChanges } from '../user.js'
import { actor } from './fields.js'

const v1 = Type.Object({ unlockedBy: actor }, { additionalProperties: false })

export const accountUnlocked: EventType = {
  name: 'AccountUnlocked',
  summary: 'A lock was lifted.',
  versions: [{ schema: v1 }],
  example: { unlockedBy: 'support' },
  effectVersion: 1,
  personalData: [],
  apply: (state) => withChanges(state, { loginAttempts: 0, lockedUntil: null, lockReason: null })
}
