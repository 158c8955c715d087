import { Type } from '@sinclair/typebox'
import type { EventType } from '../event-type.js'
import { mergePatch } from '../user.js'
import { attributes, dataOf, email, fullName, phone, roleIds, username } from './fields.js'

const v1 = Type.Object(
  {
    username,
    email,
    fullName: Type.Optional(fullName),
    phone: Type.Optional(phone),
    roleIds: Type.Optional(roleIds),
    attributes: Type.Optional(attributes)
  },
  { additionalProperties: false }
)

/** Says as well whether the phone number was found to be the user's; until then nobody had checked. */
const v2 = Type.Object({ ...v1.properties, phoneVerified: Type.Boolean() }, { additionalProperties: false })

export const userCreated: EventType = {
  name: 'UserCreated',
  summary: 'A user exists from now on; the first event of every stream and only there.',
  versions: [{ schema: v1 }, { schema: v2, upcast: (data) => ({ ...data, phoneVerified: false }) }],
  example: { username: 'ada', email: 'ada@example.com', fullName: 'Ada Lovelace', phoneVerified: false },
  effectVersion: 2,
  personalData: ['username', 'email', 'fullName', 'phone', 'attributes'],
  creates: true,
  apply: (key, event) => {
    const data = dataOf(v2, event)
    return {
      id: key.userId,
      tenantId: key.tenantId,
      status: 'active',
      username: data.username,
      email: data.email,
      fullName: data.fullName ?? null,
      phone: data.phone ?? null,
      avatar: null,
      roleIds: data.roleIds ?? [],
      attributes: mergePatch({}, data.attributes ?? {}),
      loginAttempts: 0,
      lockedUntil: null,
      lockReason: null,
      totalLogins: 0,
      lastLoginAt: null,
      lastLoginIp: null,
      passwordChangedAt: null,
      createdAt: event.createdAt,
      updatedAt: null,
      deletedAt: null
    }
  }
}
