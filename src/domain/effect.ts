/** What an event of a registered type does to the state. Pure and total: it never throws on events that were stored. */
import jsonPatch, { type Operation } from 'fast-json-patch'
import type { FoldEvent, JsonObject } from './event.js'
import { isStateOf } from './snapshot.js'
import { mergePatch, type User, withChanges } from './user.js'

/** What an event does to the state. In the values of `patch`, `{ "$event": "/eventData/city" }` stands for a field of the event. */
export type Effect =
  | { kind: 'none' }
  | { kind: 'merge'; namespace: string }
  | { kind: 'patch'; operations: Operation[] }

/** State after the event; the one given stays as it was. */
export function applyEffect(effect: Effect, state: User, event: FoldEvent): User {
  if (effect.kind === 'none') return state
  const { createdAt, eventData } = event
  if (effect.kind === 'patch') return patched(effect.operations, state, event)
  const { namespace } = effect
  const attributes = mergePatch(state.attributes, { [namespace]: eventData })
  return withChanges(state, { attributes, updatedAt: createdAt })
}

/**
 * All operations or none: if one does not fit (a `test` that fails, a path that is not there), or the result would be no
 * state, the event changes nothing. An operation whose value names a field that the event lacks is left out.
 */
function patched(operations: Operation[], state: User, event: FoldEvent): User {
  const filled = operations.map((operation) => fill(operation, event)).filter((operation) => operation !== null)
  try {
    const changed = jsonPatch.applyPatch(structuredClone(state), filled, true, true, true).newDocument
    const next = withChanges(changed, { updatedAt: event.createdAt })
    return isStateOf({ userId: state.id, tenantId: state.tenantId }, next) ? next : state
  } catch (err) {
    if (err instanceof jsonPatch.JsonPatchError) return state
    throw err
  }
}

const MISSING = Symbol('missing')

function fill(operation: Operation, event: FoldEvent): Operation | null {
  if (!('value' in operation)) return operation
  const value = filled(operation.value, event)
  return value === MISSING ? null : ({ ...operation, value } as Operation)
}

function filled(template: unknown, event: FoldEvent): unknown {
  if (Array.isArray(template)) {
    const items = template.map((item) => filled(item, event))
    return items.includes(MISSING) ? MISSING : items
  }
  if (typeof template !== 'object' || template === null) return template
  const pointer = pointerOf(template as JsonObject)
  if (pointer !== null) return valueAt(pointer, event)
  const entries = Object.entries(template).map(([key, value]) => [key, filled(value, event)] as const)
  return entries.some(([, value]) => value === MISSING) ? MISSING : Object.fromEntries(entries)
}

/** The pointer of `{ "$event": pointer }`; null for any other value. */
export const pointerOf = (template: JsonObject): string | null =>
  typeof template.$event === 'string' && Object.keys(template).length === 1 ? template.$event : null

/** What a JSON Pointer (RFC 6901) finds in the event. */
function valueAt(pointer: string, event: FoldEvent): unknown {
  let value: unknown = event
  for (const segment of pointer.split('/').slice(1)) {
    const key = segment.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return MISSING
    value = (value as JsonObject)[key]
  }
  return structuredClone(value)
}
