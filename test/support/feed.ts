/** Reading the feed over HTTP, and damaging the log as a restore from a backup would. */
import type { TestDatabase } from './db.js'
import type { Answer } from './service.js'
import { until } from './wait.js'

export type FeedItem = { id: string; aggregateId: string; version: number; position: number; eventType: string }

type Get = (url: string, headers?: Record<string, string>) => Promise<Answer>

/** All pages from `query` on until the log ends (or begins), with the events of all. */
export async function readFeed(get: Get, query = '', headers: Record<string, string> = {}) {
  const pages: Record<string, any>[] = []
  let after = ''
  for (;;) {
    const answer = await get(`/events?${query}${after}`, headers)
    if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} ${answer.body}`)
    const page = answer.data
    pages.push(page)
    const done = query.includes('backward') ? page.next === null : page.position === page.head
    if (done) return { pages, events: pages.flatMap(({ events }) => events as FeedItem[]) }
    after = `&after=${page.next}`
  }
}

/** Resolves when so many streams and waiting reads are open. */
export const untilOpen = (get: Get, count: number): Promise<boolean> =>
  until(async () => new RegExp(`^event_store_feed_streams ${count}$`, 'm').test((await get('/metrics')).body), {
    what: `${count} open`
  })

/** Takes all events after `position` of bucket 0 out of the log: what a restore from an older backup leaves. */
export const loseEventsAfter = (database: TestDatabase, position: number): Promise<object[]> =>
  database.run(
    `SELECT set_config('user_event_store.maintenance', 'restore', true); DELETE FROM user_events WHERE bucket = 0 AND position > ${position}`
  )
