/** What projections made of the log, and how far they got (0007_projections.sql says what is kept true). */
import { and, asc, eq, gt } from 'drizzle-orm'
import type { Db } from '../db/client.js'
import { projectionParked } from '../db/projection-tables.js'
import { nameOfRow, type Projection, type Row, type TableRow } from '../domain/projection.js'

/** Names the worker that keeps the tables of a projection that serve, or those that a rebuild fills. */
export const projectionWorker = (name: string, rebuilds: boolean): string =>
  `projection/${name}${rebuilds ? '/rebuild' : ''}`

export type Parked = { user: string; tenant: string; position: number; version: number; error: string }

/** Those of `keys` that are there, by `nameOfRow`. */
export async function selectRows(
  db: Db,
  bucket: number,
  keys: readonly TableRow[],
  rebuilds: boolean
): Promise<Map<string, Row>> {
  const found = new Map<string, Row>()
  for (const table of new Set(keys.map((key) => key.table))) {
    const wanted = keys.filter((key) => key.table === table).map(({ row }) => row)
    const [answer] = await db.query<{ rows: string }>(
      'SELECT rows_at($1, $2::smallint, $3::text::json, $4::text::text[], $5::text::text[]) AS rows',
      [
        rebuilds ? `${table.name}_next` : table.name,
        bucket,
        JSON.stringify(wanted),
        `{${table.key}}`,
        `{${table.reads}}`
      ],
      { repeatable: true }
    )
    for (const row of JSON.parse(answer!.rows) as Row[]) found.set(nameOfRow({ table, row }), row)
  }
  return found
}

/** Those of `users` who are parked. */
export async function selectParkedUsers(
  db: Db,
  bucket: number,
  worker: string,
  users: readonly string[]
): Promise<Set<string>> {
  const rows = await db.query<{ user: string }>(
    `SELECT p."aggregateId" AS "user" FROM projection_parked p
     WHERE p.bucket = $1::smallint AND p.worker = $2 AND p."aggregateId" = ANY ($3::text::uuid[])`,
    [bucket, worker, `{${users.join(',')}}`],
    { repeatable: true }
  )
  return new Set(rows.map(({ user }) => user))
}

/** Up to `limit` parked users who were not tried for `ms`, those first who wait longest. */
export async function selectParkedFor(
  db: Db,
  bucket: number,
  worker: string,
  { ms, limit }: { ms: number; limit: number }
): Promise<Parked[]> {
  const rows = await db.query<Omit<Parked, 'position'> & { position: string }>(
    `SELECT p."aggregateId" AS "user", p."tenantId" AS tenant, p.position, p.version, p.error FROM projection_parked p
     WHERE p.bucket = $1::smallint AND p.worker = $2 AND p."triedAt" <= clock_timestamp() - $3::integer * interval '1 millisecond'
     ORDER BY p."triedAt", p."aggregateId" LIMIT $4::integer`,
    [bucket, worker, ms, limit],
    { repeatable: true }
  )
  return rows.map((row) => ({ ...row, position: Number(row.position) }))
}

/** Has the parked users of the tables that serve tried at the next look, one of them or all; tells how many there are. */
export async function updateTriedAt(db: Db, name: string, user: string | null): Promise<number> {
  const [row] = await db.query<{ users: string }>(
    'SELECT retry_parked($1, $2::uuid) AS users',
    [projectionWorker(name, false), user],
    { repeatable: true }
  )
  return Number(row!.users)
}

export type Batch = {
  bucket: number
  rebuilds: boolean
  epoch: number
  /** position it was read from, and moves to */
  from: number
  to: number
  rows: readonly TableRow[]
  parked: readonly Parked[]
  /** users who are parked no more */
  released: readonly string[]
}

/** Stores what a projection made of a batch of events, exactly once; tells whether it did (project_events). */
export async function storeBatch(db: Db, projection: Projection, batch: Batch): Promise<boolean> {
  const { name, version, tables } = projection
  const { bucket, rebuilds, epoch, from, to } = batch
  const rows = tables.map((table) =>
    JSON.stringify(batch.rows.filter((each) => each.table === table).map(({ row }) => ({ bucket, ...row })))
  )
  const [answer] = await db.query<{ stored: boolean }>(
    `SELECT project_events($1, $2::integer, $3::smallint, $4, $5::bigint, $6::bigint, $7::bigint, $8::text::jsonb, $9::text::uuid[],
       $10::text::text[], ${rows.map((_, i) => `$${11 + i}::text::json`).join(', ')}) AS stored`,
    [
      name,
      version,
      bucket,
      projectionWorker(name, rebuilds),
      epoch,
      from,
      to,
      JSON.stringify(batch.parked),
      `{${batch.released.join(',')}}`,
      tablesOf(projection),
      ...rows
    ]
  )
  return answer!.stored
}

