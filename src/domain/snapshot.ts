/** Snapshots: stored states that save folding. Never the truth, always rebuildable. */
import type { StreamKey } from './event.js'
import type { User } from './user.js'

export type Snapshot = {
  id: string
  aggregateId: string
  tenantId: string
  version: number
  state: User
  fingerprint: string
  metadata: SnapshotMetadata
  createdAt: string
}

export type SnapshotMetadata = {
  /** why it was made: `threshold`, `manual` or what the caller said */
  reason: string
  /** events folded to make it, on top of the snapshot before */
  eventCount: number
  /** bytes of the state as JSON */
  snapshotSize: number
  createdBy: string
}

/** Whether a user at `version` whose newest usable snapshot is at `snapshotVersion` (0: none) is due for another. */
export const isSnapshotDue = (version: number, snapshotVersion: number, threshold: number): boolean =>
  version - snapshotVersion >= threshold

/** Whether what was stored as the state of a user is one and is theirs. A snapshot of which it is not must not be used. */
export function isStateOf({ userId, tenantId }: StreamKey, stored: unknown): stored is User {
  const state = stored as Partial<User> | null
  return (
    state?.id === userId &&
    state.tenantId === tenantId &&
    typeof state.totalLogins === 'number' &&
    Array.isArray(state.roleIds) &&
    typeof state.attributes === 'object' &&
    state.attributes !== null
  )
}
