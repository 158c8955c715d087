/** Partitions of the archive as lines of JSON: read out whole, and put back (drizzle/0009_archive.sql says what is kept true). */
import type { Db } from '../db/client.js'

/** A row of user_events_archive as PostgreSQL writes it in JSON: numbers keep every digit. */
export type PartitionLine = { line: string; bucket: number; position: number; eventType: string; schemaVersion: number }

const PARTITION = /^user_events_archive_\d{4}_\d{2}$/

/** Throws for what is no name of a partition: it becomes part of statements. */
function assertName(partition: string): void {
  if (!PARTITION.test(partition))
    throw new Error(`${partition} is no name of a partition; expected one like user_events_archive_2024_03.`)
}

/** The events of a partition by bucket and position, `limit` at a time; one statement each. Of a name that is no partition none. */
export async function* readPartition(db: Db, partition: string, limit: number): AsyncGenerator<PartitionLine[]> {
  assertName(partition)
  let after = { bucket: -1, position: 0 }
  for (;;) {
    const rows = await db.query<Omit<PartitionLine, 'position'> & { position: string }>(
      `SELECT row_to_json(e)::text AS line, e.bucket, e.position, e."eventType", e."schemaVersion" FROM ${partition} e
       WHERE (e.bucket, e.position) > ($1::smallint, $2::bigint) ORDER BY e.bucket, e.position LIMIT $3::integer`,
      [after.bucket, after.position, limit],
      { repeatable: true }
    )
    const lines = rows.map((row) => ({ ...row, position: Number(row.position) }))
    if (lines.length > 0) yield lines
    if (lines.length < limit) return
    after = lines.at(-1)!
  }
}

/** Notes where the files of a partition were written. Throws when it is no partition that is here. */
export async function updateLocation(db: Db, partition: string, location: string): Promise<void> {
  const rows = await db.query(
    `UPDATE archive_partitions SET location = $2::text WHERE name = $1::text AND "offlineAt" IS NULL RETURNING name`,
    [partition, location],
    { repeatable: true }
  )
  if (rows.length === 0) throw new Error(`${partition} is no partition that is here.`)
}

/** Takes a partition away that was exported. Returns how many events went; throws DbError with UEA02 and the reason if it must stay. */
export async function takeOffline(db: Db, partition: string): Promise<number> {
  assertName(partition)
  const [row] = await db.query<{ events: string }>('SELECT take_partition_offline($1::text) AS events', [partition])
  return Number(row!.events)
}

/** Makes the table that a partition is restored into. */
export async function prepareRestore(db: Db, partition: string): Promise<void> {
  assertName(partition)
  await db.query('SELECT prepare_restore($1::text)', [partition], { repeatable: true })
}

/** Puts lines back; those that are there already are passed over. */
export async function insertLines(db: Db, partition: string, lines: readonly string[]): Promise<void> {
  assertName(partition)
  await db.query(
    `INSERT INTO ${partition} SELECT e.* FROM string_to_table($1::text, E'\\n') AS l(line)
     CROSS JOIN LATERAL json_populate_record(NULL::user_events_archive, l.line::json) e ON CONFLICT DO NOTHING`,
    [lines.join('\n')],
    { repeatable: true }
  )
}

/** Attaches what was restored, if it is exactly what was taken away. Returns how many events; throws DbError with UEA02 if not. */
export async function bringBack(db: Db, partition: string): Promise<number> {
  assertName(partition)
  const [row] = await db.query<{ events: string }>('SELECT bring_partition_back($1::text) AS events', [partition])
  return Number(row!.events)
}
