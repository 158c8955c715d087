/** When events are old enough for the archive, and whom they must have passed. */

const DAY_MS = 86_400_000

/** Events recorded before this moment are `afterDays` old at `now`, ms. RFC 3339 in UTC. */
export const cutoffOf = (now: number, afterDays: number): string => new Date(now - afterDays * DAY_MS).toISOString()

/** Workers that follow the log in every store, by name: nothing is moved before all of them have passed it. */
export const followersOf = (projections: readonly { name: string }[]): string[] => [
  'statistics',
  'snapshots',
  ...projections.map(({ name }) => `projection/${name}`)
]
