/**
 * The state of a user: what folding its events gives. Absent values are null, collections are empty, counters 0;
 * nothing is ever undefined or missing, so that a client can rely on the shape.
 */
import type { JsonObject, StreamKey } from './event.js'

/**
 * Version of the rules that event types share: the shape below, `mergePatch`, and how registered types are lifted and applied. Raise it when they change in
 * a way that gives another state for the same events, so that snapshots made before are no longer used.
 */
export const STATE_VERSION = 2

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
