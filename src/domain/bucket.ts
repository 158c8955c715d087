/** Which independent order a user belongs to. Fixed for ever by the number of buckets of the store. */
import { createHash } from 'node:crypto'

/** Bucket of a user, 0 to `buckets` - 1: the first four bytes of the id's SHA-256, so that any id spreads evenly. */
export function bucketOf(userId: string, buckets: number): number {
  if (buckets === 1) return 0
  return createHash('sha256').update(userId).digest().readUInt32BE(0) % buckets
}
