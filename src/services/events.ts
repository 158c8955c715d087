/** Appending to the log and reading it back: the rules between the wire and the store. */
import { randomUUID } from 'node:crypto'
import { v5 as uuidV5 } from 'uuid'
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import { type Catalog, CREATED, DELETED, labelOf } from '../domain/catalog.js'
import type { ClaimField } from '../domain/claims.js'
import { DomainError, userNotFound, versionNotFound } from '../domain/errors.js'
import type { NewEvent, StoredEvent, StreamKey } from '../domain/event.js'
import { prepareEvent } from '../domain/prepared-event.js'
import { assertNoServiceMetadata, serviceMembers, withServiceMembers } from '../domain/service-metadata.js'
import { isSampled } from '../domain/traceparent.js'
import type { Expectation } from '../domain/version.js'
import type { Metrics } from '../observe/metrics.js'
import { type Tracer, untraced } from '../observe/tracing.js'
import type { AppendRequest, PlacedEvent, PreparedEvent, Refusal } from '../store/append.js'
import { type EventFilter, selectEvent, selectEvents, selectHeadVersion } from '../store/events.js'
import type { AppendQueue } from './append-queue.js'
import type { EventTypeService } from './event-types.js'
import { STREAM_PAGE } from './log-reader.js'

export const EVENTS_PER_APPEND_MAX = 1000
export const PAGE_MAX = 1000

export type Append = {
  events: NewEvent[]
  expectation: Expectation
  /** gives events without an id one that a repetition of the request gives again */
  idempotencyKey?: string | undefined
  /** who is to stand in the metadata; null: nobody had to say */
  author: string | null
  /** the trace that is to stand in the metadata; null: none is known */
  traceparent: string | null
}

export type Appended = {
  /** version of the last event of the request */
  version: number
  /** whether they had been stored before */
  duplicate: boolean
  events: (PlacedEvent & { id: string })[]
}

export type Selection = EventFilter & {
  direction: 'forward' | 'backward'
  /** version of the last event that was shown: go on behind it */
  after?: number | undefined
  upcast: boolean
}

export type EventService = ReturnType<typeof createEventService>

