/** Snapshots in the database. `fingerprint` always names the rules of the calling service: usable means made under it. */
import { and, asc, desc, eq, lt } from 'drizzle-orm'
import { ALL_TENANTS } from '../db/as-tenants.js'
import type { Db } from '../db/client.js'
import { userSnapshots } from '../db/tables.js'
import type { StreamKey } from '../domain/event.js'
import type { Fingerprints, Snapshot } from '../domain/snapshot.js'

/** `stateText` is its state as JSON. */
export type NewSnapshot = Omit<Snapshot, 'createdAt' | 'aggregateId' | 'tenantId' | 'state'> & { stateText: string }
export type SnapshotSummary = Omit<Snapshot, 'state'>

const { aggregateId, bucket: bucketColumn, tenantId, version, fingerprint: fingerprintColumn } = userSnapshots
const summary = {
  id: userSnapshots.id,
  aggregateId,
  tenantId,
  version,
  fingerprint: fingerprintColumn,
  metadata: userSnapshots.metadata,
  createdAt: userSnapshots.createdAt
}

const ofUser = (bucket: number, key: StreamKey) =>
  and(eq(bucketColumn, bucket), eq(aggregateId, key.userId), eq(tenantId, key.tenantId))

/**
 * Stores a snapshot unless the same one is there, and then deletes all but the `retain` best ones of the user. Returns it, or null if it
 * was there. One of its version and fingerprint with another state is replaced: rules and events being the same, that state cannot be right.
 */
export async function insertSnapshot(
  db: Db,
  bucket: number,
  key: StreamKey,
  { stateText, ...snapshot }: NewSnapshot,
  retain: number
): Promise<SnapshotSummary | null> {
  const { id, version: at, fingerprint, metadata } = snapshot
  const [row] = await db.as(key.tenantId).query<{ stored: boolean; createdAt: string }>(
    `SELECT kept.stored, date_trunc('milliseconds', now()) AS "createdAt",
       CASE WHEN kept.stored THEN drop_snapshots($1::smallint, $2::uuid, $3::uuid, $9::integer, $6) END AS dropped
     FROM (SELECT keep_snapshot($1::smallint, $2::uuid, $3::uuid, $4::uuid, $5::integer, $6, $7::text::jsonb, $8::text::jsonb) AS stored OFFSET 0) kept`,
    [bucket, key.userId, key.tenantId, id, at, fingerprint, stateText, JSON.stringify(metadata), retain]
  )
  const { stored, createdAt } = row!
  if (!stored) return null
  return { ...snapshot, aggregateId: key.userId, tenantId: key.tenantId, createdAt: new Date(createdAt).toISOString() }
}

/** Snapshots of a user without their states, newest first, at most 1,000. */
export async function selectSnapshots(db: Db, bucket: number, key: StreamKey): Promise<SnapshotSummary[]> {
  const { orm } = db.as(key.tenantId)
  return await orm.select(summary).from(userSnapshots).where(ofUser(bucket, key)).orderBy(desc(version)).limit(1000)
}

/** Newest snapshot of a user under `fingerprint`, below a version if one is given, or undefined. Its state is as it was found. */
export async function selectLatestSnapshot(
  db: Db,
  bucket: number,
  key: StreamKey,
  fingerprint: string,
  below?: number
): Promise<Snapshot | undefined> {
  const { orm } = db.as(key.tenantId)
  const [snapshot] = await orm
    .select({ ...summary, state: userSnapshots.state })
    .from(userSnapshots)
    .where(
      and(ofUser(bucket, key), eq(fingerprintColumn, fingerprint), below === undefined ? undefined : lt(version, below))
    )
    .orderBy(desc(version))
    .limit(1)
  return snapshot
}

/** The snapshot of one version and fingerprint, without its state, or undefined. */
export async function selectSnapshotAt(
  db: Db,
  bucket: number,
  key: StreamKey,
  at: number,
  fingerprint: string
): Promise<SnapshotSummary | undefined> {
  const { orm } = db.as(key.tenantId)
  const [snapshot] = await orm
    .select(summary)
    .from(userSnapshots)
    .where(and(ofUser(bucket, key), eq(version, at), eq(fingerprintColumn, fingerprint)))
    .limit(1)
  return snapshot
}

/** All snapshots of a user under `fingerprint` with their states, oldest version first, at most 1,000. */
export async function selectSnapshotStates(
  db: Db,
  bucket: number,
  key: StreamKey,
  fingerprint: string
): Promise<Pick<Snapshot, 'version' | 'state'>[]> {
  const { orm } = db.as(key.tenantId)
  return await orm
    .select({ version, state: userSnapshots.state })
    .from(userSnapshots)
    .where(and(ofUser(bucket, key), eq(fingerprintColumn, fingerprint)))
    .orderBy(asc(version))
    .limit(1000)
}

/** Where a walk over all users with snapshots stands. */
export type UserMark = { bucket: number; userId: string }

const SNAPSHOT_USERS = `
  SELECT s.bucket, s."aggregateId" AS "userId", s."tenantId",
         bool_or(s.fingerprint = coalesce($5::text::jsonb ->> s."tenantId"::text, $4::text)) AS usable
  FROM user_snapshots s WHERE (s.bucket, s."aggregateId") > ($1::smallint, $2::uuid)
  GROUP BY s.bucket, s."aggregateId", s."tenantId" ORDER BY s.bucket, s."aggregateId" LIMIT $3::integer`

