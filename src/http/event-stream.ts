/** Answers of Server-Sent Events: the format of the WHATWG's HTML standard, written no faster than the client reads. */
import { pipeline } from 'node:stream/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { StreamBatch } from '../services/feed.js'

/** How long a client waits before it connects again, ms. */
const RETRY_MS = 1000

/**
 * Answers with `batches` until they end, the client leaves, or it has taken nothing for `stalledMs`. What Node holds for a
 * slow client is one batch. On `signal` the stream ends, and is cut off if its client does not read. The answer is out of
 * Fastify's hands, as in ndjson.ts.
 */
export async function sendEventStream(
  request: FastifyRequest,
  reply: FastifyReply,
  batches: AsyncGenerator<StreamBatch>,
  { stalledMs, signal }: { stalledMs: number; signal: AbortSignal }
): Promise<FastifyReply> {
  reply.type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no')
  if (request.method === 'HEAD') return reply.send()
  // A connection that was a stream is not used again: its timeout is not that of requests.
  reply.header('connection', 'close').hijack()
  const { raw } = reply
  raw.writeHead(200, reply.getHeaders() as Record<string, string>)
  raw.setTimeout(stalledMs, () => raw.destroy())
  signal.addEventListener('abort', () => {
    if (raw.writableNeedDrain) raw.destroy()
  })
  pipeline(textOf(batches), raw).catch((err: NodeJS.ErrnoException) => {
    if (err.code !== 'ERR_STREAM_PREMATURE_CLOSE')
      request.log.warn({ code: err.code, name: err.name }, 'stream cut off')
  })
  return reply
}

async function* textOf(batches: AsyncGenerator<StreamBatch>): AsyncGenerator<string> {
  yield `retry: ${RETRY_MS}\n`
  for await (const { events, cursor, head } of batches) {
    // An id without data moves the client's last event id, and nothing is dispatched.
    if (events.length === 0) yield `: head ${head}\nid: ${cursor}\n\n`
    else yield events.map(({ cursor, data }) => `id: ${cursor}\ndata: ${data}\n\n`).join('')
  }
}
