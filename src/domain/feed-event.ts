/** An event on its way to those who follow the log, with what is made of it once however many they are. */
import type { Catalog } from './catalog.js'
import type { StoredEvent } from './event.js'
import { hashOf } from './feed-cursor.js'

export type FeedEvent = {
  bucket: number
  event: StoredEvent
  /** `hashOf` its id */
  hash: bigint
  /** the event as JSON, with its data as they were stored */
  stored: string
  /** the event as JSON, with its data at the newest version that `catalog` knows */
  lifted: { catalog: Catalog; text: string } | null
  /** its cursor in a log of one bucket, where that is the same for all who are shown it; null until the first asks */
  cursor: string | null
}

export const feedEvent = (bucket: number, event: StoredEvent): FeedEvent => ({
  bucket,
  event,
  hash: hashOf(event.id),
  stored: JSON.stringify(event),
  lifted: null,
  cursor: null
})

/** The event as JSON with its data lifted by `catalog`, or as stored for null. Throws UnknownRules as `Catalog.upcast` does. */
export function jsonOf(shared: FeedEvent, catalog: Catalog | null): string {
  if (catalog === null) return shared.stored
  if (shared.lifted?.catalog !== catalog) {
    const event = catalog.upcast(shared.event)
    shared.lifted = { catalog, text: event === shared.event ? shared.stored : JSON.stringify(event) }
  }
  return shared.lifted.text
}
