import { Type } from '@sinclair/typebox'
import type { EventType } from '../event-type.js'
import { withChanges } from '../user.js'
import { dataOf, ipAddress, moment } from './fields.js'

const v1 = Type.Object(
  { ipAddress, loginAt: moment, userAgent: Type.Optional(Type.String({ maxLength: 1000 })) },
  { additionalProperties: false }
)

/** An address of one family, which its `family` names. */
const addressOf = <F extends 4 | 6>(family: F) =>
  Type.Object(
    { address: Type.String({ format: `ipv${family}` }), family: Type.Literal(family) },
    { additionalProperties: false }
  )

const v2 = Type.Object(
  { ...v1.properties, ipAddress: Type.Union([addressOf(4), addressOf(6)]) },
  { additionalProperties: false }
)

export const loginInfoUpdated: EventType = {
  name: 'LoginInfoUpdated',
  summary: 'The user signed in.',
  versions: [
    { schema: v1 },
    {
      schema: v2,
      // Every IPv6 address has a colon and no IPv4 address has. To ask isIP, which matches long expressions, or to spread the
      // data instead of naming its fields, takes a replay of old logins several times as long.
      upcast: ({ ipAddress, loginAt, userAgent }) => {
        const address = { address: ipAddress, family: (ipAddress as string).includes(':') ? 6 : 4 }
        return userAgent === undefined ? { ipAddress: address, loginAt } : { ipAddress: address, loginAt, userAgent }
      }
    }
  ],
  example: { ipAddress: { address: '203.0.113.7', family: 4 }, loginAt: '2026-11-22T08:00:00.000Z' },
  effectVersion: 2,
  personalData: ['ipAddress.address', 'userAgent'],
  apply: (state, event) => {
    const data = dataOf(v2, event)
    return withChanges(state, {
      lastLoginAt: data.loginAt,
      lastLoginIp: data.ipAddress.address,
      totalLogins: state.totalLogins + 1,
      loginAttempts: 0
    })
  }
}