/** The next `limit` users with snapshots after `after`, and whether one of each can be used. */
export async function selectSnapshotUsers(
  db: Db,
  after: UserMark | null,
  limit: number,
  { general, byTenant }: Fingerprints
): Promise<(UserMark & { tenantId: string; usable: boolean })[]> {
  const { bucket, userId } = after ?? { bucket: -1, userId: '00000000-0000-0000-0000-000000000000' }
  return await db.as(ALL_TENANTS).query(SNAPSHOT_USERS, [bucket, userId, limit, general, JSON.stringify(byTenant)], {
    repeatable: true
  })
}

/** Deletes all but the `retain` best snapshots of a user: usable ones before others, newer before older. Returns how many. */
export async function deleteSnapshotsBeyond(
  db: Db,
  bucket: number,
  key: StreamKey,
  retain: number,
  fingerprint: string
): Promise<number> {
  const acting = db.as(key.tenantId)
  const [row] = await acting.query<{ deleted: number }>(
    'SELECT drop_snapshots($1::smallint, $2::uuid, $3::uuid, $4::integer, $5) AS deleted',
    [bucket, key.userId, key.tenantId, retain, fingerprint]
  )
  return row!.deleted
}

/** Where a walk over snapshots by age stands. */
export type AgeMark = { createdAt: string; id: string }

/**
 * Deletes expired snapshots (made before `before`) among the next `limit` after `after`, but never a user's newest usable one.
 * Returns how many and where to go on; `next` is null after the last.
 */
export async function deleteExpiredSnapshots(
  db: Db,
  {
    before,
    after,
    limit,
    fingerprints
  }: { before: string; after: AgeMark | null; limit: number; fingerprints: Fingerprints }
): Promise<{ deleted: number; next: AgeMark | null }> {
  const from = after ?? { createdAt: '-infinity', id: '00000000-0000-0000-0000-000000000000' }
  const [row] = await db.as(ALL_TENANTS).query<AgeMark & { deleted: number }>(
    `SELECT deleted, "createdAt", id
     FROM expire_snapshots($1::text::timestamptz, $2::text::timestamptz, $3::uuid, $4::integer, $5, $6::text::jsonb)`,
    [before, from.createdAt, from.id, limit, fingerprints.general, JSON.stringify(fingerprints.byTenant)]
  )
  return row ? { deleted: row.deleted, next: { createdAt: row.createdAt, id: row.id } } : { deleted: 0, next: null }
}

/**
 * A user who is due for a snapshot when `version` is far enough past `snapshotVersion`; `stale` if there are snapshots, but
 * none that can be used under the rules of now.
 */
export type SnapshotCandidate = { key: StreamKey; version: number; snapshotVersion: number; stale: boolean }

const CANDIDATES = `
  WITH span AS (
    SELECT least(coalesce(max(e.position), 0), $2::bigint + $3::integer) AS upto FROM user_events e WHERE e.bucket = $1::smallint
  ), grown AS (
    SELECT e."aggregateId", e."tenantId", max(e.version) AS version FROM user_events e
    WHERE e.bucket = $1::smallint AND e.position > $2::bigint AND e.position <= $2::bigint + $3::integer
      AND e.version >= $4::integer
    GROUP BY e."aggregateId", e."tenantId"
  )
  SELECT span.upto, grown."aggregateId", grown."tenantId", grown.version, coalesce(newest.version, 0) AS "snapshotVersion",
    newest.version IS NULL AND EXISTS (
      SELECT FROM user_snapshots s WHERE s.bucket = $1::smallint AND s."aggregateId" = grown."aggregateId") AS stale
  FROM span
  LEFT JOIN grown ON true
  LEFT JOIN LATERAL (
    SELECT s.version FROM user_snapshots s
    WHERE s.bucket = $1::smallint AND s."aggregateId" = grown."aggregateId"
      AND s.fingerprint = coalesce($6::text::jsonb ->> grown."tenantId"::text, $5::text)
    ORDER BY s.version DESC LIMIT 1
  ) newest ON true
  ORDER BY stale`

type CandidateRow = {
  upto: string | null
  aggregateId: string | null
  tenantId: string
  version: number
  snapshotVersion: number
  stale: boolean
}

/**
 * Users with events in the next `span` positions after `position` and at least `threshold` versions, with how far their
 * newest usable snapshot goes, the stale ones last; and the last position looked at, `position` itself when there is nothing new.
 */
export async function selectSnapshotCandidates(
  db: Db,
  {
    bucket,
    position,
    span,
    threshold,
    fingerprints
  }: { bucket: number; position: number; span: number; threshold: number; fingerprints: Fingerprints }
): Promise<{ upTo: number; candidates: SnapshotCandidate[] }> {
  const acting = db.as(ALL_TENANTS)
  const rows = await acting.query<CandidateRow>(
    CANDIDATES,
    [bucket, position, span, threshold, fingerprints.general, JSON.stringify(fingerprints.byTenant)],
    {
      repeatable: true
    }
  )
  const upTo = Math.max(position, Number(rows[0]?.upto ?? 0))
  const candidates = rows.flatMap(({ aggregateId: userId, tenantId: tenant, version: at, snapshotVersion, stale }) =>
    userId === null ? [] : [{ key: { userId, tenantId: tenant }, version: at, snapshotVersion, stale }]
  )
  return { upTo, candidates }
}
