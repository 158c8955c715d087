/**
 * The event types the service knows, and what can be asked of them: which schema version data has, what it looks like
 * at the newest version, and what an event does to the state. Adding a type is a file in event-types/ and a line here.
 */
import { createHash } from 'node:crypto'
import type { TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { DomainError } from './errors.js'
import type { FoldEvent, JsonObject, StreamKey, UnpreparedEvent } from './event.js'
import type { Check } from './event-schema.js'
import type { EventType } from './event-type.js'
import { accountLocked } from './event-types/account-locked.js'
import { accountUnlocked } from './event-types/account-unlocked.js'
import { loginInfoUpdated } from './event-types/login-info-updated.js'
import { passwordChanged } from './event-types/password-changed.js'
import { rolesAssigned } from './event-types/roles-assigned.js'
import { userCreated } from './event-types/user-created.js'
import { userDeleted } from './event-types/user-deleted.js'
import { userUpdated } from './event-types/user-updated.js'
import { registerFormats } from './formats.js'
import { STATE_VERSION, type User } from './user.js'

export const builtInTypes: readonly EventType[] = [
  userCreated,
  userUpdated,
  passwordChanged,
  userDeleted,
  loginInfoUpdated,
  accountLocked,
  accountUnlocked,
  rolesAssigned
]

/** The two types that the rules of a user's life name (a stream begins with one and ends with the other). */
export const CREATED = userCreated.name
export const DELETED = userDeleted.name

const BUILT_IN = new Set(builtInTypes.map(({ name }) => name))

/** What metrics call a type: the names that clients register have no bound. */
export const labelOf = (eventType: string): string => (BUILT_IN.has(eventType) ? eventType : '_registered')

/** An event that another instance may know how to read: its type or version is not in the catalog. */
export class UnknownRules extends Error {
  override name = 'UnknownRules'
}

export type Catalog = ReturnType<typeof createCatalog>

/** Throws if a type lacks an upcaster, so that a hole in a chain stops the start and not a read. */
export function createCatalog(types: readonly EventType[] = builtInTypes) {
  registerFormats()
  const byName = new Map(
    types.map((type) => [
      type.name,
      { type, checks: type.versions.map(({ schema, check }) => check ?? compile(type.name, schema)) }
    ])
  )
  for (const { type } of byName.values()) assertChain(type)

  function find(eventType: string) {
    const found = byName.get(eventType)
    if (found) return found
    throw new UnknownRules(`The log holds an event of type ${eventType}, which this service does not know.`)
  }

  return {
    types,

    /** Names the rules that turn events into state; snapshots made under another name are not used. 12 hex digits. */
    fingerprint: fingerprintOf(types),

    /**
     * The schema version under which `event` is to be stored: the one it names, else the newest that accepts its data.
     * `pointer` is the place of the event in the request, for errors.
     * Throws UNKNOWN_EVENT_TYPE, UNKNOWN_SCHEMA_VERSION or INVALID_EVENT_DATA (with `pointer` and `reason`).
     */
    schemaVersionOf(event: UnpreparedEvent, pointer: string): number {
      const known = byName.get(event.eventType)
      if (!known) throw unknownType(event.eventType, pointer, [...byName.keys()])
      const refusal = known.type.refuse?.({ eventData: event.eventData, metadata: event.metadata ?? undefined })
      if (refusal) throw invalidData(event.eventType, `${pointer}${refusal.pointer}`, refusal.reason)
      const newest = known.checks.length
      const asked = event.schemaVersion
      if (asked !== undefined && (asked < 1 || asked > newest))
        throw unknownVersion(event.eventType, asked, newest, pointer)
      for (let version = asked ?? newest; version >= (asked ?? 1); version--) {
        if (known.checks[version - 1]!(event.eventData) === null) return version
      }
      const first = known.checks[(asked ?? newest) - 1]!(event.eventData)!
      throw invalidData(event.eventType, `${pointer}/eventData${first.pointer}`, first.reason)
    },

    /**
     * `event` with its data at the newest schema version of its type; the same object when it is there already, or when a
     * registered upcaster does not fit its data.
     */
    upcast<E extends FoldEvent>(event: E): E {
      const { type } = find(event.eventType)
      const { length } = type.versions
      if (event.schemaVersion === length) return event
      const eventData = lifted(type, event)
      return eventData ? { ...event, eventData, schemaVersion: length } : event
    },

    /**
     * State after `event`: the same if a registered upcaster does not fit its data. Pure: the state it is given stays as it
     * was. Null is the state before the first event.
     */
    evolve(key: StreamKey, state: User | null, event: FoldEvent): User {
      const { type } = find(event.eventType)
      const newest = type.versions.length === event.schemaVersion ? event : newestOf(type, event)
      if (type.creates && newest) return type.apply(key, newest)
      if (!state || type.creates)
        throw new Error(
          `Version ${event.version} of user ${key.userId} is ${event.eventType}, but the user was never created.`
        )
      return newest ? type.apply(state, newest) : state
    }
  }
}

/** Data of the newest version, lifted step by step; null where a step does not fit. */
function lifted({ name, versions }: EventType, { eventData, schemaVersion }: FoldEvent): JsonObject | null {
  if (schemaVersion > versions.length)
    throw new UnknownRules(
      `The log holds an event of ${name} ${schemaVersion}; this service knows ${versions.length} versions of it.`
    )
  let data: JsonObject | null = eventData
  for (let i = schemaVersion; data && i < versions.length; i++) data = versions[i]!.upcast!(data)
  return data
}

/** What a fold needs of the event; named one by one, which takes the engine a fraction of a spread. */
function newestOf(type: EventType, event: FoldEvent): FoldEvent | null {
  const eventData = lifted(type, event)
  if (!eventData) return null
  return {
    version: event.version,
    eventType: event.eventType,
    schemaVersion: type.versions.length,
    eventData,
    createdAt: event.createdAt
  }
}

/** Every tenant's catalog holds the built-in types; their schemas are compiled once. */
const compiledChecks = new WeakMap<TSchema, Check>()

function compile(name: string, schema: TSchema): Check {
  const known = compiledChecks.get(schema) ?? compileNew(name, schema)
  compiledChecks.set(schema, known)
  return known
}

function compileNew(name: string, schema: TSchema): Check {
  try {
    const compiled = TypeCompiler.Compile(schema)
    return (data) => {
      if (compiled.Check(data)) return null
      const { path, message } = compiled.Errors(data).First()!
      return { pointer: path, reason: lowerFirst(message) }
    }
  } catch (err) {
    throw new Error(`A schema of event type ${name} does not compile: ${(err as Error).message}`, { cause: err })
  }
}

function assertChain({ name, versions }: EventType): void {
  if (versions.length === 0) throw new Error(`Event type ${name} has no schema; give it a version 1.`)
  for (const [index, { upcast }] of versions.entries()) {
    if (index > 0 && !upcast)
      throw new Error(`Event type ${name} has no upcaster from version ${index} to ${index + 1}.`)
  }
}

function fingerprintOf(types: readonly EventType[]): string {
  const rules = types
    .filter(({ rules }) => rules !== null)
    .map(({ name, effectVersion, versions, rules = '' }) => `${name}:${effectVersion}:${versions.length}${rules}`)
    .sort()
  return createHash('sha256')
    .update(`state:${STATE_VERSION};${rules.join(';')}`)
    .digest('hex')
    .slice(0, 12)
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)

const unknownType = (eventType: string, pointer: string, known: string[]): DomainError =>
  new DomainError(
    'UNKNOWN_EVENT_TYPE',
    `No event type ${eventType.slice(0, 100)} is known. Use one of ${known.slice(0, 20).join(', ')}${known.length > 20 ? ' …' : ''}.`,
    {
      pointer: `${pointer}/eventType`
    }
  )

const unknownVersion = (eventType: string, asked: number, newest: number, pointer: string): DomainError =>
  new DomainError(
    'UNKNOWN_SCHEMA_VERSION',
    `${eventType} has no schema version ${asked}; the newest is ${newest}. Leave schemaVersion out to take the newest that fits.`,
    { pointer: `${pointer}/schemaVersion`, newestSchemaVersion: newest }
  )

const invalidData = (eventType: string, pointer: string, reason: string): DomainError =>
  new DomainError('INVALID_EVENT_DATA', `The data of ${eventType} is not valid at ${pointer}: ${reason}.`, {
    pointer,
    reason
  })
