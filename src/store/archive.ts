/** Moving old events to the archive, and what is known of it (drizzle/0009_archive.sql says what is kept true). */
import { desc, eq, inArray, sql } from 'drizzle-orm'
import { archivePartitions, archiveRuns } from '../db/archive-tables.js'
import type { Db } from '../db/client.js'
import type { Fingerprints } from '../domain/snapshot.js'

export type ArchiveRun = Omit<typeof archiveRuns.$inferSelect, 'bucket' | 'origin' | 'status'> & {
  origin: 'schedule' | 'request'
  status: 'waiting' | 'running' | 'done' | 'failed'
}

export type NewRun = Pick<ArchiveRun, 'origin' | 'dryRun' | 'cutoff'>

/** Of each user a range of versions, in one bucket: what one step moves. */
export type ArchiveWindow = {
  bucket: number
  parts: { userId: string; tenantId: string; first: number; last: number }[]
}

/** A span of the log of one bucket: at most `span` positions after `after`, none beyond `end`. */
export type WalkSpan = { bucket: number; after: number; span: number; end: number; cutoff: string }

/** Who follows the log of a bucket, and how far it got. */
export type FollowerPlace = { bucket: number; follower: string; position: number }

const { bucket: _bucket, ...RUN } = {
  bucket: archiveRuns.bucket,
  id: archiveRuns.id,
  origin: archiveRuns.origin,
  dryRun: archiveRuns.dryRun,
  cutoff: archiveRuns.cutoff,
  status: archiveRuns.status,
  requestedAt: archiveRuns.requestedAt,
  startedAt: archiveRuns.startedAt,
  finishedAt: archiveRuns.finishedAt,
  events: archiveRuns.events,
  windows: archiveRuns.windows,
  error: archiveRuns.error
}

/** Asks for a run; null when one is open. */
export async function insertRun(db: Db, run: NewRun): Promise<ArchiveRun | null> {
  const [row] = await db.orm.insert(archiveRuns).values(run).onConflictDoNothing().returning(RUN)
  return (row as ArchiveRun | undefined) ?? null
}

/** The run that is waiting or running. */
export async function selectOpenRun(db: Db): Promise<ArchiveRun | null> {
  const [row] = await db.orm
    .select(RUN)
    .from(archiveRuns)
    .where(inArray(archiveRuns.status, ['waiting', 'running']))
  return (row as ArchiveRun | undefined) ?? null
}

/** The newest runs, the newest first. */
export async function selectRuns(db: Db, limit: number, origin?: ArchiveRun['origin']): Promise<ArchiveRun[]> {
  const of = origin === undefined ? undefined : eq(archiveRuns.origin, origin)
  const rows = await db.orm.select(RUN).from(archiveRuns).where(of).orderBy(desc(archiveRuns.requestedAt)).limit(limit)
  return rows as ArchiveRun[]
}

/** Notes how an open run goes, if the worker `archive` still has this epoch. A dry run has its count noted here. */
export async function updateRun(
  db: Db,
  epoch: number,
  id: string,
  to: { status: 'running' | 'done' | 'failed'; error?: string; counted?: number }
): Promise<void> {
  await db.query(
    `UPDATE archive_runs r SET status = $3::text, error = $4::text, "startedAt" = coalesce(r."startedAt", clock_timestamp()),
       "finishedAt" = CASE WHEN $3::text <> 'running' THEN clock_timestamp() END, events = coalesce($5::bigint, r.events)
     FROM workers w
     WHERE r.bucket = 0 AND r.id = $1::uuid AND r.status IN ('waiting', 'running') AND w.bucket = 0 AND w.name = 'archive' AND w.epoch = $2::bigint`,
    [id, epoch, to.status, to.error ?? null, to.counted ?? null],
    { repeatable: true }
  )
}

/** Where all who follow the log stand: the workers `names` in every bucket, and every subscription. */
export async function selectFollowers(db: Db, buckets: number, names: readonly string[]): Promise<FollowerPlace[]> {
  const rows = await db.query<{ bucket: number; follower: string; position: string }>(
    `SELECT b.bucket::smallint AS bucket, n.name AS follower, coalesce(w.position, 0) AS position
     FROM generate_series(0, $1::integer - 1) AS b(bucket) CROSS JOIN unnest($2::text::text[]) AS n(name)
     LEFT JOIN workers w ON w.bucket = b.bucket AND w.name = n.name
     UNION ALL
     SELECT c.bucket, 'subscription ' || s.name, c.position
     FROM subscription_checkpoints c JOIN subscriptions s ON s.id = c."subscriptionId"`,
    [buckets, `{${names.join(',')}}`],
    { repeatable: true }
  )
  return rows.map(({ bucket, follower, position }) => ({ bucket, follower, position: Number(position) }))
}

/** The first position of a bucket that is in user_events; null when there is none. */
export async function selectFirstPosition(db: Db, bucket: number): Promise<number | null> {
  const [row] = await db.query<{ position: string }>(
    'SELECT e.position FROM user_events e WHERE e.bucket = $1::smallint ORDER BY e.position LIMIT 1',
    [bucket],
    { repeatable: true }
  )
  return row ? Number(row.position) : null
}

/** What a window can move of a span, but for the users `held`. */
export async function selectWindow(db: Db, { bucket, after, span, end, cutoff }: WalkSpan, held: readonly string[]) {
  const parts = await db.query<ArchiveWindow['parts'][number]>(
    `SELECT "userId", "tenantId", first, last
     FROM archive_candidates($1::smallint, $2::bigint, $3::integer, $4::bigint, $5::timestamptz, $6::text::uuid[])
     ORDER BY "userId"`,
    [bucket, after, span, end, cutoff, `{${held.join(',')}}`],
    { repeatable: true }
  )
  return { bucket, parts }
}

