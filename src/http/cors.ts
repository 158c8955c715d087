/**
 * Which pages of other origins may read answers (CORS). None, unless the operator names their origins; and then without
 * credentials: cookies mean nothing here, and a page that has a token sends it itself.
 */
import type { FastifyInstance } from 'fastify'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE']

/** Headers of requests that the routes read, besides those that any page may send. */
const ASKED = [
  'authorization',
  'cache-control',
  'content-type',
  'event-position-min',
  'idempotency-key',
  'if-match',
  'if-none-match',
  'last-event-id',
  'traceparent',
  'x-request-id',
  'x-tenant-id'
]

/** Headers of answers that say something to clients, besides those that any page may read. */
const SHOWN = [
  'allow',
  'etag',
  'event-position',
  'link',
  'location',
  'ratelimit-limit',
  'ratelimit-remaining',
  'ratelimit-reset',
  'retry-after',
  'www-authenticate',
  'x-request-id',
  'x-total-count'
]

/** How long a browser need not ask again whether a request may be sent, s: what Chromium allows at most. */
const MAX_AGE_S = 7200

/**
 * Lets pages of `origins` ask and read, compared as text with what browsers send. To be called before routes are watched and
 * declared: the library has a route of its own for OPTIONS of all paths.
 */
export async function registerCors(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  if (origins.length === 0) return
  const { default: cors } = await import('@fastify/cors')
  const allowed = new Set(origins)
  await app.register(cors, {
    // To others an answer looks as if there was no CORS at all, and OPTIONS is a method that the path does not know.
    origin: (origin, done) => done(null, origin !== undefined && allowed.has(origin)),
    methods: METHODS,
    allowedHeaders: ASKED,
    exposedHeaders: SHOWN,
    maxAge: MAX_AGE_S,
    // Strict mode has a plain text for an OPTIONS that asks for nothing, where all other errors are problems.
    strictPreflight: false
  })
}
