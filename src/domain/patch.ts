/**
 * JSON Patch (RFC 6902) as clients register it: applied as a whole or not at all, and within bounds. A patch of a few bytes
 * can double what it copies with every operation, or wrap it once more with every event, so what it writes is counted.
 */
import jsonPatch, { type Operation } from 'fast-json-patch'
import type { JsonObject } from './event.js'

/** Operations of one patch. */
export const OPERATIONS_MAX = 100
/** Bytes of JSON that one patch may write: all that it adds, replaces or copies, also what it removes again. */
export const PATCH_BYTES_MAX = 65_536
/** Bytes of JSON to which patches may make a document grow. */
export const PATCHED_BYTES_MAX = 1_048_576
/** Nesting of what a patch writes; the document itself counts as 1. */
export const PATCHED_DEPTH_MAX = 64

/** `reason` of a patch whose `test` does not hold. */
export const TEST_FAILED = 'TEST_OPERATION_FAILED'

/** Operation `index` cannot be applied. Says nothing of the document, which may hold personal data. */
export class PatchFailed extends Error {
  override name = 'PatchFailed'
  constructor(
    readonly reason: string,
    readonly index: number
  ) {
    super(`Operation ${index} of the patch cannot be applied (${reason}).`)
  }
}

/**
 * What the operations make of `document`, which stays as it was; nothing of either is shared with the result.
 * Throws PatchFailed if one does not fit, if the patch writes too much or too deep, or if the result is no object.
 */
export function applyPatch(document: JsonObject, operations: readonly Operation[]): JsonObject {
  const before = JSON.stringify(document)
  let changed: unknown = JSON.parse(before)
  let written = 0
  for (const [i, operation] of operations.entries()) {
    const step = detached(changed, operation, i)
    written += step.bytes
    if (written > PATCH_BYTES_MAX) throw new PatchFailed(`it writes more than ${PATCH_BYTES_MAX} bytes`, i)
    changed = applyOne(changed, step.operation, i)
  }
  const last = operations.length - 1
  if (typeof changed !== 'object' || changed === null || Array.isArray(changed))
    throw new PatchFailed('what it makes is no object', last)
  const bytes = Buffer.byteLength(before)
  if (bytes + written > PATCHED_BYTES_MAX) {
    const after = Buffer.byteLength(JSON.stringify(changed))
    if (after > PATCHED_BYTES_MAX && after > bytes)
      throw new PatchFailed(`it makes more than ${PATCHED_BYTES_MAX} bytes`, last)
  }
  return changed as JsonObject
}

/**
 * The operation with a value of its own, and how many bytes it writes. The library puts values into the document as they
 * are, finds what objects inherit, and fails with errors without a name when something is moved into itself.
 */
function detached(document: unknown, operation: Operation, index: number): { operation: Operation; bytes: number } {
  const { op, path } = operation
  if (op === 'add' || op === 'replace') {
    const { value, bytes } = placed(operation.value, path, index)
    return { operation: { op, path, value }, bytes: bytes + keyBytes(path) }
  }
  if (op !== 'move' && op !== 'copy') return { operation, bytes: 0 }
  const { from } = operation
  const found = valueAt(document, from)
  if (found === undefined) throw new PatchFailed('OPERATION_FROM_UNRESOLVABLE', index)
  if (op === 'move') {
    if (path.startsWith(`${from}/`)) throw new PatchFailed('it moves a value into itself', index)
    assertDepth(found, path, index)
    return { operation, bytes: keyBytes(path) }
  }
  const { value, bytes } = placed(found, path, index)
  return { operation: { op: 'add', path, value }, bytes: bytes + keyBytes(path) }
}

function placed(value: unknown, path: string, index: number): { value: unknown; bytes: number } {
  assertDepth(value, path, index)
  const text = JSON.stringify(value)
  return { value: JSON.parse(text), bytes: Buffer.byteLength(text) }
}

/** At least what the last part of the path takes as a key, with quotation marks, colon and comma. */
const keyBytes = (path: string): number => Buffer.byteLength(JSON.stringify(path)) + 1

function assertDepth(value: unknown, path: string, index: number): void {
  if (isDeeper(value, PATCHED_DEPTH_MAX - path.split('/').length + 1))
    throw new PatchFailed(`it nests deeper than ${PATCHED_DEPTH_MAX} levels`, index)
}

/** Whether a value has more than `levels` levels of objects and lists. */
function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return levels < 0
  return levels <= 0 || Object.values(value).some((child) => isDeeper(child, levels - 1))
}

function applyOne(document: unknown, operation: Operation, index: number): unknown {
  try {
    return jsonPatch.applyOperation(document, operation, true, true, true, index).newDocument
  } catch (err) {
    // The library's message shows the whole document. Whatever the error is, the operation does not fit.
    throw new PatchFailed((err as Error).name, index)
  }
}

/** What a JSON Pointer (RFC 6901) finds in a JSON value; undefined if there is nothing. */
export function valueAt(document: unknown, pointer: string): unknown {
  let value = document
  for (const segment of pointer.split('/').slice(1)) {
    const key = segment.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as JsonObject)[key]
  }
  return value
}