export function createEventService(parts: {
  db: Db
  queue: AppendQueue
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes' | 'shown'>
  metrics: Pick<Metrics, 'eventsStored' | 'saved' | 'conflict'>
  tracer?: Tracer
  buckets: number
  eventBytesMax: number
  /** called after events were stored */
  onStored: () => void
}) {
  const { db, queue, eventTypes, metrics, tracer = untraced, buckets, eventBytesMax, onStored } = parts

  async function headVersion(key: StreamKey): Promise<number> {
    const version = await selectHeadVersion(db, bucketOf(key.userId, buckets), key)
    if (version === 0) throw userNotFound(key.userId)
    return version
  }

  async function store(key: StreamKey, append: Append, traceparent: string | null): Promise<Appended> {
    const { events, expectation, idempotencyKey } = append
    const startedAt = performance.now()
    const prepared = await eventTypes.withTypes(async () =>
      prepare(key, append, serviceMembers(append.author, traceparent), eventTypes.of(key.tenantId), eventBytesMax)
    )
    const request: AppendRequest = {
      tenantId: key.tenantId,
      userId: key.userId,
      expected: expectation.version,
      creates: events[0]!.eventType === CREATED,
      repeatable: idempotencyKey !== undefined || events.some(({ id }) => id !== undefined),
      events: prepared.events
    }
    const result = await queue.submit(bucketOf(key.userId, buckets), request, prepared.bytes)
    if (!('events' in result)) {
      if (result.outcome === 'claimed') throw claimTaken(key.userId, result.field, events, result.currentVersion)
      if (result.outcome === 'conflict') metrics.conflict(key.userId)
      throw refusal(key.userId, result.outcome, result.currentVersion, expectation, request)
    }
    const duplicate = result.outcome === 'duplicate'
    if (!duplicate) {
      const labels = events.map(({ eventType }) => labelOf(eventType))
      metrics.eventsStored({ tenantId: key.tenantId, eventTypes: labels })
      metrics.saved(labels, (performance.now() - startedAt) / 1000)
      onStored()
    }
    return {
      version: result.events.at(-1)!.version,
      duplicate,
      events: result.events.map((event, i) => ({ id: prepared.events[i]!.id, ...event }))
    }
  }

  return {
    /**
     * Appends 1 to 1,000 events to the end of one user's stream, all or none, in the given order.
     * Repeating it with the same ids and content is safe for ever and answers with what was stored first.
     * Throws DomainError: refusals of the data before any SQL runs, then those of append_events; see also AppendQueue.submit.
     */
    append: (key: StreamKey, append: Append): Promise<Appended> =>
      tracer.span(
        'append',
        () => ({
          attributes: { 'user.id': key.userId, 'tenant.id': key.tenantId, 'append.events': append.events.length }
        }),
        async (span) => {
          const appended = await store(key, append, traceOf(append, span.traceparent))
          span.set({ 'user.version': appended.version, 'append.duplicate': appended.duplicate })
          return appended
        }
      ),

    /** One page of a user's events, and behind which version the next goes on; `next` is null on the last. Throws USER_NOT_FOUND. */
    async readPage(key: StreamKey, selection: Selection, limit: number) {
      const version = await headVersion(key)
      const found = await selectEvents(db, bucketOf(key.userId, buckets), key, selection, {
        direction: selection.direction,
        after: selection.after,
        limit: limit + 1
      })
      const page = found.slice(0, limit)
      const last = page.at(-1)
      const next = found.length > limit && last ? last.version : null
      return { userId: key.userId, version, events: await eventTypes.shown(key.tenantId, page, selection.upcast), next }
    },

    /**
     * All selected events, or the first `limit`, a page at a time; holds one page in memory and no connection while the reader
     * is slow. Ends at the version the user had when it began. Throws USER_NOT_FOUND before the first page.
     */
    async readAll(
      key: StreamKey,
      selection: Selection,
      limit = Number.POSITIVE_INFINITY
    ): Promise<AsyncGenerator<StoredEvent[]>> {
      const head = await headVersion(key)
      const filter = { ...selection, toVersion: Math.min(selection.toVersion ?? head, head) }
      async function* pages(): AsyncGenerator<StoredEvent[]> {
        let { after } = selection
        for (let left = limit; left > 0; ) {
          const size = Math.min(STREAM_PAGE, left)
          const page = await selectEvents(db, bucketOf(key.userId, buckets), key, filter, {
            direction: selection.direction,
            after,
            limit: size
          })
          if (page.length > 0) yield await eventTypes.shown(key.tenantId, page, selection.upcast)
          if (page.length < size) return
          after = page.at(-1)!.version
          left -= page.length
        }
      }
      return pages()
    },

    /** One event. Throws USER_NOT_FOUND, or VERSION_NOT_FOUND when the user has not come that far. */
    async readOne(
      key: StreamKey,
      version: number,
      { upcast, includeSource }: { upcast: boolean; includeSource: boolean }
    ): Promise<StoredEvent> {
      const event = await selectEvent(db, bucketOf(key.userId, buckets), key, version, includeSource)
      if (!event) throw versionNotFound(version, await headVersion(key))
      return (await eventTypes.shown(key.tenantId, [event], upcast))[0]!
    }
  }
}

/**
 * The trace that stands in the metadata: that of the span, if there is one. One that is not kept says something only to whoever began it:
 * that there is nothing to continue.
 */
const traceOf = ({ traceparent }: Append, span: string | null): string | null =>
  span !== null && (traceparent !== null || isSampled(span)) ? span : traceparent

/** Namespace of ids made from an Idempotency-Key; any fixed UUID would do. */
const IDEMPOTENCY_NAMESPACE = '6f0c3d5e-5a0f-4d0e-9b0a-0d6f5b1c9a11'

