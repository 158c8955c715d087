/** What is checked of every event before it may be stored, whichever way it comes, and the texts that are stored of it. */
import type { Catalog } from './catalog.js'
import { DomainError } from './errors.js'
import type { UnpreparedEvent } from './event.js'
import { parseInstant } from './formats.js'
import { findHazard } from './json.js'

export type EventTexts = {
  schemaVersion: number
  dataText: string
  metadataText: string | null
  /** UTC with milliseconds */
  occurredAt: string | null
  /** of data and metadata together */
  bytes: number
}

/**
 * Checks one event and makes it ready for the store. `pointer` is its place in the request.
 * Throws UNSAFE_JSON, UNKNOWN_EVENT_TYPE, UNKNOWN_SCHEMA_VERSION, INVALID_EVENT_DATA or EVENT_TOO_LARGE, with `pointer`.
 */
export function prepareEvent(
  event: UnpreparedEvent,
  pointer: string,
  catalog: Catalog,
  eventBytesMax: number
): EventTexts {
  const { eventData, metadata = null, occurredAt = null } = event
  const hazard = findHazard(eventData, `${pointer}/eventData`) ?? findHazard(metadata, `${pointer}/metadata`)
  if (hazard) throw new DomainError('UNSAFE_JSON', `At ${hazard.pointer}: ${hazard.reason}.`, hazard)
  const schemaVersion = catalog.schemaVersionOf(event, pointer)
  const dataText = JSON.stringify(eventData)
  const metadataText = metadata === null ? null : JSON.stringify(metadata)
  const bytes = Buffer.byteLength(dataText) + (metadataText === null ? 0 : Buffer.byteLength(metadataText))
  if (bytes > eventBytesMax) throw tooLarge(pointer, bytes, eventBytesMax)
  return {
    schemaVersion,
    dataText,
    metadataText,
    occurredAt: occurredAt === null ? null : momentOf(occurredAt, `${pointer}/occurredAt`),
    bytes
  }
}

/** `text` in UTC with milliseconds. Throws INVALID_EVENT_DATA with `pointer`, whose last part is the member's name. */
export function momentOf(text: string, pointer: string): string {
  const moment = parseInstant(text)
  if (moment) return moment
  const reason = 'expected an RFC 3339 date-time such as 2026-11-22T08:00:00.000Z'
  throw new DomainError('INVALID_EVENT_DATA', `What stands at ${pointer} is not a moment: ${reason}.`, {
    pointer,
    reason
  })
}

const tooLarge = (pointer: string, bytes: number, bytesMax: number): DomainError =>
  new DomainError(
    'EVENT_TOO_LARGE',
    `eventData and metadata of ${pointer ? `event ${pointer}` : 'the event'} are ${bytes} bytes together; at most ${bytesMax} are allowed.`,
    { pointer, bytes, bytesMax }
  )
