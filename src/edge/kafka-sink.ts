/**
 * Delivers events to a topic of Kafka with the user as their key, so that those of a user are in one partition. An event is
 * delivered when all replicas in sync have it.
 *
 * All events of a batch for one partition travel as one record batch, which Kafka takes as a whole or not at all. So there
 * is no need of waves; but a batch that is larger than a record batch may be goes in pieces, one after the other.
 */
import { compatibilityPartitioner, GenericError, Producer, stringSerializers } from '@platformatic/kafka'
import type { StoredEvent } from '../domain/event.js'
import type { Outcome, Sink } from '../domain/sink.js'
import { brokerSink, CONNECT_MS, PUBLISH_MS } from './broker-sink.js'
import { headersOf } from './message.js'
import { publishInParts } from './waves.js'

/** Size of a piece: half of what Kafka takes as one record batch unless told otherwise. */
export const PIECE_BYTES = 512 * 1024
/** Kafka's errors for what is larger than the topic, or a segment of it, takes. */
const TOO_LARGE = [10, 18]
/** What a record has besides its body, at most about. */
const RECORD_BYTES = 400

type Link = { producer: Producer<string, string, string, string> }

/** A sink of events to `topic`, which must exist. `brokers` is host:port, or several separated by commas. */
export function openKafkaSink({ topic, brokers }: { topic: string; brokers: string }): Sink {
  const createProducer = () =>
    new Producer({
      clientId: 'user-event-store',
      bootstrapBrokers: brokers.split(','),
      serializers: stringSerializers,
      // The one of Kafka's own client: whoever else writes users to this topic agrees on the partition.
      partitioner: compatibilityPartitioner,
      idempotent: true,
      // Asks for a new id. The client's default is 0, which is somebody's (client 1.35).
      producerId: -1n,
      producerEpoch: -1,
      autocreateTopics: false,
      retries: 2, // With fewer, an idempotent producer retries for ever.
      retryDelay: 100,
      connectTimeout: CONNECT_MS,
      requestTimeout: PUBLISH_MS,
      timeout: PUBLISH_MS
    })

  async function connect(): Promise<Link> {
    const producer = createProducer()
    try {
      await producer.metadata({ topics: [topic] })
      return { producer }
    } catch (err) {
      void end(producer)
      throw isUnknownTopic(err) ? `there is no topic "${topic}". Create it.` : err
    }
  }

  /** Sends one piece; it is delivered, or refused as too large. */
  async function send(link: Link, events: readonly StoredEvent[]): Promise<Outcome> {
    const { producer } = link
    try {
      await producer.send({ messages: events.map((event) => messageOf(event, topic)) })
      return { kind: 'delivered' }
    } catch (err) {
      if (!isTooLarge(err)) throw err
      // A producer loses count of its sequence numbers by a request that was taken in part (client 1.35).
      link.producer = createProducer()
      void end(producer)
      const reason = `Kafka refuses the event as too large. Raise max.message.bytes of the topic "${topic}".`
      return { kind: 'failed', reason }
    }
  }

  /** A piece that is refused as a whole is sent again event by event, to find out which is too large. */
  async function deliverPiece(link: Link, events: readonly StoredEvent[]): Promise<Outcome[]> {
    const outcome = await send(link, events)
    if (outcome.kind === 'delivered' || events.length === 1) return events.map(() => outcome)
    const each = events.map((event) => [event])
    return publishInParts(events, each, new AbortController().signal, async (one) => [await send(link, one)])
  }

  return brokerSink<Link>({
    name: 'Kafka',
    connect,
    disconnect: ({ producer }) => end(producer),
    deliver(link, events) {
      const outcomes = deliverPiece(link, events)
      return events.map(async (_, i) => (await outcomes)[i]!)
    },
    partsOf: piecesOf
  })
}

const messageOf = (event: StoredEvent, topic: string) => ({
  topic,
  key: event.aggregateId,
  value: JSON.stringify(event),
  headers: headersOf(event),
  timestamp: BigInt(Date.parse(event.createdAt))
})

/** A batch in pieces of PIECE_BYTES at most, or of one larger event, in its order. */
export function piecesOf(batch: readonly StoredEvent[]): StoredEvent[][] {
  const pieces: StoredEvent[][] = []
  let room = 0
  for (const event of batch) {
    const size = Buffer.byteLength(JSON.stringify(event)) + RECORD_BYTES
    if (size > room) {
      pieces.push([])
      room = PIECE_BYTES
    }
    pieces.at(-1)!.push(event)
    room -= size
  }
  return pieces
}

const isTooLarge = (err: unknown): boolean =>
  err instanceof Error &&
  GenericError.isGenericError(err) &&
  TOO_LARGE.some((code) => (err as GenericError).findBy('apiCode', code))

const isUnknownTopic = (err: unknown): boolean => err instanceof Error && err.message.startsWith('Unknown topic')

/** Closes its connections; resolves when they are gone. */
const end = (producer: Link['producer']): Promise<void> =>
  new Promise((resolve) => {
    producer.close(true, () => resolve())
  })
