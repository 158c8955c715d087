/** Whether a definition of an event type can be relied on, and what its coming breaks. Nothing is registered that was not examined. */
import jsonPatch, { type Operation } from 'fast-json-patch'
import type { EventTypeDefinition } from './custom-type.js'
import { type Effect, pointerOf } from './effect.js'
import { DomainError } from './errors.js'
import type { JsonObject } from './event.js'
import { type Check, compileSchema } from './event-schema.js'
import { findHazard } from './json.js'
import { applyPatch, PatchFailed } from './patch.js'
import { samplesOf } from './type-samples.js'

/** Something that a client or an older event would notice. */
export type Break = { direction: 'old data, new schema' | 'new data, old schema'; pointer: string; reason: string }

/** Fields of the state that a patch may change; the others tell what the log itself says. */
const PATCHED_FIELDS = ['username', 'email', 'fullName', 'phone', 'avatar', 'roleIds', 'attributes']
const UNSAFE_SEGMENT = /(?:^|\/)(?:__proto__|constructor|prototype)(?:\/|$)/

/**
 * Refuses a definition that could fail once it is in use: INVALID_EVENT_SCHEMA, INVALID_EFFECT, INVALID_UPCAST (the patch is
 * tried on samples of the version before, which `previous` is). `pointer` is into the request body. Returns what breaks
 * for those who do not know of the new version.
 */
export function examine(definition: EventTypeDefinition, previous: EventTypeDefinition | undefined): Break[] {
  const hazard = findHazard(definition, '')
  if (hazard) throw new DomainError('UNSAFE_JSON', `At ${hazard.pointer}: ${hazard.reason}.`, hazard)
  const check = compileAt(definition.schema)
  const samples = samplesOf(definition.schema, previous?.schema).filter((sample) => check(sample) === null)
  if (samples.length === 0) throw noSample()
  assertEffect(definition.effect)
  if (!previous) {
    if (definition.upcast) throw invalidUpcast('/upcast', 'version 1 has none before it; leave upcast out')
    return []
  }
  if (!definition.upcast)
    throw invalidUpcast(
      '/upcast',
      'data of the version before must be lifted; give a JSON Patch, [] if it fits as it is'
    )
  const oldCheck = compileSchema(previous.schema)
  const oldSamples = samplesOf(previous.schema, definition.schema).filter((sample) => oldCheck(sample) === null)
  assertOperations(definition.upcast, '/upcast', (operation, at) => {
    throw invalidUpcast(at, operation)
  })
  assertLifts(definition.upcast, oldSamples, check)
  return [
    ...breaksOf('old data, new schema', oldSamples, check),
    ...breaksOf('new data, old schema', samples, oldCheck)
  ]
}

function compileAt(schema: JsonObject): Check {
  try {
    return compileSchema(schema)
  } catch (err) {
    if (!(err instanceof DomainError)) throw err
    throw new DomainError(err.code, err.message, { ...err.facts, pointer: `/schema${err.facts.pointer ?? ''}` })
  }
}

const EVENT_FIELD = /^\/(?:eventData(?:\/.*)?|createdAt|version)$/s

function assertEffect(effect: Effect): void {
  if (effect.kind !== 'patch') return
  assertOperations(effect.operations, '/effect/operations', (reason, at) => {
    throw invalidEffect(at, reason)
  })
  for (const [i, operation] of effect.operations.entries()) {
    const at = `/effect/operations/${i}`
    const paths =
      operation.op === 'test' ? [] : 'from' in operation ? [operation.from, operation.path] : [operation.path]
    for (const path of paths) {
      const field = path.split('/')[1] ?? ''
      if (!PATCHED_FIELDS.includes(field))
        throw invalidEffect(at, `the path ${path} may not be changed; a patch may change ${PATCHED_FIELDS.join(', ')}`)
    }
    if ('value' in operation) assertTemplate(operation.value, `${at}/value`)
  }
}

function assertTemplate(template: unknown, at: string): void {
  if (typeof template !== 'object' || template === null) return
  const pointer = pointerOf(template as JsonObject)
  if (pointer !== null && !EVENT_FIELD.test(pointer))
    throw invalidEffect(at, `$event is ${pointer}, but must begin with /eventData, or be /createdAt or /version`)
  for (const [key, child] of Object.entries(template)) assertTemplate(child, `${at}/${key}`)
}

function assertOperations(operations: Operation[], at: string, refuse: (reason: string, at: string) => never): void {
  const err = jsonPatch.validate(operations)
  if (err) refuse(`this is no operation of RFC 6902 (${err.name})`, `${at}/${err.index ?? 0}`)
  for (const [i, operation] of operations.entries()) {
    for (const path of 'from' in operation ? [operation.path, operation.from] : [operation.path]) {
      if (UNSAFE_SEGMENT.test(path))
        refuse(`the path ${path} names a part of the engine, not of the data`, `${at}/${i}`)
    }
  }
}

/** The patch must make of every sample of the old schema something that the new one accepts. */
function assertLifts(upcast: Operation[], oldSamples: JsonObject[], check: Check): void {
  for (const sample of oldSamples) {
    let lifted: JsonObject
    try {
      lifted = applyPatch(sample, upcast)
    } catch (err) {
      if (!(err instanceof PatchFailed)) throw err
      throw invalidUpcast(
        `/upcast/${err.index}`,
        `the patch cannot be applied (${err.reason}) to data that was valid before`,
        sample
      )
    }
    const problem = check(lifted)
    if (problem)
      throw invalidUpcast(
        '/upcast',
        `what it makes of valid old data does not fit the new schema: ${problem.pointer || 'the data'} ${problem.reason}`,
        sample
      )
  }
}

function breaksOf(direction: Break['direction'], samples: JsonObject[], check: Check): Break[] {
  const found = new Map<string, Break>()
  for (const sample of samples) {
    const problem = check(sample)
    if (problem) found.set(`${problem.pointer} ${problem.reason}`, { direction, ...problem })
  }
  return [...found.values()]
}

const noSample = (): DomainError =>
  new DomainError(
    'INVALID_EVENT_SCHEMA',
    'No data could be made up that fits the schema, so it may accept nothing. Give one or more valid documents in its examples.',
    { pointer: '/schema', reason: 'no example' }
  )

const invalidEffect = (pointer: string, reason: string): DomainError =>
  new DomainError('INVALID_EFFECT', `The effect is not valid at ${pointer}: ${reason}.`, { pointer, reason })

const invalidUpcast = (pointer: string, reason: string, sample?: JsonObject): DomainError =>
  new DomainError('INVALID_UPCAST', `The upcast is not valid at ${pointer}: ${reason}.`, {
    pointer,
    reason,
    ...(sample ? { sample } : {})
  })
