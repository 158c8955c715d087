/**
 * Delivers events to an HTTP server as signed CloudEvents, one per request or many. A receiver that does not answer for some
 * users must not stop the others: an event that gets no answer ends only the batched format, whose requests are about many.
 */
import { createHash } from 'node:crypto'
import { toCloudEvent } from '../domain/cloud-event.js'
import type { StoredEvent } from '../domain/event.js'
import type { Outcome, Sink } from '../domain/sink.js'
import type { WebhookConfig } from '../domain/subscription.js'
import { traceHeadersOf } from './message.js'
import { publishInParts, publishInWaves } from './waves.js'
import { NoAnswer, openWebhookClient } from './webhook-client.js'
import { outcomeOf } from './webhook-outcome.js'
import { signatureHeaders } from './webhook-signature.js'

export type WebhookSinkOptions = {
  config: WebhookConfig & { secret: string }
  /** `source` of the events */
  source: string
  /** whether addresses that are not of the public Internet may be connected to */
  privateAddresses: boolean
}

export const TIMEOUT_MS = 3000
/** Requests under way at once. */
export const REQUESTS_MAX = 16
/** Most events, and most bytes of body, in one request of the batched format; a larger event goes alone. */
export const PART_EVENTS_MAX = 1000
export const PART_BYTES_MAX = 1024 * 1024

/** A request that is to be made. */
type Message = { id: string; type: string; body: string; trace?: { traceparent?: string } }
/** Makes a request unless something speaks against it; the message is put together only then. */
type Send = (compose: () => Message) => Promise<Outcome>

const HELD: Outcome = { kind: 'held' }

export function openWebhookSink({ config, source, privateAddresses }: WebhookSinkOptions): Sink {
  const { url, secret, format = 'structured', timeoutMs = TIMEOUT_MS } = config
  const client = openWebhookClient({ url, timeoutMs, privateAddresses, connectionsMax: REQUESTS_MAX })

  async function post({ id, type, body, trace }: Message): Promise<Outcome> {
    const signature = signatureHeaders(secret, id, body, Date.now())
    try {
      const answer = await client.post(
        { 'content-type': type, 'user-agent': 'user-event-store', ...signature, ...trace },
        body
      )
      return outcomeOf(answer, secret)
    } catch (err) {
      if (err instanceof NoAnswer) return { kind: 'unavailable', reason: err.message }
      throw err
    }
  }

  /** For one batch: what ends it is the outcome of all that was not sent by then. */
  function sender(signal: AbortSignal, endedBy: Outcome['kind'][]): Send {
    let end: Outcome | null = null
    return async (compose) => {
      if (end) return end
      if (signal.aborted) return HELD
      const outcome = await post(compose())
      if (endedBy.includes(outcome.kind)) end = outcome
      return outcome
    }
  }

  const single = (event: StoredEvent): Message => ({
    id: event.id,
    type: 'application/cloudevents+json',
    body: JSON.stringify(toCloudEvent(event, source)),
    trace: traceHeadersOf(event)
  })

  async function publishSingly(batch: readonly StoredEvent[], signal: AbortSignal): Promise<Outcome[]> {
    const send = sender(signal, ['gone'])
    return publishInWaves(batch, signal, (wave) => mapAtMost(REQUESTS_MAX, wave, (event) => send(() => single(event))))
  }

  async function publishBatched(batch: readonly StoredEvent[], signal: AbortSignal): Promise<Outcome[]> {
    const send = sender(signal, ['gone', 'unavailable'])
    return publishInParts(batch, partsOf(batch, source), signal, async (events) => {
      const outcome = await send(() => batchMessage(events, source))
      return events.map(() => outcome)
    })
  }

  return { publish: format === 'batched' ? publishBatched : publishSingly, close: client.close }
}

function partsOf(batch: readonly StoredEvent[], source: string): StoredEvent[][] {
  const parts: StoredEvent[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const event of batch) {
    // With a comma, or the bracket at the end.
    const more = Buffer.byteLength(JSON.stringify(toCloudEvent(event, source))) + 1
    if (bytes + more > PART_BYTES_MAX || parts.at(-1)!.length === PART_EVENTS_MAX) {
      parts.push([])
      bytes = 1
    }
    parts.at(-1)!.push(event)
    bytes += more
  }
  return parts
}

/** The same events make the same id, so that a receiver can tell a repeated request; other events make another. */
const batchMessage = (events: readonly StoredEvent[], source: string): Message => ({
  id: `batch_${createHash('sha256')
    .update(events.map(({ id }) => id).join())
    .digest('hex')
    .slice(0, 32)}`,
  type: 'application/cloudevents-batch+json',
  body: JSON.stringify(events.map((event) => toCloudEvent(event, source)))
})

/** The results of `work` in the order of `items`, at most `limit` of them under way at once. */
async function mapAtMost<T, R>(limit: number, items: T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const rest = items.entries()
  const takeTurns = async (): Promise<void> => {
    for (const [i, item] of rest) results[i] = await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, takeTurns))
  return results
}
