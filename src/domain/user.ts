/**
 * The state of a user: what folding its events gives. Absent values are null, collections are empty, counters 0;
 * nothing is ever undefined or missing, so that a client can rely on the shape.
 */
import type { JsonObject } from './event.js'

/**
 * Version of the rules that every event type shares: the shape below and `mergePatch`. Raise it when they change in
 * a way that gives another state for the same events, so that snapshots made before are no longer used.
 */
export const STATE_VERSION = 1

export type UserStatus = 'active' | 'inactive' | 'suspended' | 'deleted'

export type User = {
  id: string
  tenantId: string
  status: UserStatus
  username: string
  email: string
  fullName: string | null
  phone: string | null
  avatar: string | null
  roleIds: string[]
  attributes: JsonObject
  loginAttempts: number
  lockedUntil: string | null
  lockReason: string | null
  totalLogins: number
  lastLoginAt: string | null
  lastLoginIp: string | null
  passwordChangedAt: string | null
  createdAt: string
  updatedAt: string | null
  deletedAt: string | null
}

/**
 * `state` with `changes` made to it, later ones winning; the one given stays as it was. Names every field, because to spread this many takes
 * the engine thirty times as long, once for every event of a replay.
 */
export function withChanges(state: User, ...changes: Partial<User>[]): User {
  const copy: User = {
    id: state.id,
    tenantId: state.tenantId,
    status: state.status,
    username: state.username,
    email: state.email,
    fullName: state.fullName,
    phone: state.phone,
    avatar: state.avatar,
    roleIds: state.roleIds,
    attributes: state.attributes,
    loginAttempts: state.loginAttempts,
    lockedUntil: state.lockedUntil,
    lockReason: state.lockReason,
    totalLogins: state.totalLogins,
    lastLoginAt: state.lastLoginAt,
    lastLoginIp: state.lastLoginIp,
    passwordChangedAt: state.passwordChangedAt,
    createdAt: state.createdAt,
    updatedAt: state.updatedAt,
    deletedAt: state.deletedAt
  }
  return Object.assign(copy, ...changes) as User
}

/** JSON Merge Patch (RFC 7396) of an object onto an object: null removes, objects merge, all else replaces. */
export function mergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const merged = { ...target }
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key]
    else if (isObject(value)) merged[key] = mergePatch(isObject(merged[key]) ? merged[key] : {}, value)
    else merged[key] = value
  }
  return merged
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
