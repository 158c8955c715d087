/** Who asks, for whose users, and what they may do. */

/**
 * - `events:write`: append and import events
 * - `events:read`: read events, the feed, statistics of events and event types
 * - `state:read`: read states, differences, snapshots and the directory of users
 * - `snapshots:admin`: make and delete snapshots
 * - `events:admin`: subscriptions, event types, projections, the archive, API keys and the audit
 * - `tenants:all`: act for any tenant, and on what belongs to all of them
 */
export const SCOPES = [
  'events:write',
  'events:read',
  'state:read',
  'snapshots:admin',
  'events:admin',
  'tenants:all'
] as const

export type Scope = (typeof SCOPES)[number]

export type Principal = {
  /** stands in the metadata of events and in the audit: `key:<id>`, `jwt:<subject>`; `anonymous` with AUTH=off */
  name: string
  tenantId: string
  scopes: ReadonlySet<Scope>
}
