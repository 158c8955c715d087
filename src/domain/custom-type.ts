/**
 * Event types that are registered while the service runs. A definition is data: a JSON Schema, a JSON Patch that lifts data
 * of the version before, and an effect. Here it becomes an EventType like those in event-types/.
 */
import { createHash } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { Operation } from 'fast-json-patch'
import { applyEffect, type Effect } from './effect.js'
import type { JsonObject } from './event.js'
import { type Check, compileSchema } from './event-schema.js'
import type { EventType, EventTypeVersion } from './event-type.js'
import { applyPatch, PatchFailed } from './patch.js'
import { samplesOf } from './type-samples.js'

/** One version of a type, as a client registers it. */
export type EventTypeDefinition = {
  summary: string
  schema: JsonObject
  /** lifts data of the version before; must not be there on version 1 */
  upcast?: Operation[]
  effect: Effect
  /** dotted paths in eventData that hold personal data */
  personalData: string[]
}

/** Names that may be registered: no comma, which separates names in a slice of a replay. */
export const TYPE_NAME = '^[A-Za-z][A-Za-z0-9._-]{0,99}$'

/** Told of each patch that could not be applied to what is stored: what it was for, and nothing of the data. */
export type OnPatchFailed = (eventType: string, patch: 'upcast' | 'effect') => void

/**
 * The type that these definitions make, version 1 first. They were examined when they were registered, on samples: whether
 * a patch fits all data that is stored cannot be known. Each schema is compiled when it is first used: that takes some
 * 20 ms, and there may be hundreds.
 */
export function typeOf(
  name: string,
  definitions: readonly EventTypeDefinition[],
  onPatchFailed: OnPatchFailed
): EventType {
  const newest = definitions.at(-1)!
  const versions = definitions.map(({ schema, upcast }, i): EventTypeVersion => {
    let compiled: Check | undefined
    const check: Check = (data) => {
      compiled ??= compileSchema(schema)
      return compiled(data)
    }
    const lift = (data: JsonObject) => lifted(upcast!, data, () => onPatchFailed(name, 'upcast'))
    return { schema: Type.Unsafe(schema), check, ...(i === 0 ? {} : { upcast: lift }) }
  })
  return {
    name,
    summary: newest.summary,
    versions,
    get example() {
      return samplesOf(newest.schema).find((sample) => versions.at(-1)!.check!(sample) === null) ?? {}
    },
    effectVersion: 1,
    rules: rulesOf(definitions),
    personalData: newest.personalData,
    apply: (state, event) => applyEffect(newest.effect, state, event, () => onPatchFailed(name, 'effect'))
  }
}

/**
 * What of a type can make snapshots wrong. A type's first version can not: before it was registered there was no event of
 * it. Nor can a type without an effect. So only users whose type got another version have their snapshots made anew.
 */
function rulesOf(definitions: readonly EventTypeDefinition[]): string | null {
  if (definitions.length === 1 || definitions.every(({ effect }) => effect.kind === 'none')) return null
  return createHash('sha256').update(JSON.stringify(definitions)).digest('hex').slice(0, 16)
}

/** Data of the version before, lifted; null where the patch does not fit. */
function lifted(upcast: readonly Operation[], data: JsonObject, onFailed: () => void): JsonObject | null {
  try {
    return applyPatch(data, upcast)
  } catch (err) {
    if (!(err instanceof PatchFailed)) throw err
    onFailed()
    return null
  }
}
