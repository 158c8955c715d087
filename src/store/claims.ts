/** Which fields of users are unique (drizzle/0008_claims.sql says what its functions keep true). */
import type { Db } from '../db/client.js'
import type { DbError } from '../db/pg-error.js'
import type { ClaimField } from '../domain/claims.js'

/**
 * Whether what is stored must see to unique fields. Instances share a database, so one may learn it from a refusal: from then on it
 * does, which is right also when they cease to be unique.
 */
export type Claiming = { on: boolean }

/** Whether the database refused events because they were stored without seeing to unique fields. */
export const isUnclaimed = ({ constraint }: DbError): boolean => constraint === 'user_events_claims_kept'

/** The fields that are unique now, by name. */
export async function selectUniqueClaims(db: Db): Promise<ClaimField[]> {
  const rows = await db.query<{ field: ClaimField }>('SELECT field FROM unique_claims ORDER BY field', [], {
    repeatable: true
  })
  return rows.map(({ field }) => field)
}

/** Values that more than one user has, of whom `users` (at most 5) have one. */
export type Clash = { field: ClaimField; clashes: number; users: string[] }

export type ClaimsOutcome =
  | { outcome: 'same' | 'changed' | 'types' }
  | { outcome: 'fewer'; claimed: ClaimField[] }
  | { outcome: 'clash'; clashes: Clash[] }

/**
 * Makes `fields` the unique ones; null ends all of it. `revision` is that of the registered types that were examined.
 * Takes as long as reading the whole log when there are more of them than before.
 */
export async function setUniqueClaims(
  db: Db,
  fields: readonly ClaimField[] | null,
  revision: number
): Promise<ClaimsOutcome> {
  const rows = await db.query<{
    outcome: ClaimsOutcome['outcome']
    claimed: string
    field: ClaimField | null
    clashes: string | null
    users: string | null
  }>(
    `SELECT outcome, array_to_string(claimed, ',') AS claimed, field, clashes, array_to_string(users, ',') AS users
     FROM set_unique_claims($1::text::text[], $2::bigint)`,
    [fields && `{${fields.join(',')}}`, revision],
    { repeatable: true }
  )
  const { outcome, claimed } = rows[0]!
  if (outcome === 'fewer') return { outcome, claimed: claimed.split(',') as ClaimField[] }
  if (outcome !== 'clash') return { outcome }
  const clashes = rows.map(({ field, clashes, users }) => ({
    field: field!,
    clashes: Number(clashes),
    users: users!.split(',')
  }))
  return { outcome, clashes }
}
