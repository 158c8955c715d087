/** The one parser of request bodies: JSON in UTF-8, refused when parsing would change it. */
import { isUtf8 } from 'node:buffer'
import type { FastifyInstance } from 'fastify'
import { DomainError } from '../domain/errors.js'
import { parseJson } from '../domain/json.js'

/** Replaces Fastify's parsers, so that an odd content type can never slip past validation. An empty body is undefined. */
export function registerJsonBody(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body: Buffer, done) => {
    try {
      done(null, body.length === 0 ? undefined : parseJson(decode(body)))
    } catch (err) {
      done(err as Error)
    }
  })
}

function decode(body: Buffer): string {
  if (!isUtf8(body)) throw new DomainError('MALFORMED_JSON', 'The body is not valid UTF-8. Encode JSON as UTF-8.')
  return body.toString('utf8')
}
