/** What an operator does with subscriptions: make them, watch them, hold them, and deal with what could not be delivered. */
import { randomBytes, randomUUID } from 'node:crypto'
import type { Db } from '../db/client.js'
import { DomainError } from '../domain/errors.js'
import type { StoredEvent } from '../domain/event.js'
import {
  labelOfSubscription,
  type SinkConfig,
  type SubscriptionDefinition,
  webhookSecretOf
} from '../domain/subscription.js'
import type { SubscriptionGauges } from '../observe/gauges.js'
import {
  discardOwed,
  type OwedChoice,
  type OwedEvent,
  type OwedFilter,
  type OwedMark,
  retryOwed,
  selectEventsAt,
  selectOwed
} from '../store/outbox.js'
import {
  deleteSubscription,
  insertSubscription,
  resetSubscription,
  type Subscription,
  type SubscriptionNumbers,
  selectSubscription,
  selectSubscriptionNumbers,
  selectSubscriptions,
  updateState
} from '../store/subscriptions.js'
import type { EventTypeService } from './event-types.js'

/** Subscriptions of all tenants together: each costs queries a second on every instance. */
export const SUBSCRIPTIONS_MAX = 100
/** Owed events that one request retries or discards, at most. */
export const OWED_AT_ONCE_MAX = 10_000

/** Where a subscription starts: with the first event, with what comes from now on, or after a position. */
export type Start = 'beginning' | 'now' | number

/** A subscription as it is shown: without the key that signs its webhooks. */
export type ShownSubscription = Omit<Subscription, 'id' | 'tenantId'> &
  Omit<SubscriptionNumbers, 'id'> & { scope: 'global' | 'tenant' }

export type Scoped = { tenantId: string | null; name: string }

/** Before the first event. */
const LOG_START: OwedMark = { position: 0, bucket: 0 }

export type SubscriptionService = ReturnType<typeof createSubscriptionService>