/** How many events of a span a run would move. */
export async function countArchivable(db: Db, { bucket, after, span, end, cutoff }: WalkSpan): Promise<number> {
  const [row] = await db.query<{ events: string }>(
    'SELECT count_archivable($1::smallint, $2::bigint, $3::integer, $4::bigint, $5::timestamptz) AS events',
    [bucket, after, span, end, cutoff],
    { repeatable: true }
  )
  return Number(row!.events)
}

/** Users of a window without a usable snapshot beyond what is moved. */
export async function selectUncovered(
  db: Db,
  window: ArchiveWindow,
  fingerprints: Fingerprints
): Promise<ArchiveWindow['parts']> {
  const rows = await db.query<{ userId: string }>(
    `SELECT w.id AS "userId" FROM unnest($2::text::uuid[], $3::text::uuid[], $4::text::integer[]) AS w(id, tenant, last)
     WHERE NOT EXISTS (SELECT FROM user_snapshots s
       WHERE s.bucket = $1::smallint AND s."aggregateId" = w.id AND s.version > w.last
         AND s.fingerprint = coalesce($6::text::jsonb ->> w.tenant::text, $5::text))`,
    [
      window.bucket,
      listOf(window, 'userId'),
      listOf(window, 'tenantId'),
      listOf(window, 'last'),
      fingerprints.general,
      JSON.stringify(fingerprints.byTenant)
    ],
    { repeatable: true }
  )
  const uncovered = new Set(rows.map(({ userId }) => userId))
  return window.parts.filter(({ userId }) => uncovered.has(userId))
}

/** Makes the partitions that a window needs. */
export async function createPartitions(db: Db, window: ArchiveWindow): Promise<void> {
  await db.query(`SELECT create_archive_partitions(${WINDOW})`, paramsOf(window), { repeatable: true })
}

/** Copies a window to the archive. */
export async function copyWindow(db: Db, window: ArchiveWindow): Promise<void> {
  await db.query(`SELECT copy_to_archive(${WINDOW})`, paramsOf(window), { repeatable: true })
}

/** Compares a window with its copy and returns the hash of both. Throws DbError with UEA01 when they differ. */
export async function checkWindow(db: Db, window: ArchiveWindow): Promise<string> {
  const [row] = await db.query<{ hash: string }>(`SELECT check_archived(${WINDOW}) AS hash`, paramsOf(window), {
    repeatable: true
  })
  return row!.hash
}

/** Deletes a window that was copied, and notes it in the manifest. Returns how many events were moved; null when the lease was lost. */
export async function deleteWindow(
  db: Db,
  window: ArchiveWindow,
  { epoch, runId, hash }: { epoch: number; runId: string; hash: string }
): Promise<number | null> {
  const [row] = await db.query<{ moved: number | null }>(
    `SELECT delete_archived($1::smallint, $5::bigint, $6::uuid, $2::text::uuid[], $3::text::integer[], $4::text::integer[], $7) AS moved`,
    [...paramsOf(window), epoch, runId, hash]
  )
  return row!.moved
}

const WINDOW = '$1::smallint, $2::text::uuid[], $3::text::integer[], $4::text::integer[]'

const paramsOf = (window: ArchiveWindow) => [
  window.bucket,
  listOf(window, 'userId'),
  listOf(window, 'first'),
  listOf(window, 'last')
]

const listOf = ({ parts }: ArchiveWindow, field: keyof ArchiveWindow['parts'][number]): string =>
  `{${parts.map((part) => part[field]).join(',')}}`

export type PartitionSummary = {
  name: string
  from: string
  to: string
  events: number
  bytes: number
  location: string | null
  offlineAt: string | null
}

/** The partitions that hold events, or did before they went offline, the oldest first. */
export async function selectPartitions(db: Db): Promise<PartitionSummary[]> {
  const { name, from, to, location, offlineAt } = archivePartitions
  return await db.orm
    .select({
      name,
      from,
      to,
      events: sql`sum(${archivePartitions.events})`.mapWith(Number),
      bytes: sql`coalesce(pg_total_relation_size(to_regclass(${name})), 0)`.mapWith(Number),
      location,
      offlineAt
    })
    .from(archivePartitions)
    .groupBy(name, from, to, location, offlineAt)
    .orderBy(from)
}

export type StorageSizes = {
  hot: { events: number; bytes: number }
  cold: { events: number; bytes: number }
  offline: { events: number }
}

/** How many events are in user_events, in the archive, and in partitions that are offline, and what they take. */
export async function selectSizes(db: Db, buckets: number): Promise<StorageSizes> {
  const [row] = await db.query<Record<'stored' | 'cold' | 'offline' | 'hotBytes' | 'coldBytes', string>>(
    `SELECT (SELECT coalesce(sum(head.position), 0) FROM generate_series(0, $1::integer - 1) AS b(bucket)
       CROSS JOIN LATERAL (SELECT e.position FROM user_events e WHERE e.bucket = b.bucket ORDER BY e.position DESC LIMIT 1) head) AS stored,
       coalesce(sum(p.events) FILTER (WHERE p."offlineAt" IS NULL), 0) AS cold,
       coalesce(sum(p.events) FILTER (WHERE p."offlineAt" IS NOT NULL), 0) AS offline,
       pg_total_relation_size('user_events') AS "hotBytes", archive_bytes() AS "coldBytes"
     FROM archive_partitions p`,
    [buckets],
    { repeatable: true }
  )
  const [stored, cold, offline] = [Number(row!.stored), Number(row!.cold), Number(row!.offline)]
  return {
    hot: { events: stored - cold - offline, bytes: Number(row!.hotBytes) },
    cold: { events: cold, bytes: Number(row!.coldBytes) },
    offline: { events: offline }
  }
}
