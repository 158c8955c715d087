/** Snapshots: stored states that save folding. Never the truth, always rebuildable. */
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

/** Names of the rules under which snapshots are usable: `general` for all tenants but those that have their own. */
export type Fingerprints = { general: string; byTenant: Record<string, string> }

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
