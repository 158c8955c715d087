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

/** Whether what was stored as the state of a user is one and is theirs. A snapshot of which it is not must not be used. */
export function isStateOf({ userId, tenantId }: StreamKey, stored: unknown): stored is User {
  if (typeof stored !== 'object' || stored === null) return false
  const state = stored as Record<string, unknown>
  return (
    state.id === userId &&
    state.tenantId === tenantId &&
    Object.entries(FIELDS).every(([name, fits]) => fits(state[name]))
  )
}

type Check = (value: unknown) => boolean
const text: Check = (value) => typeof value === 'string'
const textOrNull: Check = (value) => value === null || typeof value === 'string'
const count: Check = (value) => typeof value === 'number' && Number.isInteger(value) && value >= 0
const texts: Check = (value) => Array.isArray(value) && value.every(text)
const object: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

const FIELDS: Record<keyof User, Check> = {
  id: text,
  tenantId: text,
  status: text,
  username: text,
  email: text,
  fullName: textOrNull,
  phone: textOrNull,
  avatar: textOrNull,
  roleIds: texts,
  attributes: object,
  loginAttempts: count,
  lockedUntil: textOrNull,
  lockReason: textOrNull,
  totalLogins: count,
  lastLoginAt: textOrNull,
  lastLoginIp: textOrNull,
  passwordChangedAt: textOrNull,
  createdAt: text,
  updatedAt: textOrNull,
  deletedAt: textOrNull
}
