/** A receiver of webhooks that takes CloudEvents, notes those it took, and refuses what a test tells it to. */
import type { Test } from 'tap'
import { startReceiver } from './receiver.js'

/** A CloudEvent as far as the tests look at it. */
export type Taken = {
  id: string
  type: string
  subject: string
  userversion: number
  sequence: string
  tenantid: string
}

export type Taker = {
  url: string
  /** every event that was answered with 2xx, in the order of the answers, repetitions included */
  taken: Taken[]
  /** status for an event (the highest of a batch counts); 0 never answers */
  answer: (event: Taken) => number
}

/** Takes everything until told otherwise; ends with the test. */
export async function testTaker(t: Test): Promise<Taker> {
  const taker: Taker = { url: '', taken: [], answer: () => 204 }
  const { url } = await startReceiver(t, ({ body }, response) => {
    const events = [JSON.parse(body)].flat() as Taken[]
    const statuses = events.map((event) => taker.answer(event))
    if (statuses.includes(0)) return
    const status = Math.max(...statuses)
    if (status < 300) taker.taken.push(...events)
    response.writeHead(status).end()
  })
  return Object.assign(taker, { url })
}

/** Of each user the versions in the order in which they first came. */
export function firstArrivals(taken: readonly Taken[]): Map<string, number[]> {
  const versions = new Map<string, number[]>()
  const seen = new Set<string>()
  for (const { id, subject, userversion } of taken) {
    if (seen.has(id)) continue
    seen.add(id)
    versions.set(subject, [...(versions.get(subject) ?? []), Number(userversion)])
  }
  return versions
}
