/** What is fixed at the first start of a store. */
import type { Db } from '../db/client.js'

export type StoreIdentity = {
  id: string
  buckets: number
  /** signs cursors */
  secret: string
}

/** Null before the first start. */
export async function selectIdentity(db: Db): Promise<StoreIdentity | null> {
  const [row] = await db.query<StoreIdentity>('SELECT id, buckets, secret FROM store_identity', [], {
    repeatable: true
  })
  return row ?? null
}

/** The store's identity; made with `buckets` by whoever comes first. */
export async function claimIdentity(db: Db, buckets: number): Promise<StoreIdentity> {
  await db.query('INSERT INTO store_identity (buckets) VALUES ($1::smallint) ON CONFLICT DO NOTHING', [buckets], {
    repeatable: true
  })
  return (await selectIdentity(db))!
}
