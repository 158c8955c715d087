/**
 * The event types a tenant can use: the built-in ones, those that all tenants share and its own. Types are registered in
 * the database, by any instance; this one looks once a second whether there are new ones, and at once when it meets one
 * that it does not know.
 */
import type { Db } from '../db/client.js'
import { builtInTypes, type Catalog, createCatalog, UnknownRules } from '../domain/catalog.js'
import { claimsWritten } from '../domain/claims.js'
import { type EventTypeDefinition, type OnPatchFailed, typeOf } from '../domain/custom-type.js'
import { DomainError } from '../domain/errors.js'
import type { StoredEvent } from '../domain/event.js'
import type { EventType } from '../domain/event-type.js'
import { type Break, examine } from '../domain/examine-type.js'
import type { Fingerprints } from '../domain/snapshot.js'
import {
  insertEventType,
  type RegisteredVersion,
  type RegisterOutcome,
  selectEventTypes,
  selectTypesRevision
} from '../store/event-types.js'

export type Scope = 'built-in' | 'global' | 'tenant'

export type TypeSummary = { eventType: string; scope: Scope; summary: string; versions: number }

/** One version as it is shown. Effects and upcasts of built-in types are code, and null here. */
export type TypeVersion = {
  version: number
  schema: object
  upcast: object[] | null
  effect: object | null
  createdAt: string | null
}

export type TypeDetails = TypeSummary & { personalData: string[]; example: object; history: TypeVersion[] }

/** Most registered types in a scope, and versions of a type. */
export const TYPES_MAX = 500
export const VERSIONS_MAX = 100

export type EventTypeService = ReturnType<typeof createEventTypeService>

