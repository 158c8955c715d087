import { Type } from '@sinclair/typebox'
import type { EventType } from '../event-type.js'
import { mergePatch, withChanges } from '../user.js'
import { attributes, avatar, dataOf, email, fullName, nullable, phone, roleIds, username } from './fields.js'

const v1 = Type.Object(
  {
    username: Type.Optional(username),
    email: Type.Optional(email),
    fullName: Type.Optional(nullable(fullName)),
    phone: Type.Optional(nullable(phone)),
    avatar: Type.Optional(nullable(avatar)),
    status: Type.Optional(Type.Union([Type.Literal('active'), Type.Literal('inactive'), Type.Literal('suspended')])),
    roleIds: Type.Optional(roleIds),
    attributes: Type.Optional(attributes)
  },
  { additionalProperties: false, minProperties: 1 }
)

export const userUpdated: EventType = {
  name: 'UserUpdated',
  summary: 'Some fields changed. null removes a field; attributes are merged by RFC 7396.',
  versions: [{ schema: v1 }],
  example: { fullName: 'Ada King', attributes: { theme: 'dark' } },
  effectVersion: 1,
  personalData: ['username', 'email', 'fullName', 'phone', 'avatar', 'attributes'],
  apply: (state, event) => {
    const changes = dataOf(v1, event)
    return withChanges(state, changes, {
      attributes: changes.attributes ? mergePatch(state.attributes, changes.attributes) : state.attributes,
      updatedAt: event.createdAt
    })
  }
}