export function createSubscriptionService(parts: {
  db: Db
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes'>
  buckets: number
  /** why this service cannot deliver to such a sink, or null */
  refuseSink: (config: SinkConfig) => string | null
  /** called after something changed that workers must hear of */
  onChanged: () => void
}) {
  const { db, eventTypes, buckets, refuseSink, onChanged } = parts

  async function find({ tenantId, name }: Scoped): Promise<Subscription> {
    const found = await selectSubscription(db, tenantId, name)
    if (!found) throw notFound(name)
    return found
  }

  function positionOf(start: Start): number | null {
    if (start === 'now') return null
    if (start === 'beginning') return 0
    if (buckets === 1) return start
    throw new DomainError(
      'SUBSCRIPTION_INVALID',
      `A start at position ${start} means nothing in a log of ${buckets} orders (EVENT_BUCKETS). Start at "beginning" or "now".`,
      { pointer: '/start' }
    )
  }

  async function shown(subscription: Subscription): Promise<ShownSubscription> {
    const [numbers] = await selectSubscriptionNumbers(db, subscription.id)
    return shownWith(subscription, numbers)
  }

  async function changeState(scoped: Scoped, from: Subscription['state'][], to: Subscription['state']) {
    const { id } = await find(scoped)
    await updateState(db, id, from, to)
    onChanged()
    return await shown(await find(scoped))
  }

  return {
    /**
     * Makes a subscription and returns it with the key that signs its webhooks, which is not shown again. Throws
     * SUBSCRIPTION_EXISTS, SUBSCRIPTIONS_FULL, SUBSCRIPTION_INVALID, and SUBSCRIPTION_NOT_FOUND if somebody has deleted it meanwhile.
     */
    async create({ tenantId, name }: Scoped, asked: SubscriptionDefinition, start: Start) {
      const reason = refuseSink(asked.sink)
      if (reason !== null) throw new DomainError('SUBSCRIPTION_INVALID', reason, { pointer: '/sink' })
      const definition = { ...asked, sink: withSecret(asked.sink) }
      const subscription = { id: randomUUID(), tenantId, name, definition }
      const position = positionOf(start)
      const outcome = await insertSubscription(db, subscription, { start: position, buckets, max: SUBSCRIPTIONS_MAX })
      if (outcome === 'exists') throw exists(name)
      if (outcome === 'full') throw full()
      onChanged()
      const secret = definition.sink.kind === 'webhook' ? definition.sink.secret! : null
      const made = await find({ tenantId, name })
      // One of the same name that somebody made after deleting it has another key.
      if (made.id !== subscription.id) throw notFound(name)
      return { ...(await shown(made)), secret }
    },

    /** The subscriptions of a tenant and, with `global`, those of all tenants, the oldest first. */
    async list(tenantId: string, { global }: { global: boolean }): Promise<ShownSubscription[]> {
      const [all, numbers] = await Promise.all([selectSubscriptions(db), selectSubscriptionNumbers(db)])
      return all
        .filter((each) => (each.tenantId === null ? global : each.tenantId === tenantId))
        .map((each) =>
          shownWith(
            each,
            numbers.find(({ id }) => id === each.id)
          )
        )
    },

    /** Where all subscriptions of all tenants stand, for metrics. */
    async gauges(): Promise<SubscriptionGauges[]> {
      const [all, numbers] = await Promise.all([selectSubscriptions(db), selectSubscriptionNumbers(db)])
      return all.flatMap((each) => {
        const found = numbers.find(({ id }) => id === each.id)
        if (!found) return []
        const { id: _id, ...counts } = found
        return [{ subscription: labelOfSubscription(each), ...counts }]
      })
    },

    /** One subscription. Throws SUBSCRIPTION_NOT_FOUND, as everything below. */
    get: async (scoped: Scoped): Promise<ShownSubscription> => shown(await find(scoped)),

    /** Delivers nothing until it is resumed; workers hear of it within a second. */
    pause: (scoped: Scoped): Promise<ShownSubscription> =>
      changeState(scoped, ['new', 'active', 'failing', 'stopped'], 'paused'),

    /** Goes on where it was paused, or where its receiver refused it for good. */
    resume: (scoped: Scoped): Promise<ShownSubscription> => changeState(scoped, ['paused', 'stopped'], 'active'),

    /** Starts again from `start` and forgets what it owes. */
    async reset(scoped: Scoped, start: Start): Promise<ShownSubscription> {
      const { id } = await find(scoped)
      await resetSubscription(db, id, randomUUID(), positionOf(start))
      onChanged()
      return await shown(await find(scoped))
    },

    /** Removes it with its checkpoint; what it owed goes by and by. */
    async remove(scoped: Scoped): Promise<void> {
      const { id } = await find(scoped)
      await deleteSubscription(db, id)
      onChanged()
    },

    /** What it owes or gave up, in the order of the log; `next` is null on the last page. */
    async listOwed(
      scoped: Scoped,
      filter: OwedFilter,
      { after = LOG_START, limit }: { after: OwedMark | undefined; limit: number }
    ) {
      const { id } = await find(scoped)
      const found = await selectOwed(db, id, filter, { after, limit: limit + 1 })
      const owed = found.slice(0, limit)
      const last = owed.at(-1)
      const next: OwedMark | null =
        found.length > limit && last ? { position: last.position, bucket: last.bucket } : null
      return { owed, next }
    },

    /** One owed event with the event itself. Throws OWED_EVENT_NOT_FOUND. */
    async readOwed(scoped: Scoped, userId: string, version: number): Promise<{ owed: OwedEvent; event: StoredEvent }> {
      const { id } = await find(scoped)
      for (const status of ['pending', 'dead', 'discarded'] as const) {
        const page = { after: LOG_START, limit: 1 }
        const [owed] = await selectOwed(db, id, { status, userId, version }, page)
        if (!owed) continue
        const [event] = await selectEventsAt(db, owed.bucket, [owed.position])
        // That it cannot be read may be why it is here; then it is shown as it is stored.
        const upcast = eventTypes.withTypes(async () => eventTypes.of(event!.tenantId).upcast(event!))
        return { owed, event: await upcast.catch(() => event!) }
      }
      throw new DomainError(
        'OWED_EVENT_NOT_FOUND',
        `Subscription ${scoped.name} does not owe version ${version} of user ${userId}: it was delivered, or not reached yet.`
      )
    },

    /** Has dead letters, and what waits for its next try, tried now. Returns how many; another call takes what is beyond the limit. */
    async retry(scoped: Scoped, choice: OwedChoice): Promise<number> {
      const { id, definition } = await find(scoped)
      const wait = definition.deadLetters === 'wait'
      const count = await retryOwed(db, id, choice, { limit: OWED_AT_ONCE_MAX, wait })
      onChanged()
      return count
    },

    /** Gives dead letters up for `reason`, which is kept with them. Returns how many. */
    async discard(scoped: Scoped, choice: OwedChoice, reason: string): Promise<number> {
      const { id, definition } = await find(scoped)
      const wait = definition.deadLetters === 'wait'
      const count = await discardOwed(db, id, choice, reason, { limit: OWED_AT_ONCE_MAX, wait })
      onChanged()
      return count
    }
  }
}

function shownWith(subscription: Subscription, numbers: SubscriptionNumbers | undefined): ShownSubscription {
  const { id: _id, tenantId, definition, ...rest } = subscription
  const none = { lagEvents: 0, lagSeconds: 0, pending: 0, dead: 0, blockedUsers: 0 }
  const { id: _same, ...counts } = numbers ?? { id: '', ...none }
  const { secret: _secret, ...sink } = definition.sink as SinkConfig & { secret?: string }
  return {
    ...rest,
    definition: { ...definition, sink: sink as SinkConfig },
    scope: tenantId === null ? 'global' : 'tenant',
    ...counts
  }
}

const withSecret = (sink: SinkConfig): SinkConfig =>
  sink.kind === 'webhook' && sink.secret === undefined ? { ...sink, secret: webhookSecretOf(randomBytes(32)) } : sink

const notFound = (name: string): DomainError =>
  new DomainError(
    'SUBSCRIPTION_NOT_FOUND',
    `There is no subscription ${name} in this scope. GET /admin/subscriptions lists those there are.`
  )

const exists = (name: string): DomainError =>
  new DomainError(
    'SUBSCRIPTION_EXISTS',
    `There is a subscription ${name} already. Choose another name, or delete it first.`
  )

const full = (): DomainError =>
  new DomainError('SUBSCRIPTIONS_FULL', `There can be ${SUBSCRIPTIONS_MAX} subscriptions. Delete one that is not used.`)
