/**
 * Who appended an event, as its metadata say under a name that clients cannot use. It is no part of what the client sent: a
 * request that is repeated with other credentials is still the same request (client_metadata in drizzle/0010_access.sql).
 */
import { DomainError } from './errors.js'
import type { JsonObject } from './event.js'

const AUTHOR = '$principal'

/** Throws METADATA_RESERVED, with `pointer` of the event, if a client says itself who the author is. */
export function assertNoAuthor(metadata: JsonObject | null | undefined, pointer: string): void {
  if (!metadata || !Object.hasOwn(metadata, AUTHOR)) return
  throw new DomainError(
    'METADATA_RESERVED',
    `The member ${AUTHOR} of metadata says who appended an event, and is written by the service. Leave it out, or name yours otherwise.`,
    { pointer: `${pointer}/metadata/${AUTHOR}` }
  )
}

/** Metadata as JSON, with the author. */
export function withAuthor(metadataText: string | null, author: string): string {
  const member = `"${AUTHOR}":${JSON.stringify(author)}}`
  return metadataText === null || metadataText === '{}' ? `{${member}` : `${metadataText.slice(0, -1)},${member}`
}
