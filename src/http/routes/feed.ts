/** Routes of the feed: all events of a tenant, as pages and as a stream. */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FeedPage, FeedService } from '../../services/feed.js'
import { sendEventStream } from '../event-stream.js'
import { nextLink } from '../next-link.js'
import { Event, eventTypeFilter, problems, ref, shownAs, tenantHeader, tenantHeaders, uuid } from '../schemas.js'
import type { StreamSlots } from '../stream-slots.js'

const PAGE_MAX = 1000
const WAIT_MAX_MS = 30_000
/** A cursor has a place for every bucket, and headers hold 16 KiB. */
const CURSOR_MAX = 15_000
/** Longest silence of a stream, ms. Proxies cut connections after a minute or so. */
const HEARTBEAT_MS = 15_000
/** A client that takes nothing for so long is disconnected, ms. Longer than the heartbeat, which is a sign of life. */
const STALLED_MS = 30_000

const selection = {
  ...eventTypeFilter,
  userId: Type.Optional(uuid('only events of this user')),
  ...shownAs
}

const cursor = (description: string) => Type.Optional(Type.String({ minLength: 1, maxLength: CURSOR_MAX, description }))

const FeedQuery = Type.Object(
  {
    after: cursor(
      '`next` of a page, or the id of an event of the stream; without it forward begins at the first event, backward at the newest'
    ),
    ...selection,
    direction: Type.Union([Type.Literal('forward'), Type.Literal('backward')], { default: 'forward' }),
    limit: Type.Integer({ minimum: 1, maximum: PAGE_MAX, default: 100, description: 'events in a page at most' }),
    waitMs: Type.Integer({
      minimum: 0,
      maximum: WAIT_MAX_MS,
      default: 0,
      description: 'forward: longest wait for an event to come, but not beyond 0.8 × REQUEST_TIMEOUT_MS'
    })
  },
  { additionalProperties: false }
)

const StreamQuery = Type.Object(
  {
    after: cursor('go on from here; the header `Last-Event-ID` wins over it'),
    ...selection,
    start: Type.Union([Type.Literal('beginning'), Type.Literal('now')], {
      default: 'now',
      description: 'where to begin without a cursor'
    })
  },
  { additionalProperties: false }
)

const Page = Type.Object({
  events: Type.Array(ref(Event)),
  next: Type.Union([Type.String(), Type.Null()], {
    description: 'cursor to go on from, now or later, in either direction; null at the beginning of the log'
  }),
  head: Type.Integer({ description: 'events in the whole log, of all tenants; with one bucket its last position' }),
  position: Type.Integer({
    description: 'events of the whole log that lie before `next`; forward, the lag is head - position'
  })
})

export type FeedOptions = {
  feed: FeedService
  slots: StreamSlots
  requestTimeoutMs: number
  heartbeatMs?: number
  stalledMs?: number
}

export const feedRoutes: FastifyPluginAsyncTypebox<FeedOptions> = async (app, options) => {
  const { feed, slots, requestTimeoutMs, heartbeatMs = HEARTBEAT_MS, stalledMs = STALLED_MS } = options
  const open = new Set<AbortController>()
  // Node would wait for streams until somebody ends them. Their clients connect again, elsewhere.
  app.addHook('preClose', async () => {
    for (const each of open) each.abort()
  })

  /** Takes a slot, in place of a turn, until the answer is over; the signal says that the client left or the service closes. */
  function holdOpen(request: FastifyRequest, { raw }: FastifyReply): AbortSignal {
    const release = slots.take(request.ip)
    request.endTurn()
    const ending = new AbortController()
    open.add(ending)
    raw.once('close', () => {
      open.delete(ending)
      release()
      ending.abort()
    })
    return ending.signal
  }

  app.get(
    '/events',
    {
      config: { scopes: ['events:read'], large: true },
      schema: {
        operationId: 'readFeed',
        summary: 'Read all events',
        description:
          'A page of the events of all users of the tenant, in the order of the log; with EVENT_BUCKETS above 1 the order is kept within each user. A page may hold fewer events than `limit`, even none, while `position` is below `head`: a search through much that is not selected ends after a while and goes on with the next page. With `waitMs` a page forward comes as soon as there is an event for it.',
        tags: ['feed'],
        headers: tenantHeaders,
        querystring: FeedQuery,
        response: {
          200: {
            description: 'The events',
            headers: { link: { type: 'string', description: '`rel="next"`: where to go on' } },
            content: { 'application/json': { schema: Page } }
          },
          ...problems(['ARCHIVE_OFFLINE', 'CURSOR_MALFORMED', 'CURSOR_INVALID', 'TOO_MANY_STREAMS'])
        }
      }
    },
    async (request, reply) => {
      const { direction, limit, after, waitMs } = request.query
      const selection = selectionOf(request)
      const waits = waitMs > 0 && direction === 'forward'
      const waitUntil = performance.now() + Math.min(waitMs, requestTimeoutMs * 0.8)
      const page = waits
        ? await feed.awaitPage({ selection, after, limit }, waitUntil, holdOpen(request, reply))
        : await feed.readPage({ selection, direction, after, limit })
      if (page.next) reply.header('link', nextLink(request.url, 'after', page.next))
      return reply.type('application/json; charset=utf-8').send(jsonOf(page) as never)
    }
  )

  app.get(
    '/events/stream',
    {
      // How long somebody listened is no duration of a request.
      config: { scopes: ['events:read'], disableMetrics: true },
      schema: {
        operationId: 'streamFeed',
        summary: 'Follow all events',
        description:
          'Server-Sent Events: each event of the selection as `data` in the order of the log, with a cursor as its `id`, so that an EventSource that connects again misses and repeats nothing. Every 15 seconds without one, a comment says the head of the log, and an id moves the cursor past events that were not selected. Who takes nothing for 30 seconds is disconnected.',
        tags: ['feed'],
        headers: Type.Object({
          ...tenantHeader,
          'last-event-id': Type.Optional(
            Type.String({ maxLength: CURSOR_MAX, description: 'id of the last event seen; an EventSource sends it' })
          )
        }),
        querystring: StreamQuery,
        response: {
          200: {
            description: 'The stream',
            content: {
              'text/event-stream': { schema: Type.String({ description: 'the data of each event is an Event' }) }
            }
          },
          ...problems(['ARCHIVE_OFFLINE', 'CURSOR_MALFORMED', 'CURSOR_INVALID', 'TOO_MANY_STREAMS'])
        }
      }
    },
    async (request, reply) => {
      const cursor = request.headers['last-event-id'] || request.query.after
      const signal = holdOpen(request, reply)
      const from = cursor === undefined ? request.query.start : { cursor }
      const batches = await feed.follow(selectionOf(request), from, { heartbeatMs, signal })
      if (reply.sent) return reply as never
      return (await sendEventStream(request, reply, batches, { stalledMs, signal })) as never
    }
  )
}

function selectionOf(request: {
  query: { eventType?: string[]; userId?: string; upcast: boolean; includeSource: boolean }
  tenantId: string
}) {
  const { eventType, userId, upcast, includeSource } = request.query
  return { tenantId: request.tenantId, eventTypes: eventType, userId: userId?.toLowerCase(), upcast, includeSource }
}

/** The events are JSON already, made once for all who read them. */
const jsonOf = ({ events, next, head, position }: FeedPage): string =>
  `{"events":[${events}],"next":${JSON.stringify(next)},"head":${head},"position":${position}}`
