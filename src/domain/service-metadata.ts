/**
 * What the service itself writes into the metadata of an event, under names that clients cannot use: who appended it, and in which
 * trace. It is no part of what the client sent: a request that is repeated with other credentials or in another trace is still the
 * same request (client_metadata in drizzle/0016_traceparent.sql).
 */
import { DomainError } from './errors.js'
import type { JsonObject, StoredEvent } from './event.js'
import { asTraceparent } from './traceparent.js'

const AUTHOR = '$principal'
const TRACEPARENT = '$traceparent'

const MEANINGS: [name: string, says: string][] = [
  [AUTHOR, 'who appended an event'],
  [TRACEPARENT, 'in which trace an event was appended']
]

/** Throws METADATA_RESERVED, with `pointer` of the event, if a client writes such a member itself. */
export function assertNoServiceMetadata(metadata: JsonObject | null | undefined, pointer: string): void {
  if (!metadata) return
  for (const [name, says] of MEANINGS) {
    if (!Object.hasOwn(metadata, name)) continue
    throw new DomainError(
      'METADATA_RESERVED',
      `The member ${name} of metadata says ${says}, and is written by the service. Leave it out, or name yours otherwise.`,
      { pointer: `${pointer}/metadata/${name}` }
    )
  }
}

/** Members of a JSON object without its braces; empty where there is nothing to say. */
export function serviceMembers(author: string | null, traceparent: string | null): string {
  if (author === null && traceparent === null) return ''
  const members: string[] = []
  if (author !== null) members.push(`"${AUTHOR}":${JSON.stringify(author)}`)
  if (traceparent !== null) members.push(`"${TRACEPARENT}":"${traceparent}"`)
  return members.join()
}

/** Metadata as JSON, with `members` of the service. */
export function withServiceMembers(metadataText: string | null, members: string): string | null {
  if (members === '') return metadataText
  return metadataText === null || metadataText === '{}' ? `{${members}}` : `${metadataText.slice(0, -1)},${members}}`
}

/** The trace that an event was appended in; null if none is known. An import may bring anything under that name. */
export const traceparentOf = ({ metadata }: Pick<StoredEvent, 'metadata'>): string | null =>
  asTraceparent(metadata?.[TRACEPARENT])
