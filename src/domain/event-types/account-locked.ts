import { Type } from '@sinclair/typebox'
import type { EventType } from '../event-type.js'
import { withChanges } from '../user.js'
import { dataOf, moment, reason } from './fields.js'

const v1 = Type.Object(
  { reason, loginAttempts: Type.Integer({ minimum: 0, maximum: 2_147_483_647 }), lockedUntil: moment },
  { additionalProperties: false }
)

export const accountLocked: EventType = {
  name: 'AccountLocked',
  summary: 'Signing in is refused until the given moment.',
  versions: [{ schema: v1 }],
  example: { reason: 'too many attempts', loginAttempts: 5, lockedUntil: '2026-11-22T09:00:00.000Z' },
  effectVersion: 1,
  personalData: ['reason'],
  apply: (state, event) => {
    const data = dataOf(v1, event)
    return withChanges(state, {
      loginAttempts: data.loginAttempts,
      lockedUntil: data.lockedUntil,
      lockReason: data.reason
    })
  }
}