export type RebuildStage = 'filling' | 'indexing' | 'closing'

export type RebuildStatus = { version: number; stage: RebuildStage; startedAt: string }

export type ProjectionStatus = {
  version: number
  filledAt: string
  rebuild: RebuildStatus | null
  /** users parked by the tables that serve, and by the rebuild */
  parked: number
  rebuildParked: number
  /** of every bucket, by number: last position of the log, of the tables that serve, and of the rebuild */
  places: { head: number; position: number; rebuilt: number }[]
}

type StatusRow = Omit<ProjectionStatus, 'rebuild' | 'places'> & {
  rebuildVersion: number | null
  stage: RebuildStage | null
  startedAt: string | null
  places: string
}

/** How a projection stands; null before its first start. */
export async function selectProjection(db: Db, name: string, buckets: number): Promise<ProjectionStatus | null> {
  const [row] = await db.query<StatusRow>(
    `SELECT p.version, p."filledAt", p."rebuildVersion", p."rebuildStage" AS stage, p."rebuildStartedAt" AS "startedAt",
       (SELECT count(*) FROM projection_parked k WHERE k.worker = $2) AS parked,
       (SELECT count(*) FROM projection_parked k WHERE k.worker = $3) AS "rebuildParked",
       (SELECT json_agg(json_build_object(
          'head', coalesce((SELECT e.position FROM user_events e WHERE e.bucket = b.bucket ORDER BY e.position DESC LIMIT 1), 0),
          'position', coalesce((SELECT w.position FROM workers w WHERE w.bucket = b.bucket::smallint AND w.name = $2), 0),
          'rebuilt', coalesce((SELECT w.position FROM workers w WHERE w.bucket = b.bucket::smallint AND w.name = $3), 0)) ORDER BY b.bucket)
        FROM generate_series(0, $4::integer - 1) AS b(bucket))::text AS places
     FROM projections p WHERE p.bucket = 0 AND p.name = $1`,
    [name, projectionWorker(name, false), projectionWorker(name, true), buckets],
    { repeatable: true }
  )
  if (!row) return null
  const { rebuildVersion, stage, startedAt } = row
  return {
    version: row.version,
    filledAt: new Date(row.filledAt).toISOString(),
    rebuild: stage && {
      version: rebuildVersion!,
      stage,
      startedAt: new Date(startedAt!).toISOString()
    },
    parked: Number(row.parked),
    rebuildParked: Number(row.rebuildParked),
    places: JSON.parse(row.places)
  }
}

/** The code and registered types by which a projection is filled; `rebuild` null when none is under way. */
export type ProjectionVersions = { serves: FilledBy; rebuild: FilledBy | null }
export type FilledBy = { version: number; typesRevision: number }

/** By what a projection is filled; null before its first start. */
export async function selectVersions(db: Db, name: string): Promise<ProjectionVersions | null> {
  const [row] = await db.query<{
    version: number
    typesRevision: string
    rebuildVersion: number | null
    rebuildRevision: string | null
  }>(
    `SELECT version, "typesRevision", "rebuildVersion", "rebuildRevision" FROM projections WHERE bucket = 0 AND name = $1`,
    [name],
    { repeatable: true }
  )
  if (!row) return null
  const { version, typesRevision, rebuildVersion, rebuildRevision } = row
  return {
    serves: { version, typesRevision: Number(typesRevision) },
    rebuild: rebuildVersion === null ? null : { version: rebuildVersion, typesRevision: Number(rebuildRevision) }
  }
}

/** Of a bucket: last position of the log, and up to which the tables that serve hold everything. */
export type ProjectionPlace = { head: number; position: number }

/** Where a projection stands in every bucket, by number of the bucket. */
export async function selectProjectionPlaces(db: Db, name: string, buckets: number): Promise<ProjectionPlace[]> {
  const rows = await db.query<{ head: string; position: string }>(
    `SELECT coalesce((SELECT e.position FROM user_events e WHERE e.bucket = b.bucket ORDER BY e.position DESC LIMIT 1), 0) AS head,
       coalesce((SELECT w.position FROM workers w WHERE w.bucket = b.bucket::smallint AND w.name = $1), 0) AS position
     FROM generate_series(0, $2::integer - 1) AS b(bucket) ORDER BY b.bucket`,
    [projectionWorker(name, false), buckets],
    { repeatable: true }
  )
  return rows.map(({ head, position }) => ({ head: Number(head), position: Number(position) }))
}

