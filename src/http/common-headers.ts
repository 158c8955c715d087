/**
 * Headers of every answer: the id of the request, and what browsers are told, which is to do nothing with it: no script, no
 * frame, no guess at its type, no copy on disk. They are made once; a route that knows better sets its own in their place.
 *
 * There is no Strict-Transport-Security: it counts only on answers that come over TLS (RFC 6797, 8.1), and those are of
 * the proxy that ends TLS, which alone knows whether all of the host is served so.
 */
import type { FastifyInstance } from 'fastify'

export const commonHeaders: Readonly<Record<string, string>> = {
  // Answers are data: nothing of them may load or run, and no page may frame them.
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  // No page of another site may load one as a picture or a script. Who reads it by CORS is not asked this.
  'cross-origin-resource-policy': 'same-origin',
  // Most are about persons. The state, which clients ask for again with its ETag, says `private, no-cache` instead.
  'cache-control': 'no-store'
}

/** Of the one style that the reference page makes itself, that of the logo it begins with. */
const LOGO_STYLE = "'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='"

/** The policy of the reference page: it runs its own files and asks the API. Its pictures are data in its files. */
export const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  `style-src 'self' ${LOGO_STYLE}`,
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'"
].join('; ')

/** To be called before anything that may refuse: every answer carries them. */
export function registerCommonHeaders(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.headers(commonHeaders).header('x-request-id', request.id)
    done()
  })
}
