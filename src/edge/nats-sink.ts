/**
 * Delivers events to a stream of NATS JetStream: an event is delivered when the stream has acknowledged it. Its id is the
 * `Nats-Msg-Id`, by which JetStream drops what it was sent twice within the duplicate window of the stream.
 *
 * Acknowledgements come to one inbox of the connection and are told apart by a number. The JetStream client makes
 * of each publish a request with a timer and two errors of its own: 18,000 events a second where this sends 60,000.
 */
import { connect, createInbox, errors, headers, type Msg, type NatsConnection } from '@nats-io/transport-node'
import type { StoredEvent } from '../domain/event.js'
import type { Outcome, Sink } from '../domain/sink.js'
import { brokerSink, CONNECT_MS } from './broker-sink.js'
import { bodyOf, headersOf } from './message.js'

type Link = {
  connection: NatsConnection
  inbox: string
  /** who waits for an answer, by the number of the message: two users may have events of one id */
  waiting: Map<string, (answer: Msg) => void>
  sent: number
}

/** What JetStream answers to a publish; without `stream` and `error` it was not JetStream. */
type Answer = { stream?: string; error?: { err_code: number; description: string } }

/** Status of the answer that the server gives when nobody takes a subject. */
const NO_RESPONDERS = 503
/** JetStream's code for a message larger than its stream takes. */
const MESSAGE_TOO_LARGE = 10_054

/**
 * A sink of events under `<subject>.<eventType>`. `url` is nats:// or tls://, or several separated by commas, of which the
 * first has the credentials: `user:password@` or `token@`.
 */
export function openNatsSink({ subject, url }: { subject: string; url: string }): Sink {
  async function open(lost: (why: unknown) => void): Promise<Link> {
    // A client that connects again by itself would send what waits in it late.
    const connection = await connect({ ...addressOf(url), reconnect: false, timeout: CONNECT_MS })
    connection.closed().then((err) => lost(err ?? 'the connection ended'), lost)
    const inbox = createInbox()
    const waiting: Link['waiting'] = new Map()
    connection.subscribe(`${inbox}.*`, {
      callback: (_err, answer) => {
        const number = answer.subject.slice(inbox.length + 1)
        waiting.get(number)?.(answer)
        waiting.delete(number)
      }
    })
    return { connection, inbox, waiting, sent: 0 }
  }

  /** Rejects when the event cannot be sent; when the connection ends before the answer, nothing comes of it. */
  const send = (link: Link, event: StoredEvent): Promise<Outcome> =>
    new Promise((resolve, reject) => {
      const { connection, inbox, waiting } = link
      const number = String(link.sent++)
      const to = `${subject}.${event.eventType}`
      waiting.set(number, (answer) => resolve(outcomeOf(answer, to, subject)))
      try {
        connection.publish(to, bodyOf(event), { headers: linesOf(event), reply: `${inbox}.${number}` })
      } catch (err) {
        waiting.delete(number)
        if (err instanceof errors.InvalidArgumentError) resolve(tooLarge(err.message))
        else reject(err)
      }
    })

  return brokerSink<Link>({
    name: 'NATS',
    connect: open,
    disconnect: ({ connection }) => connection.close(),
    deliver: (link, events) => events.map((event) => send(link, event))
  })
}

function linesOf(event: StoredEvent) {
  const lines = headers()
  lines.set('Nats-Msg-Id', event.id)
  for (const [name, value] of Object.entries(headersOf(event))) lines.set(name, value)
  return lines
}

function outcomeOf(answer: Msg, to: string, subject: string): Outcome {
  const { stream, error } = answer.headers?.code === NO_RESPONDERS ? {} : parsed(answer)
  if (error?.err_code === MESSAGE_TOO_LARGE) return tooLarge(error.description)
  if (error)
    return { kind: 'unavailable', reason: `The stream of NATS JetStream for "${to}" says: ${error.description}.` }
  if (stream) return { kind: 'delivered' }
  const reason = `No stream of NATS JetStream takes the subject "${to}". Create a stream with the subjects "${subject}.>".`
  return { kind: 'unavailable', reason }
}

function parsed(answer: Msg): Answer {
  try {
    return answer.json<Answer>() ?? {}
  } catch {
    return {}
  }
}

const tooLarge = (what: string): Outcome => ({
  kind: 'failed',
  reason: `NATS refuses the event as too large: ${what}. Raise max_payload of the server or the stream's largest message.`
})

/** The address in the client's words. It does not read credentials out of a URL. */
function addressOf(url: string) {
  const servers = url.split(',').map((each) => new URL(each))
  const { protocol, username, password } = servers[0]!
  const user = decodeURIComponent(username)
  return {
    servers: servers.map(({ hostname, port }) => `${hostname}:${port || 4222}`),
    ...(protocol === 'tls:' && { tls: {} }),
    ...(password ? { user, pass: decodeURIComponent(password) } : user && { token: user })
  }
}
