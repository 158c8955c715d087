/** Chance that can be repeated: one seed per run, printed, and taken from FC_SEED when that is set. */
import { randomInt } from 'node:crypto'
import type { Test } from 'tap'

export type Random = {
  /** 0 <= n < 1 */
  next(): number
  /** 0 <= n < max, whole */
  below(max: number): number
  pick<T>(items: readonly T[]): T
}

/** The seed of this test, printed as a comment so that a failure can be run again. */
export function seedOf(t: Test): number {
  const seed = Number(process.env.FC_SEED ?? randomInt(2 ** 31))
  t.comment(`seed ${seed}; again with FC_SEED=${seed}`)
  return seed
}

/** mulberry32 (public domain, Tommy Ettinger): small, and good enough to draw lots. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (max: number): number => Math.floor(next() * max)
  return { next, below, pick: (items) => items[below(items.length)]! }
}

/** A UUID (version 4) of lots. */
export function uuidOf({ below }: Random): string {
  const hex = (digits: number): string => Array.from({ length: digits }, () => below(16).toString(16)).join('')
  return `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`
}