export function createEventTypeService(parts: {
  db: Db
  onPatchFailed: OnPatchFailed
  builtIn?: readonly EventType[]
}) {
  const { db, onPatchFailed, builtIn = builtInTypes } = parts
  const general = createCatalog(builtIn)
  let rows: (RegisteredVersion & { revision: number })[] = []
  let revision = 0
  let effective = 0
  let shared = general
  const catalogs = new Map<string, Catalog>()
  const built = new Map<string, EventType>()
  let refreshing: Promise<void> | null = null
  let again: Promise<void> | null = null

  /** Versions by scope and name, the first one first. */
  let scopes = new Map<string | null, Map<string, RegisteredVersion[]>>()

  /** The types of one scope, from their versions; those that were built before are used again. */
  function typesOf(tenantId: string | null): EventType[] {
    return [...(scopes.get(tenantId) ?? [])].map(([name, versions]) => {
      const known = `${tenantId}:${name}:${versions.length}`
      const definitions = versions.map(({ definition }) => definition)
      const type = built.get(known) ?? typeOf(name, definitions, onPatchFailed)
      built.set(known, type)
      return type
    })
  }

  /** The newest revision that gives other states for events that may be stored: a first version has none before it. */
  function newestEffect(): number {
    const withRules = new Set(
      [...scopes.keys()].flatMap((scope) =>
        typesOf(scope)
          .filter((type) => type.rules != null)
          .map((type) => `${scope}:${type.name}`)
      )
    )
    const found = rows.findLast((row) => row.version > 1 && withRules.has(`${row.tenantId}:${row.eventType}`))
    return found?.revision ?? 0
  }

  async function load(): Promise<void> {
    if ((await selectTypesRevision(db)) === revision) return
    const found = await selectEventTypes(db)
    rows = found
    scopes = groupVersions(rows)
    revision = found.at(-1)?.revision ?? 0
    const all = [...builtIn, ...typesOf(null)]
    shared = createCatalog(all)
    effective = newestEffect()
    catalogs.clear()
    for (const tenantId of scopes.keys()) {
      if (tenantId !== null) catalogs.set(tenantId, createCatalog([...all, ...typesOf(tenantId)]))
    }
  }

  /** One look at a time; whoever asks while one is under way waits for the next, which began after it asked. */
  function refresh(): Promise<void> {
    if (!refreshing) {
      refreshing = load().finally(() => {
        refreshing = null
      })
      return refreshing
    }
    again ??= refreshing
      .catch(() => {})
      .then(() => {
        again = null
        return refresh()
      })
    return again
  }

  const of = (tenantId: string): Catalog => catalogs.get(tenantId) ?? shared

  async function withTypes<T>(work: () => Promise<T>): Promise<T> {
    const known = revision
    try {
      return await work()
    } catch (err) {
      if (!isUnknown(err)) throw err
      await refresh()
      if (revision === known) throw err
      return await work()
    }
  }

  const latest = (tenantId: string | null, eventType: string): RegisteredVersion[] =>
    scopes.get(tenantId)?.get(eventType) ?? []

  const hasRoom = (tenantId: string | null, version: number): boolean =>
    version === 1 ? typesOf(tenantId).length < TYPES_MAX : version <= VERSIONS_MAX

  return {
    /** Goes up when a version is registered that gives other states for events that are stored. */
    effectiveRevision: (): number => effective,

    /** The types of a tenant as they are known now. */
    of,

    fingerprints: (): Fingerprints => ({
      general: shared.fingerprint,
      byTenant: Object.fromEntries(
        [...catalogs]
          .map(([tenantId, { fingerprint }]) => [tenantId, fingerprint] as const)
          .filter(([, fingerprint]) => fingerprint !== shared.fingerprint)
      )
    }),

    /** Looks for types that were registered since the last look. */
    refresh,

    /** Does what needs the types; if that meets a type or version that is not known, looks for new ones and does it again. */
    withTypes,

    /** `events` of a tenant with their data at the newest schema versions, or (without `upcast`) as they were stored. */
    async shown(tenantId: string, events: StoredEvent[], upcast: boolean): Promise<StoredEvent[]> {
      if (!upcast) return events
      return await withTypes(async () => {
        const catalog = of(tenantId)
        return events.map((event) => catalog.upcast(event))
      })
    },

    /**
     * Registers version `version` of a type, for a tenant or (null) for all; with `dryRun` only says what would come of it. `created` is
     * false if it was there with this content. `breaks` is what clients of the version before will notice.
     * Throws INVALID_EVENT_SCHEMA, INVALID_EFFECT, INVALID_UPCAST, EVENT_TYPE_RESERVED, EVENT_TYPE_VERSION_GAP,
     * EVENT_TYPE_EXISTS or EVENT_TYPES_FULL, with nothing stored.
     */
    async register(
      tenantId: string | null,
      eventType: string,
      version: number,
      definition: EventTypeDefinition,
      { dryRun }: { dryRun: boolean }
    ): Promise<{ created: boolean; breaks: Break[] }> {
      if (builtIn.some(({ name }) => name === eventType)) throw reserved(eventType, 'it is built in')
      await refresh()
      const versions = latest(tenantId, eventType)
      const previous = versions.find((row) => row.version === version - 1)
      if (version > 1 && !previous) throw gap(eventType, version, versions.length)
      const breaks = examine(definition, previous?.definition)
      const writes = claimsWritten(definition.effect)
      // Where there is no room nothing is stored, and every other reason to refuse it is still given.
      const limits = dryRun ? { types: 0, versions: 0 } : { types: TYPES_MAX, versions: VERSIONS_MAX }
      const { outcome, newest } = await insertEventType(
        db,
        { tenantId, eventType, version, definition },
        writes.map(({ field }) => field),
        limits
      )
      if (outcome === 'claimed') throw writesClaims(writes)
      if (dryRun && outcome === 'full' && hasRoom(tenantId, version)) return { created: false, breaks }
      if (outcome !== 'registered' && outcome !== 'same') throw refusal(outcome, eventType, version, newest)
      await refresh()
      return { created: outcome === 'registered', breaks }
    },

    /** All types that a tenant can use, by name. */
    list: (tenantId: string): TypeSummary[] =>
      of(tenantId)
        .types.map((type) => summaryOf(type, scopeNameOf(type.name)))
        .sort((a, b) => (a.eventType < b.eventType ? -1 : 1)),

    /** One type with all its versions. Throws EVENT_TYPE_NOT_FOUND. */
    get(tenantId: string, eventType: string): TypeDetails {
      const type = of(tenantId).types.find(({ name }) => name === eventType)
      if (!type) throw notFound(eventType)
      const registered = [...latest(null, eventType), ...latest(tenantId, eventType)]
      return {
        ...summaryOf(type, scopeNameOf(eventType)),
        personalData: [...type.personalData],
        example: type.example,
        history: type.versions.map(({ schema }, i) => {
          const row = registered[i]
          return {
            version: i + 1,
            schema,
            upcast: row?.definition.upcast ?? null,
            effect: row?.definition.effect ?? null,
            createdAt: row?.createdAt ?? null
          }
        })
      }
    }
  }

  function scopeNameOf(eventType: string): Scope {
    if (builtIn.some(({ name }) => name === eventType)) return 'built-in'
    return latest(null, eventType).length > 0 ? 'global' : 'tenant'
  }
}

