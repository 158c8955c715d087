/** What an event of a registered type does to the state. Pure and total: it never throws on events that were stored. */
import type { Operation } from 'fast-json-patch'
import type { FoldEvent, JsonObject } from './event.js'
import { applyPatch, PATCH_BYTES_MAX, PatchFailed, TEST_FAILED, valueAt } from './patch.js'
import { isStateOf, mergePatch, type User, withChanges } from './user.js'

/** What an event does to the state. In the values of `patch`, `{ "$event": "/eventData/city" }` stands for a field of the event. */
export type Effect =
  | { kind: 'none' }
  | { kind: 'merge'; namespace: string }
  | { kind: 'patch'; operations: Operation[] }

/** State after the event; the one given stays as it was. `onFailed` is told when a patch fails for more than a `test`. */
export function applyEffect(effect: Effect, state: User, event: FoldEvent, onFailed: () => void): User {
  if (effect.kind === 'none') return state
  const { createdAt, eventData } = event
  if (effect.kind === 'patch') return patched(effect.operations, state, event, onFailed)
  const { namespace } = effect
  const attributes = mergePatch(state.attributes, { [namespace]: eventData })
  return withChanges(state, { attributes, updatedAt: createdAt })
}

/**
 * All operations or none: if one does not fit (a `test` that fails, a path that is not there, too much to write), or the
 * result would be no state, the event changes nothing. An operation whose value names a field that the event lacks is left
 * out; a `test` with one fails.
 */
function patched(operations: readonly Operation[], state: User, event: FoldEvent, onFailed: () => void): User {
  try {
    const changed = applyPatch(state, fillAll(operations, event)) as User
    const next = withChanges(changed, { updatedAt: event.createdAt })
    if (isStateOf({ userId: state.id, tenantId: state.tenantId }, next)) return next
    onFailed()
  } catch (err) {
    if (!(err instanceof PatchFailed)) throw err
    if (err.reason !== TEST_FAILED) onFailed()
  }
  return state
}

const MISSING = Symbol('missing')

/** The operations with fields of the event in place of their names. The fields share one allowance. */
function fillAll(operations: readonly Operation[], event: FoldEvent): Operation[] {
  let left = PATCH_BYTES_MAX
  return operations.flatMap((operation, i) => {
    if (!('value' in operation)) return [operation]
    const value = filled(operation.value, (pointer) => {
      const found = valueAt(event, pointer)
      if (found === undefined) return MISSING
      left -= Buffer.byteLength(JSON.stringify(found))
      if (left < 0) throw new PatchFailed(`fields of the event are more than ${PATCH_BYTES_MAX} bytes`, i)
      return found
    })
    if (value !== MISSING) return [{ ...operation, value } as Operation]
    if (operation.op === 'test') throw new PatchFailed(TEST_FAILED, i)
    return []
  })
}

function filled(template: unknown, fieldAt: (pointer: string) => unknown): unknown {
  if (Array.isArray(template)) {
    const items = template.map((item) => filled(item, fieldAt))
    return items.includes(MISSING) ? MISSING : items
  }
  if (typeof template !== 'object' || template === null) return template
  const pointer = pointerOf(template as JsonObject)
  if (pointer !== null) return fieldAt(pointer)
  const entries = Object.entries(template).map(([key, value]) => [key, filled(value, fieldAt)] as const)
  return entries.some(([, value]) => value === MISSING) ? MISSING : Object.fromEntries(entries)
}

/** The pointer of `{ "$event": pointer }`; null for any other value. */
export const pointerOf = (template: JsonObject): string | null =>
  typeof template.$event === 'string' && Object.keys(template).length === 1 ? template.$event : null
