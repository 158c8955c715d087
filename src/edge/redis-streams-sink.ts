/**
 * Delivers events to a Redis Stream, one entry each. An event is sent after Redis has taken the one of its user before: in
 * one pipeline the later could be added where the earlier was refused, since Redis may run out of memory and have some
 * again between two commands.
 *
 * How safe "delivered" is, is for the persistence of that Redis to say. Redis refuses no event for what it is, so there are
 * only events that were taken, and times when none is.
 */
import { createClient, ErrorReply } from 'redis'
import type { StoredEvent } from '../domain/event.js'
import type { Outcome, Sink } from '../domain/sink.js'
import { brokerSink, CONNECT_MS } from './broker-sink.js'
import { traceHeadersOf } from './message.js'

type Options = {
  /** key of the stream */
  stream: string
  /** entries that Redis keeps, about; all when absent */
  maxLength?: number | undefined
  /** redis:// or rediss:// */
  url: string
}

/** A sink that adds entries with the fields `id`, `eventType`, `userId`, `version`, `position`, and `event` as JSON, and `traceparent` where a trace is known. */
export function openRedisStreamsSink({ stream, maxLength, url }: Options): Sink {
  const trim = maxLength && { TRIM: { strategy: 'MAXLEN', strategyModifier: '~', threshold: maxLength } as const }

  async function connect(lost: (why: unknown) => void) {
    const client = createClient({
      url,
      disableOfflineQueue: true,
      // Its own deadline ends only commands that were not sent yet.
      commandOptions: { timeout: 0 },
      socket: { connectTimeout: CONNECT_MS, reconnectStrategy: false }
    })
    client.on('error', lost)
    client.on('end', () => lost('the connection ended'))
    await client.connect()
    return client
  }

  async function send(client: Awaited<ReturnType<typeof connect>>, event: StoredEvent): Promise<Outcome> {
    try {
      await client.xAdd(stream, '*', entryOf(event), trim || undefined)
      return { kind: 'delivered' }
    } catch (err) {
      if (err instanceof ErrorReply) return { kind: 'unavailable', reason: reasonOf(err, stream) }
      throw err
    }
  }

  return brokerSink({
    name: 'Redis',
    connect,
    disconnect: (client) => client.destroy(),
    deliver: (client, events) => events.map((event) => send(client, event))
  })
}

const entryOf = (event: StoredEvent): Record<string, string> => ({
  id: event.id,
  eventType: event.eventType,
  userId: event.aggregateId,
  version: String(event.version),
  position: String(event.position),
  event: JSON.stringify(event),
  ...traceHeadersOf(event)
})

/** Redis begins its errors with a word that tells them apart. */
const reasonOf = ({ message }: Error, stream: string): string =>
  message.startsWith('WRONGTYPE')
    ? `The key "${stream}" of Redis is not a stream. Delete or rename it, or give the subscription another stream.`
    : `Redis takes nothing: ${message}`