/** Notes a projection at its first start; does nothing at later ones. */
export async function insertProjection(
  db: Db,
  { name, version, typesRevision }: { name: string; version: number; typesRevision: number }
): Promise<void> {
  await db.query(
    `INSERT INTO projections (name, version, "typesRevision") VALUES ($1, $2::integer, $3::bigint) ON CONFLICT DO NOTHING`,
    [name, version, typesRevision],
    { repeatable: true }
  )
}

const tablesOf = ({ tables }: Projection): string => `{${tables.map((table) => table.name).join(',')}}`

/** Whether a rebuild began, such a one is under way already, or the tables or a rebuild are of a newer version. */
export type RebuildStart = 'started' | 'running' | 'newer'

/** Begins to fill the tables anew beside those that serve (start_rebuild). */
export async function startRebuild(db: Db, projection: Projection, typesRevision: number): Promise<RebuildStart> {
  const [row] = await db.query<{ start: RebuildStart }>(
    'SELECT start_rebuild($1, $2::integer, $3::bigint, $4::text::text[]) AS start',
    [projection.name, projection.version, typesRevision, tablesOf(projection)]
  )
  return row!.start
}

/** Takes a rebuild from one stage to another, if it is there and `epoch` leads it. */
export async function updateStage(
  db: Db,
  { name, version }: Projection,
  epoch: number,
  from: RebuildStage,
  to: RebuildStage
): Promise<void> {
  await db.query(
    `UPDATE projections SET "rebuildStage" = $4
     WHERE bucket = 0 AND name = $1 AND "rebuildVersion" = $2::integer AND "rebuildStage" = $3
       AND EXISTS (SELECT FROM workers w WHERE w.bucket = 0 AND w.name = $5 AND w.epoch = $6::bigint)`,
    [name, version, from, to, projectionWorker(name, true), epoch],
    { repeatable: true }
  )
}

/** The statements that make the indexes which a rebuild still lacks. */
export async function selectMissingIndexes(db: Db, projection: Projection): Promise<string[]> {
  const rows = await db.query<{ sql: string }>(
    'SELECT sql FROM missing_rebuild_indexes($1::text::text[])',
    [tablesOf(projection)],
    { repeatable: true }
  )
  return rows.map(({ sql }) => sql)
}

/** Lets the rebuilt tables serve; false when the rebuild is not as far as those that do. Waits for running queries at most `waitMs`, then throws. */
export async function swapProjection(
  db: Db,
  projection: Projection,
  { epoch, waitMs }: { epoch: number; waitMs: number }
): Promise<boolean> {
  const [row] = await db.query<{ swapped: boolean }>(
    'SELECT swap_projection($1, $2::integer, $3::bigint, $4::text::text[], $5::integer) AS swapped',
    [projection.name, projection.version, epoch, tablesOf(projection), waitMs]
  )
  return row!.swapped
}

/** Drops what the last rebuild replaced; false when there is nothing. */
export async function dropOldTables(db: Db, projection: Projection): Promise<boolean> {
  const [row] = await db.query<{ dropped: boolean }>('SELECT drop_old_tables($1::text::text[]) AS dropped', [
    tablesOf(projection)
  ])
  return row!.dropped
}

/** Whether tables that the last rebuild replaced are still there. */
export async function selectOldTables(db: Db, projection: Projection): Promise<boolean> {
  const [row] = await db.query<{ any: boolean }>(
    `SELECT coalesce(bool_or(to_regclass(quote_ident(t.name || '_old')) IS NOT NULL), false) AS any FROM unnest($1::text::text[]) AS t(name)`,
    [tablesOf(projection)],
    { repeatable: true }
  )
  return row!.any
}

/** Users parked by the tables that serve, in every bucket, by id; at most `limit` after one. */
export async function selectParkedPage(
  db: Db,
  name: string,
  { after, limit }: { after: string | undefined; limit: number }
): Promise<{ userId: string; tenantId: string; version: number; error: string; since: string }[]> {
  const { aggregateId, tenantId, version, error, createdAt, worker } = projectionParked
  return await db.orm
    .select({ userId: aggregateId, tenantId, version, error, since: createdAt })
    .from(projectionParked)
    .where(and(eq(worker, projectionWorker(name, false)), after === undefined ? undefined : gt(aggregateId, after)))
    .orderBy(asc(aggregateId))
    .limit(limit)
}
