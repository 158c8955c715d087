/**
 * The one parser of request bodies: JSON in UTF-8, refused when parsing would change it. Whatever reads a request before or
 * after this service must read the same: a body is refused when its headers say that it is anything else.
 */
import { isUtf8 } from 'node:buffer'
import { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify'
import { DomainError } from '../domain/errors.js'
import { parseJson } from '../domain/json.js'

/** Replaces Fastify's parsers, so that an odd content type can never slip past validation. An empty body is undefined. */
export function registerJsonBody(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    try {
      assertPlainUtf8(request)
      done(null, body.length === 0 ? undefined : parseJson(decode(body)))
    } catch (err) {
      done(err as Error)
    }
  })
}

/** Throws UNSUPPORTED_MEDIA_TYPE when the headers of a body name another charset than UTF-8, or a content coding. */
export function assertPlainUtf8({ headers }: Pick<FastifyRequest, 'headers'>): void {
  const type = headers['content-type'] ?? ''
  const coding = headers['content-encoding'] ?? 'identity'
  if (type === 'application/json' && coding === 'identity') return
  const charsets = [...type.matchAll(/;\s*charset\s*=\s*("?)([^;]*?)\1\s*(?=;|$)/gi)].map(([, , name]) => name!)
  if (coding.toLowerCase() !== 'identity' || charsets.some((name) => !/^utf-?8$/i.test(name)))
    throw new errorCodes.FST_ERR_CTP_INVALID_MEDIA_TYPE()
}

function decode(body: Buffer): string {
  if (!isUtf8(body)) throw new DomainError('MALFORMED_JSON', 'The body is not valid UTF-8. Encode JSON as UTF-8.')
  return body.toString('utf8')
}
