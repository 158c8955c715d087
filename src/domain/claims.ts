/**
 * Fields of users that can be unique in a tenant. Which events set them, and which values count as one, stands in the SQL function
 * claims_of alone, which serves the append, the import and the filling of the table.
 */
import type { Effect } from './effect.js'

export const CLAIM_FIELDS = ['username', 'email'] as const
export type ClaimField = (typeof CLAIM_FIELDS)[number]

/** Unique fields that an operation of a patch writes, by its number: nobody looks for claims in events of such a type. */
export function claimsWritten(effect: Effect): { field: ClaimField; operation: number }[] {
  if (effect.kind !== 'patch') return []
  return effect.operations.flatMap((each, operation) => {
    const paths = each.op === 'test' ? [] : each.op === 'move' ? [each.path, each.from] : [each.path]
    const fields = paths.map((path) => path.split('/')[1])
    return CLAIM_FIELDS.filter((field) => fields.includes(field)).map((field) => ({ field, operation }))
  })
}
