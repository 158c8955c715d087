/** Answers of one JSON value per line, as long as the selection is and as slow as its reader. */
import { pipeline } from 'node:stream/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'

export const wantsNdjson = (accept: string | undefined): boolean => accept?.includes('application/x-ndjson') ?? false

/** A client that takes nothing for so long is disconnected, ms. */
const STALLED_MS = 30_000

/**
 * Answers with every item of `pages` as a line. The head waits for the first page, so that a failure before it is still a
 * problem; a later one cuts the connection, and nobody takes a part for the whole. From the head on the answer is out of
 * Fastify's hands, whose deadline for handlers would cut off a stream that is merely long; a reader that takes nothing for `stalledMs` is cut off.
 */
export async function sendNdjson(
  request: FastifyRequest,
  reply: FastifyReply,
  pages: AsyncGenerator<object[]>,
  { stalledMs = STALLED_MS }: { stalledMs?: number | undefined } = {}
): Promise<FastifyReply> {
  const first = await pages.next()
  if (reply.sent) return reply
  reply.type('application/x-ndjson')
  if (request.method === 'HEAD') {
    await pages.return(undefined)
    return reply.send()
  }
  reply.hijack()
  request.endTurn()
  const { raw } = reply
  raw.writeHead(200, reply.getHeaders() as Record<string, string>)
  raw.setTimeout(stalledMs, () => raw.destroy())
  raw.once('finish', () => raw.setTimeout(0))
  pipeline(linesOf(first, pages), raw).catch((err: NodeJS.ErrnoException) => {
    if (err.code !== 'ERR_STREAM_PREMATURE_CLOSE')
      request.log.warn({ code: err.code, name: err.name }, 'stream cut off')
  })
  return reply
}

async function* linesOf(first: IteratorResult<object[]>, rest: AsyncGenerator<object[]>): AsyncGenerator<string> {
  if (first.done) return
  yield textOf(first.value)
  for await (const page of rest) yield textOf(page)
}

const textOf = (page: object[]): string => page.map((item) => `${JSON.stringify(item)}\n`).join('')
