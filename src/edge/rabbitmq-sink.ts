/**
 * Delivers events to an exchange of RabbitMQ: an event is delivered when the broker has confirmed it, that is, when every
 * queue that it was routed to has it, and on disk if the queue is durable.
 *
 * An event that no queue wants comes back, and that is a refusal, not a delivery: which types a subscription follows is said
 * by its filter, so a type without a queue is a binding that somebody forgot, and events that vanish are the one fault that
 * nobody would notice. The refusal is of that type alone, so users without such events go on. Who does want to drop what
 * nobody consumes gives the exchange an alternate exchange, and then nothing comes back.
 */
import type { Socket } from 'node:net'
import { type ConfirmChannel, connect } from 'amqplib'
import type { StoredEvent } from '../domain/event.js'
import type { Outcome, Sink } from '../domain/sink.js'
import { atMost, brokerSink, CONNECT_MS, GOODBYE_MS } from './broker-sink.js'
import { bodyOf, CONTENT_TYPE, headersOf } from './message.js'

type Link = {
  connection: Awaited<ReturnType<typeof connect>>
  channel: ConfirmChannel
  /** messages that came back, by `keyOf`, until their confirmation, which follows */
  returned: Set<string>
}

/** A sink of events under the routing key `<eventType>`. `url` is amqp:// or amqps://; the exchange must exist. */
export function openRabbitmqSink({ exchange, url }: { exchange: string; url: string }): Sink {
  async function open(onLost: (why: unknown) => void): Promise<Link> {
    const lost = (why: unknown) => onLost(explained(why, exchange))
    const connection = await connect(url, { timeout: CONNECT_MS, noDelay: true })
    connection.on('error', lost)
    connection.on('close', () => lost('the connection ended'))
    connection.on('blocked', (why) => lost(`it takes nothing for now (${why})`))
    try {
      const channel = await connection.createConfirmChannel()
      const returned = new Set<string>()
      channel.on('error', lost)
      channel.on('close', () => lost('the channel ended'))
      channel.on('return', ({ properties }) =>
        returned.add(keyOf({ id: properties.messageId, aggregateId: properties.headers?.['user-id'] }))
      )
      await channel.checkExchange(exchange)
      return { connection, channel, returned }
    } catch (err) {
      await end(connection)
      throw explained(err, exchange)
    }
  }

  const send = ({ channel, returned }: Link, event: StoredEvent): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      const options = {
        persistent: true,
        mandatory: true,
        messageId: event.id,
        type: event.eventType,
        timestamp: Math.trunc(Date.parse(event.createdAt) / 1000),
        contentType: CONTENT_TYPE,
        headers: headersOf(event)
      }
      channel.publish(exchange, event.eventType, bodyOf(event), options, (err: Error | null) => {
        if (returned.delete(keyOf(event))) resolve({ kind: 'failed', reason: unroutable(exchange, event.eventType) })
        else if (!err) resolve({ kind: 'delivered' })
        else if (err.message === 'message nacked') resolve({ kind: 'failed', reason: nacked(event.eventType) })
        else reject(err)
      })
    })

  return brokerSink<Link>({
    name: 'RabbitMQ',
    connect: open,
    disconnect: ({ connection }) => end(connection),
    deliver: (link, events) => events.map((event) => send(link, event))
  })
}

/** Two users may have events of one id. */
const keyOf = ({ aggregateId, id }: Pick<StoredEvent, 'aggregateId' | 'id'>): string => `${aggregateId}/${id}`

const unroutable = (exchange: string, eventType: string): string =>
  `No queue of RabbitMQ gets "${eventType}" from the exchange "${exchange}". Bind one, or leave the type out of the subscription.`

const nacked = (eventType: string): string =>
  `RabbitMQ did not take "${eventType}": a queue that gets it is full, or failed. See the limits and the log of that queue.`

/** The broker ends the channel for an exchange that is missing, or was deleted. */
const explained = (why: unknown, exchange: string): unknown =>
  why instanceof Error && 'code' in why && why.code === 404
    ? `there is no exchange "${exchange}". Declare it and bind queues to it.`
    : why

/** Says goodbye, but does not wait long for an answer. */
async function end(connection: Link['connection']): Promise<void> {
  await atMost(GOODBYE_MS / 2, connection.close())
  // There is no other way to its socket (amqplib 2.3), and only an error ends the heartbeat.
  const { stream } = connection.connection as unknown as { stream: Socket }
  stream.destroy(new Error('closed'))
}
