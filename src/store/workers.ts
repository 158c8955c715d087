/** Leases and progress of background work, one row per worker and bucket (DESIGN D6). */
import type { Db } from '../db/client.js'
import type { Lease as LeaseOfBucket } from '../domain/holdup.js'

export type Lease = { epoch: number /** last position dealt with */; position: number }

const CLAIM = `
  INSERT INTO workers AS w (bucket, name, holder, epoch, "leaseUntil")
  VALUES ($1::smallint, $2::text, $3::uuid, 1, clock_timestamp() + $4::integer * interval '1 millisecond')
  ON CONFLICT (bucket, name) DO UPDATE
  SET holder = excluded.holder, "leaseUntil" = excluded."leaseUntil",
      epoch = w.epoch + CASE WHEN w.holder = excluded.holder THEN 0 ELSE 1 END
  WHERE w.holder = excluded.holder OR w."leaseUntil" < clock_timestamp()
  RETURNING epoch, position`

/** Takes or renews the lease of a worker for `leaseMs`; null while another instance holds it. The database's clock decides. */
export async function claimLease(
  db: Db,
  bucket: number,
  name: string,
  holder: string,
  leaseMs: number
): Promise<Lease | null> {
  const [row] = await db.query<{ epoch: string; position: string }>(CLAIM, [bucket, name, holder, leaseMs], {
    repeatable: true
  })
  return row ? { epoch: Number(row.epoch), position: Number(row.position) } : null
}

/** Lets others take over at once. Does nothing if the lease was lost meanwhile. */
export async function releaseLease(db: Db, bucket: number, name: string, holder: string): Promise<void> {
  await db.query(
    `UPDATE workers SET "leaseUntil" = '-infinity' WHERE bucket = $1::smallint AND name = $2::text AND holder = $3::uuid`,
    [bucket, name, holder],
    {
      repeatable: true
    }
  )
}

/** Notes how far a worker got. Only the holder of `epoch` can, and only forward; tells whether it could. */
export async function updatePosition(
  db: Db,
  bucket: number,
  name: string,
  epoch: number,
  position: number
): Promise<boolean> {
  const rows = await db.query(
    `UPDATE workers SET position = greatest(position, $4::bigint)
     WHERE bucket = $1::smallint AND name = $2::text AND epoch = $3::bigint RETURNING name`,
    [bucket, name, epoch, position],
    { repeatable: true }
  )
  return rows.length === 1
}

export type WorkerPlace = { name: string; lagEvents: number; lease: LeaseOfBucket }

/** Every worker that ever ran, by name and bucket. A lease that was given up (-infinity) counts as one that ended in 1970. */
export async function selectWorkers(db: Db): Promise<WorkerPlace[]> {
  const rows = await db.query<{ name: string; lagEvents: string } & LeaseOfBucket>(
    `SELECT w.name, w.bucket, w.holder, greatest(h.head - w.position, 0) AS "lagEvents",
       extract(epoch FROM greatest(w."leaseUntil", 'epoch') - clock_timestamp())::float8 AS "secondsLeft"
     FROM workers w
     CROSS JOIN LATERAL (SELECT coalesce(max(e.position), 0) AS head FROM user_events e WHERE e.bucket = w.bucket) h
     ORDER BY w.name, w.bucket`,
    [],
    { repeatable: true }
  )
  return rows.map(({ name, lagEvents, ...lease }) => ({ name, lagEvents: Number(lagEvents), lease }))
}