function groupVersions(rows: readonly RegisteredVersion[]): Map<string | null, Map<string, RegisteredVersion[]>> {
  const scopes = new Map<string | null, Map<string, RegisteredVersion[]>>()
  for (const row of rows) {
    const scope = scopes.get(row.tenantId) ?? new Map<string, RegisteredVersion[]>()
    const versions = scope.get(row.eventType) ?? []
    versions.push(row)
    scope.set(row.eventType, versions)
    scopes.set(row.tenantId, scope)
  }
  return scopes
}

const summaryOf = ({ name, summary, versions }: EventType, scope: Scope): TypeSummary => ({
  eventType: name,
  scope,
  summary,
  versions: versions.length
})

const UNKNOWN_CODES = new Set(['UNKNOWN_EVENT_TYPE', 'UNKNOWN_SCHEMA_VERSION', 'EVENT_TYPE_NOT_FOUND'])

const isUnknown = (err: unknown): boolean =>
  err instanceof UnknownRules || (err instanceof DomainError && UNKNOWN_CODES.has(err.code))

const notFound = (eventType: string): DomainError =>
  new DomainError(
    'EVENT_TYPE_NOT_FOUND',
    `There is no event type ${eventType}. GET /event-types lists those there are.`
  )

const reserved = (eventType: string, why: string): DomainError =>
  new DomainError('EVENT_TYPE_RESERVED', `The name ${eventType} cannot be registered: ${why}. Choose another name.`)

const gap = (eventType: string, version: number, newest: number): DomainError =>
  new DomainError(
    'EVENT_TYPE_VERSION_GAP',
    `Version ${version} of ${eventType} cannot be registered: its newest version is ${newest}. Register version ${newest + 1}.`,
    { newestVersion: newest }
  )

function writesClaims([first]: ReturnType<typeof claimsWritten>): DomainError {
  const pointer = `/effect/operations/${first!.operation}`
  const reason = `it writes ${first!.field}, which must be unique in this store; let clients use UserUpdated for that`
  return new DomainError('INVALID_EFFECT', `The effect is not valid at ${pointer}: ${reason}.`, { pointer, reason })
}

function refusal(
  outcome: Exclude<RegisterOutcome, 'registered' | 'same' | 'claimed'>,
  eventType: string,
  version: number,
  newest: number
): DomainError {
  switch (outcome) {
    case 'differs':
      return new DomainError(
        'EVENT_TYPE_EXISTS',
        `Version ${version} of ${eventType} is registered with other content, and versions never change. Register version ${newest + 1}.`,
        { newestVersion: newest }
      )
    case 'gap':
      return gap(eventType, version, newest)
    case 'taken':
      return reserved(eventType, 'it is in use in the other scope')
    case 'full':
      return new DomainError(
        'EVENT_TYPES_FULL',
        `There can be ${TYPES_MAX} event types in a scope, and ${VERSIONS_MAX} versions of each.`
      )
  }
}
