/**
 * Requests whose body takes as long as it takes: routes that say `longBody` in their config. Neither the deadline of requests
 * nor Node's own ends them. Instead their body must not be silent for long, and what remains of a body that was refused is read
 * for a little while only.
 */
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { DomainError } from '../domain/errors.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** the body may take longer than REQUEST_TIMEOUT_MS to arrive, and the answer as well */
    longBody?: boolean
  }
}

/** Longest silence of a body, ms. */
export const SILENCE_MS = 30_000
/** Time that a client has to read its answer and stop sending, ms: to close at once would destroy the answer on its way. */
const LINGER_MS = 5000

export type LongBodies = ReturnType<typeof createLongBodies>

export function createLongBodies() {
  const sockets = new WeakSet<Socket>()

  return {
    /** Whether the body of such a request is on its way there, be it that it was answered already. */
    has: (socket: Socket): boolean => sockets.has(socket),

    /** To be called before routes are declared. */
    register(app: FastifyInstance): void {
      app.addHook('onRequest', (request, _reply, done) => {
        if (request.routeOptions.config.longBody) sockets.add(request.raw.socket)
        done()
      })
      app.addHook('onResponse', ({ raw }, _reply, done) => {
        const { socket } = raw
        if (raw.complete) sockets.delete(socket)
        else if (sockets.has(socket)) {
          const giveUp = setTimeout(() => raw.destroy(), LINGER_MS).unref()
          raw.once('end', () => {
            clearTimeout(giveUp)
            sockets.delete(socket)
          })
        }
        done()
      })
    }
  }
}

/**
 * The bytes of a body as they come. Throws IMPORT_INTERRUPTED when none come for `silenceMs` while they are waited for, or when
 * the client leaves. The connection stays open, so that there can be an answer. The first bytes are taken at once: a client that
 * leaves before anybody asks for them would take them along.
 */
export function bytesOf(body: Readable, silenceMs: number): AsyncGenerator<Buffer> {
  const chunks = body.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>
  let next = beforeSilence(chunks.next(), silenceMs)
  next.catch(() => {})
  async function* bytes(): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const { done, value } = await next
        if (done) return
        yield value
        next = beforeSilence(chunks.next(), silenceMs)
      }
    } finally {
      // After a silence it ends with the connection, for which nobody must wait.
      chunks.return?.().catch(() => {})
    }
  }
  return bytes()
}

async function beforeSilence<T>(next: Promise<T>, silenceMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(interrupted(`brought nothing for ${silenceMs} ms`)), silenceMs)
  })
  try {
    return await Promise.race([
      next.catch((cause) => {
        throw interrupted('ended before its end', cause)
      }),
      silence
    ])
  } finally {
    clearTimeout(timer)
  }
}

const interrupted = (what: string, cause?: unknown): DomainError =>
  new DomainError(
    'IMPORT_INTERRUPTED',
    `The body ${what}. The whole lines that came are stored. Send everything again: what is stored is passed over.`,
    {},
    { cause }
  )
