import { Type } from '@sinclair/typebox'
import type { EventType } from '../event-type.js'
import { withChanges } from '../user.js'
import { actor, dataOf, roleIds } from './fields.js'

const v1 = Type.Object({ roleIds, assignedBy: actor }, { additionalProperties: false })

export const rolesAssigned: EventType = {
  name: 'RolesAssigned',
  summary: 'The roles of the user are these from now on.',
  versions: [{ schema: v1 }],
  example: { roleIds: ['admin'], assignedBy: 'root' },
  effectVersion: 1,
  personalData: [],
  apply: (state, event) => withChanges(state, { roleIds: dataOf(v1, event).roleIds, updatedAt: event.createdAt })
}
