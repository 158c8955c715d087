/**
 * Marks in the log and the cursors that carry them to clients and back. A mark stands between two events: in every bucket
 * what is at or below its position lies before it, so that one mark serves both directions. Positions alone would lie after
 * a restore from a backup, which keeps the store's identity while other events take the places of those that were lost;
 * therefore a mark also knows which events it stands behind, by hashes of their ids. XOR of these makes one check over
 * all buckets that moves along with one event at a time.
 */
import { createHash } from 'node:crypto'
import { type CursorScope, type Cursors, cursorMalformed, unverified } from './cursor.js'
import { DomainError } from './errors.js'
import { UUID } from './event.js'

export type Mark = {
  /** by bucket: position of the last event before the mark; 0 before the first */
  positions: number[]
  /** by bucket: `hashOf` the id of that event; 0 before the first */
  hashes: bigint[]
  /** all hashes, XORed */
  check: bigint
  /** sum of the positions: how many events lie before the mark */
  total: number
}

export const markOf = (positions: readonly number[], hashes: readonly bigint[]): Mark => ({
  positions: [...positions],
  hashes: [...hashes],
  check: hashes.reduce((check, hash) => check ^ hash, 0n),
  total: positions.reduce((total, position) => total + position, 0)
})

/** Moves `mark` in one bucket to stand behind the event at `position`, whose id has this hash. */
export function moveTo(mark: Mark, bucket: number, position: number, hash: bigint): void {
  mark.check ^= mark.hashes[bucket]! ^ hash
  mark.total += position - mark.positions[bucket]!
  mark.positions[bucket] = position
  mark.hashes[bucket] = hash
}

/** 48 bits that name an event; 0 for none. */
export const hashOf = (eventId: string | null): bigint =>
  eventId === null ? 0n : BigInt(`0x${createHash('sha256').update(eventId).digest('hex').slice(0, HASH_DIGITS)}`)

const HASH_DIGITS = 12

/** The buckets in which the two marks differ, those that are furthest apart first. */
export const bucketsBetween = (a: readonly number[], b: readonly number[]): number[] =>
  a
    .map((position, bucket) => ({ bucket, distance: Math.abs(position - b[bucket]!) }))
    .filter(({ distance }) => distance > 0)
    .sort((x, y) => y.distance - x.distance)
    .map(({ bucket }) => bucket)

export type FeedCursors = ReturnType<typeof createFeedCursors>

/** The cursors of the feed of the store that `storeId` names. */
export function createFeedCursors({
  cursors,
  storeId,
  buckets
}: {
  cursors: Cursors
  storeId: string
  buckets: number
}) {
  const scopeOf = (tenantId: string): CursorScope => ['feed', tenantId]
  return {
    /** Positions are in base 36: a store can have 1,024 buckets. */
    write(tenantId: string, { positions, check }: Pick<Mark, 'positions' | 'check'>): string {
      const places = positions.map((position) => position.toString(36)).join('~')
      return cursors.write(scopeOf(tenantId), [storeId, places, check.toString(16)])
    },

    /**
     * What a cursor says; whether the log still agrees is for the caller to find out. Throws CURSOR_MALFORMED for what is no
     * cursor of the feed, or another tenant's; CURSOR_INVALID for one of another store, whose signature nobody here can check.
     */
    read(tenantId: string, cursor: string): Pick<Mark, 'positions' | 'check'> {
      const said = unverified(cursor)
      const store = Array.isArray(said) ? String(said[0]) : ''
      if (IS_UUID.test(store) && store !== storeId) throw cursorInvalid('it was made by another store')
      const [, places, check] = cursors.read<[store: string, places: string, check: string]>(scopeOf(tenantId), cursor)
      const positions = places.split('~').map((place) => Number.parseInt(place, 36))
      if (positions.length !== buckets) throw cursorMalformed()
      return { positions, check: BigInt(`0x${check}`) }
    }
  }
}

const IS_UUID = new RegExp(UUID)

/** `why` completes "The cursor does not fit this log: ". */
export const cursorInvalid = (why: string): DomainError =>
  new DomainError(
    'CURSOR_INVALID',
    `The cursor does not fit this log: ${why}. What it stood for is not known any more. Begin again without a cursor, at the first event or at the newest.`
  )
