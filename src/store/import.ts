/**
 * The write of an import: a call of the SQL function import_events (drizzle/0005_import.sql says what it keeps true), or of
 * import_claiming_events (drizzle/0008_claims.sql) where fields of users are unique.
 */
import type { Db } from '../db/client.js'
import type { ClaimField } from '../domain/claims.js'

/** Consecutive rows of one bucket and one tenant, column by column. */
export type ImportBatch = {
  /** the users among the rows, each once, and the number (from 1) of each one's first row */
  users: string[]
  firsts: number[]
  /** number of each row's user in `users`, from 1 */
  of: number[]
  versions: number[]
  ids: string[]
  types: string[]
  schemas: number[]
  /** whether the client named the schema version */
  asked: boolean[]
  /** JSON objects without line breaks */
  data: string[]
  metadata: (string | null)[]
  occurred: (string | null)[]
  created: string[]
}

/** Why a row cannot be stored. */
export type ImportRefusal = 'taken' | 'gap' | 'differs' | 'reused' | 'deleted' | 'earlier' | 'future' | 'claimed'

/** `field` is that of which a value is another user's, when that is why */
export type BadRow = { index: number; reason: ImportRefusal; currentVersion: number; field: ClaimField | null }

export type ImportOutcome = {
  /** indexes of rows that were stored before */
  duplicates: number[]
  /** the first row that cannot be stored; all before it are, and none after it */
  bad: BadRow | null
  /** last position of the bucket now */
  head: number
}

type Row = {
  duplicates: string
  bad: number | null
  reason: ImportRefusal
  current: number
  head: string
  field?: ClaimField | null
}

/**
 * Stores the rows up to the first bad one. `claims` says whether fields of users may be unique. `since` is null, or the last position from before an earlier call with the same
 * rows whose outcome is not known: rows after it count as stored by this call. Throws DbError; with outcome `unknown` the
 * rows may or may not have been stored, and calling again tells.
 */
export async function importBatch(
  db: Db,
  bucket: number,
  tenantId: string,
  batch: ImportBatch,
  since: number | null,
  claims = false
): Promise<ImportOutcome> {
  const [row] = await db.query<Row>(
    `SELECT array_to_string(duplicates, ',') AS duplicates, bad, reason, current, head${claims ? ', field' : ''}
     FROM ${claims ? 'import_claiming_events' : 'import_events'}($1::smallint, $2::text::uuid, $3::text::uuid[], $4::text::integer[], $5::text::integer[], $6::text::integer[],
       $7::text::uuid[], $8::text::varchar[], $9::text::smallint[], $10::text::boolean[], $11::text, $12::text,
       $13::text::timestamptz[], $14::text::timestamptz[], $15::text::bigint)`,
    [
      bucket,
      tenantId,
      arrayOf(batch.users),
      arrayOf(batch.firsts),
      arrayOf(batch.of),
      arrayOf(batch.versions),
      arrayOf(batch.ids),
      // In quotes, or a type of the name null would be none.
      `{"${batch.types.join('","')}"}`,
      arrayOf(batch.schemas),
      arrayOf(batch.asked),
      batch.data.join('\n'),
      batch.metadata.map((text) => text ?? 'null').join('\n'),
      arrayOf(batch.occurred.map((text) => text ?? 'null')),
      arrayOf(batch.created),
      since === null ? null : String(since)
    ]
  )
  const { duplicates, bad, reason, current, head, field = null } = row!
  return {
    duplicates: duplicates === '' ? [] : duplicates.split(',').map((number) => Number(number) - 1),
    bad: bad === null ? null : { index: bad - 1, reason, currentVersion: current, field },
    head: Number(head)
  }
}

/** Nothing that stands in these needs quotes: numbers, ids and times. */
const arrayOf = (items: readonly (string | number | boolean)[]): string => `{${items.join(',')}}`
