/**
 * Fields of users that are unique in a tenant: a fact of the database, which a start can change. A start that asks for more fields
 * makes them unique; one that asks for fewer is refused, since it may be an instance with old settings; `off` ends it.
 */
import type { Db } from '../db/client.js'
import { type ClaimField, claimsWritten } from '../domain/claims.js'
import { selectPartitions } from '../store/archive.js'
import { type Claiming, type Clash, selectUniqueClaims, setUniqueClaims } from '../store/claims.js'
import { selectEventTypes } from '../store/event-types.js'

/** Why the service cannot start with these settings; the message says what to do. */
export class ClaimsRefused extends Error {
  override name = 'ClaimsRefused'
}

/**
 * Makes the database what `setting` (UNIQUE_CLAIMS) asks for. `withLongDb` gives a connection on which a statement may take long,
 * for when something has to change. Throws ClaimsRefused, with nothing changed.
 */
export async function settleClaims({
  db,
  setting,
  withLongDb
}: {
  db: Db
  setting: string | undefined
  withLongDb: <T>(work: (db: Db) => Promise<T>) => Promise<T>
}): Promise<Claiming> {
  const asked = setting === undefined || setting === 'off' ? [] : (setting.split(',').sort() as ClaimField[])
  const claimed = await selectUniqueClaims(db)
  if (claimed.join() !== asked.join()) {
    const fields = setting === 'off' ? null : asked
    while ((await change(db, fields, withLongDb)) === 'types');
  }
  return { on: asked.length > 0 }
}

async function change(
  db: Db,
  fields: ClaimField[] | null,
  withLongDb: <T>(work: (db: Db) => Promise<T>) => Promise<T>
): Promise<'done' | 'types'> {
  const revision = await examineTypes(db, fields ?? [])
  const offline = fields && (await selectPartitions(db)).find(({ offlineAt }) => offlineAt !== null)
  if (offline)
    throw new ClaimsRefused(
      `UNIQUE_CLAIMS cannot be switched on while ${offline.name} is offline: its events may have given names. Restore it first (user-events archive restore --partition ${offline.name}).`
    )
  const result = await withLongDb((long) => setUniqueClaims(long, fields, revision))
  switch (result.outcome) {
    case 'same':
    case 'changed':
      return 'done'
    case 'types':
      return 'types'
    case 'fewer':
      throw fewer(fields ?? [], result.claimed)
    case 'clash':
      throw clashing(result.clashes)
  }
}

/** The revision of the registered types, of which none writes one of `fields`. Of a type the newest version has the effect. */
async function examineTypes(db: Db, fields: readonly ClaimField[]): Promise<number> {
  const rows = await selectEventTypes(db)
  const newest = new Map(rows.map((row) => [`${row.tenantId} ${row.eventType}`, row]))
  const writers = [...newest.values()].filter(({ definition }) =>
    claimsWritten(definition.effect).some(({ field }) => fields.includes(field))
  )
  if (writers.length > 0) throw written(writers, fields)
  return rows.at(-1)?.revision ?? 0
}

const fewer = (asked: ClaimField[], claimed: ClaimField[]): ClaimsRefused =>
  new ClaimsRefused(
    `UNIQUE_CLAIMS is ${asked.join() || 'not set'}, but ${claimed.join(' and ')} must be unique in this database. ` +
      `Set UNIQUE_CLAIMS=${claimed.join()}, on all instances alike; or start once with UNIQUE_CLAIMS=off to end it.`
  )

function clashing(clashes: Clash[]): ClaimsRefused {
  const sentences = clashes.map(
    ({ field, clashes, users }) =>
      `${clashes} values of ${field} belong to more than one user, one to ${users.join(', ')}`
  )
  return new ClaimsRefused(
    `UNIQUE_CLAIMS cannot be met: ${sentences.join('; ')}. Nothing was changed. ` +
      'Start without it, give all but one of such users another value (UserUpdated) or delete them (UserDeleted), and start again.'
  )
}

const TYPES_SHOWN = 5

function written(
  types: { tenantId: string | null; eventType: string }[],
  fields: readonly ClaimField[]
): ClaimsRefused {
  const names = types.map(({ tenantId, eventType }) => (tenantId ? `${eventType} of tenant ${tenantId}` : eventType))
  const shown = names.slice(0, TYPES_SHOWN).join(', ') + (names.length > TYPES_SHOWN ? ' …' : '')
  return new ClaimsRefused(
    `UNIQUE_CLAIMS cannot be met: the effect of ${names.length} registered event types writes ${fields.join(' or ')}: ${shown}. ` +
      'Nothing was changed. Register a version of each whose effect leaves them alone, and let clients use UserUpdated instead.'
  )
}
