import { Type } from '@sinclair/typebox'
import type { EventType } from '../event-type.js'
import { withChanges } from '../user.js'
import { dataOf, ipAddress, moment } from './fields.js'

const v1 = Type.Object(
  { ipAddress, loginAt: moment, userAgent: Type.Optional(Type.String({ maxLength: 1000 })) },
  { additionalProperties: false }
)

export const loginInfoUpdated: EventType = {
  name: 'LoginInfoUpdated',
  summary: 'The user signed in.',
  versions: [{ schema: v1 }],
  example: { ipAddress: '203.0.113.7', loginAt: '2026-11-22T08:00:00.000Z' },
  effectVersion: 1,
  personalData: ['ipAddress', 'userAgent'],
  apply: (state, event) => {
    const data = dataOf(v1, event)
    return withChanges(state, {
      lastLoginAt: data.loginAt,
      lastLoginIp: data.ipAddress,
      totalLogins: state.totalLogins + 1,
      loginAttempts: 0
    })
  }
}
