/**
 * POSTs to one URL that somebody else chose: never to a private address unless allowed, never along a redirect, never
 * longer than the timeout, never more of an answer than a little. The address is checked when it is connected to, so a
 * name that resolves to another one the next time gains nothing.
 */
import { lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { Agent, buildConnector, request } from 'undici'
import { isPublicAddress, literalAddress, privateAddressRefused } from '../domain/webhook-url.js'

export type WebhookClientOptions = {
  url: string
  /** longest time of an exchange, from the connection to the end of the answer, ms */
  timeoutMs: number
  privateAddresses: boolean
  connectionsMax: number
}

/** `text` is the beginning of the body, or what came of it. */
export type Answer = { status: number; retryAfter: string | undefined; text: string }

/** No answer came; `message` says why and holds nothing secret. */
export class NoAnswer extends Error {
  override name = 'NoAnswer'
}

/** Bytes of an answer that are read, about: a connection whose answer is longer is closed and not used again. */
const ANSWER_BYTES_MAX = 16 * 1024

export type WebhookClient = ReturnType<typeof openWebhookClient>

export function openWebhookClient({ url, timeoutMs, privateAddresses, connectionsMax }: WebhookClientOptions) {
  const agent = new Agent({
    connections: connectionsMax,
    connect: privateAddresses ? { timeout: timeoutMs } : publicOnly(timeoutMs),
    // One timer covers the whole exchange.
    headersTimeout: 0,
    bodyTimeout: 0
  })

  return {
    /**
     * Sends `body` and returns the answer. The status counts once its head is there: if the body then breaks off or does not
     * end in time, it is still an answer. Throws NoAnswer, and then the receiver may or may not have the request.
     */
    async post(headers: Record<string, string>, body: string): Promise<Answer> {
      const exchange = new AbortController()
      const timer = setTimeout(() => exchange.abort(), timeoutMs)
      try {
        const answer = await request(url, { dispatcher: agent, method: 'POST', headers, body, signal: exchange.signal })
        const retryAfter = answer.headers['retry-after']
        return {
          status: answer.statusCode,
          retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
          text: await beginningOf(answer.body)
        }
      } catch (cause) {
        throw new NoAnswer(exchange.signal.aborted ? `no answer within ${timeoutMs} ms` : explain(cause), { cause })
      } finally {
        clearTimeout(timer)
      }
    },

    /** Ends all connections; requests in flight fail. */
    close: (): Promise<void> => agent.destroy()
  }
}

/** Connects to public addresses only, however the host is written. */
function publicOnly(timeoutMs: number): buildConnector.connector {
  const connect = buildConnector({ timeout: timeoutMs, lookup: lookupPublic })
  return (options, callback) => {
    // A literal address is connected to without a lookup.
    const address = literalAddress(options.hostname)
    if (address !== null && !isPublicAddress(address)) callback(new NoAnswer(privateAddressRefused(address)), null)
    else connect(options, callback)
  }
}

/** Fails when any address of the name is private: no honest name has both kinds. */
const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (err, addresses) => {
    if (err) return callback(err, [])
    const refused = addresses.find(({ address }) => !isPublicAddress(address))
    if (refused) return callback(new NoAnswer(privateAddressRefused(refused.address)), [])
    if (options.all) return callback(null, addresses)
    callback(null, addresses[0]!.address, addresses[0]!.family)
  })
}

/** Leaving the loop before the end closes the connection. */
async function beginningOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of body) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > ANSWER_BYTES_MAX) break
    }
  } catch {
    // It broke off, or took too long: the head has said what matters.
  }
  return Buffer.concat(chunks).toString()
}

/** The code or the kind alone: a message may hold anything. */
function explain(err: unknown): string {
  if (err instanceof NoAnswer) return err.message
  const { code, name } = err as { code?: unknown; name: string }
  return `no answer (${typeof code === 'string' ? code : name})`
}