/** Checks all events and makes them ready for the store, with `members` of the service in their metadata; throws on the first that is not fit. */
function prepare(
  key: StreamKey,
  { events, idempotencyKey }: Append,
  members: string,
  catalog: Catalog,
  eventBytesMax: number
): { events: PreparedEvent[]; bytes: number } {
  if (events.length < 1 || events.length > EVENTS_PER_APPEND_MAX) {
    throw new DomainError(
      'INVALID_EVENT_DATA',
      `An append takes 1 to ${EVENTS_PER_APPEND_MAX} events; found ${events.length}.`,
      { pointer: '/events' }
    )
  }
  const ids = new Set<string>()
  let bytes = 0
  const prepared = events.map((event, i) => {
    const pointer = `/events/${i}`
    assertPlace(event.eventType, i, events.length, key.userId)
    assertNoServiceMetadata(event.metadata, pointer)
    const ready = prepareEvent(event, pointer, catalog, eventBytesMax)
    bytes += ready.bytes
    const id =
      event.id?.toLowerCase() ?? (idempotencyKey === undefined ? randomUUID() : derivedId(key, idempotencyKey, i))
    if (ids.has(id)) throw duplicateId(pointer, id)
    ids.add(id)
    const metadataText = withServiceMembers(ready.metadataText, members)
    const schemaVersionAsked = event.schemaVersion !== undefined
    return { id, eventType: event.eventType, schemaVersionAsked, ...ready, metadataText }
  })
  return { events: prepared, bytes }
}

/** The rules of a user's life that show within one request; append_events applies the rest. */
function assertPlace(eventType: string, index: number, count: number, userId: string): void {
  const pointer = `/events/${index}`
  if (eventType === CREATED && index > 0) throw alreadyCreated(userId, { pointer })
  if (eventType === DELETED && index < count - 1) throw deleted(userId, { pointer: `/events/${index + 1}` })
}

/** Tenant and user have a fixed length and the client's key comes last, so no two different inputs give one text. */
const derivedId = ({ tenantId, userId }: StreamKey, key: string, index: number): string =>
  uuidV5(`${tenantId}/${userId}/${index}/${key}`, IDEMPOTENCY_NAMESPACE)

const duplicateId = (pointer: string, id: string): DomainError =>
  new DomainError('DUPLICATE_EVENT_ID', `The id ${id} stands twice in the request. Give every event its own.`, {
    pointer: `${pointer}/id`
  })

const alreadyCreated = (userId: string, facts: Record<string, unknown>): DomainError =>
  new DomainError(
    'USER_ALREADY_CREATED',
    `User ${userId} exists already; UserCreated can only be the first event.`,
    facts
  )

const deleted = (userId: string, facts: Record<string, unknown>): DomainError =>
  new DomainError('USER_DELETED', `User ${userId} is deleted; nothing may follow the deletion.`, facts)

function claimTaken(userId: string, field: ClaimField, events: NewEvent[], currentVersion: number): DomainError {
  const index = events.findLastIndex(({ eventData }) => field in eventData)
  return new DomainError(
    'CLAIM_TAKEN',
    `The ${field} that the request gives user ${userId} belongs to another user, and must be unique. Choose another one.`,
    { field, pointer: `/events/${index}/eventData/${field}`, currentVersion }
  )
}

function refusal(
  userId: string,
  outcome: Refusal,
  currentVersion: number,
  { version, byHeader }: Expectation,
  request: AppendRequest
): DomainError {
  const eventIds = request.events.map(({ id }) => id)
  switch (outcome) {
    case 'conflict': {
      const facts = { currentVersion, expectedVersion: version }
      const text = `User ${userId} is at version ${currentVersion}; the request expects ${version}. Read what came since, decide again, and append at ${currentVersion}.`
      return new DomainError(byHeader ? 'PRECONDITION_FAILED' : 'VERSION_CONFLICT', text, facts)
    }
    case 'reused':
      return new DomainError(
        'EVENT_ID_REUSED',
        `Some of the event ids are stored for user ${userId} already, with other content or in another request. Give new events new ids; repeat a request unchanged.`,
        { currentVersion, eventIds }
      )
    case 'not_created':
      return new DomainError(
        'USER_NOT_CREATED',
        `User ${userId} does not exist; the first event must be UserCreated, found ${request.events[0]!.eventType}.`,
        {
          currentVersion
        }
      )
    case 'already_created':
      return alreadyCreated(userId, { currentVersion })
    case 'deleted':
      return deleted(userId, { currentVersion })
    case 'taken':
      return new DomainError('USER_ID_TAKEN', `The id ${userId} cannot be used. Create the user under another id.`)
  }
}
