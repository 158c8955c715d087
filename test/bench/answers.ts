/** What the service answers, taken from it as it runs, so that a server that does nothing can answer the same. */
import { unverified } from '../../src/domain/cursor.js'
import type { StoredEvent } from '../../src/domain/event.js'
import type { EventService } from '../../src/services/events.js'
import type { ReplayedState } from '../../src/services/replay.js'
import type { SnapshotService } from '../../src/services/snapshots.js'
import type { StatisticsService } from '../../src/services/statistics.js'
import { bodyOf, eventsPath, JSON_BODY, NDJSON, snapshotsPath, succeededText } from './scenarios/requests.js'

/** What services give to the routes; JSON throughout. */
export type Answers = {
  /** names the rules that states are folded under; part of entity tags */
  fingerprint: string
  /** of the store; signs cursors */
  secret: string
  /** by stateName */
  states: Record<string, ReplayedState>
  /** by the number of events in the request */
  appended: Record<number, Awaited<ReturnType<EventService['append']>>>
  page: Awaited<ReturnType<EventService['readPage']>>
  /** of a whole history */
  history: StoredEvent[]
  snapshot: Awaited<ReturnType<SnapshotService['take']>>
  statistics: Awaited<ReturnType<StatisticsService['events']>>
}

type Target = { version?: number | undefined; at?: string | undefined }

/** Names the answer to one question for a state. */
export const stateName = (userId: string, { version, at }: Target): string =>
  [userId, version ?? 'newest', at === undefined ? '' : 'at a moment'].join(' ')

/** What is asked of which user. */
export type Questions = {
  /** of the store */
  secret: string
  states: { userId: string; query: string; target: Target }[]
  append: { userId: string; events: number[] }
  history: { userId: string; pageEvents: number }
  snapshot: { userId: string }
}

/** Asks the service at `url`; what is asked more than once it has cached by then. Throws when it refuses. */
export async function takeAnswers(url: string, questions: Questions): Promise<Answers> {
  const { secret, append, history, snapshot } = questions
  const [first] = questions.states
  const { headers } = await fetch(`${url}/users/${first!.userId}/state`)
  const [, fingerprint = ''] = /^"\d+-([0-9a-f]+)"$/.exec(headers.get('etag') ?? '') ?? []
  if (!fingerprint) throw new Error(`The state's ETag is ${headers.get('etag')}; expected a version and a fingerprint.`)

  const ask = async <T>(path: string, init?: RequestInit): Promise<T> =>
    JSON.parse(await succeededText(await fetch(url + path, init))) as T
  const post = <T>(path: string, body: string): Promise<T> => ask(path, { method: 'POST', headers: JSON_BODY, body })

  const states: Answers['states'] = {}
  for (const { userId, query, target } of questions.states) {
    const answer = await ask<Omit<ReplayedState, 'text' | 'fingerprint'>>(`/users/${userId}/state${query}`)
    states[stateName(userId, target)] = { ...answer, fingerprint, text: JSON.stringify(answer.state) }
  }
  const appended: Answers['appended'] = {}
  for (const events of append.events) appended[events] = await post(eventsPath(append.userId), bodyOf(events))
  const page = await ask<Omit<Answers['page'], 'next'> & { next: string }>(
    `${eventsPath(history.userId)}?limit=${history.pageEvents}`
  )
  const lines = await succeededText(await fetch(url + eventsPath(history.userId), { headers: NDJSON }))
  return {
    fingerprint,
    secret,
    states,
    appended,
    page: { ...page, next: unverified(page.next) as number },
    history: lines
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as StoredEvent),
    snapshot: {
      created: true,
      snapshot: await post(snapshotsPath(snapshot.userId), JSON.stringify({ reason: 'bench' }))
    },
    statistics: await ask('/stats/events')
  }
}

/** Headers that differ from one answer to the next. */
const OF_THE_MOMENT = ['date', 'x-request-id']
const SHOWN_CHARACTERS = 2000

/** Throws unless the server that does nothing answers what the service does: status, headers and every byte of the body. */
export async function assertSame(serviceUrl: string, nothingUrl: string, path: string, headers = {}): Promise<void> {
  const [real, nothing] = await Promise.all(
    [serviceUrl, nothingUrl].map(async (url) => {
      const response = await fetch(url + path, { headers })
      const shown = [...response.headers].filter(([name]) => !OF_THE_MOMENT.includes(name))
      return JSON.stringify([response.status, shown, await response.text()])
    })
  )
  if (real !== nothing) throw different(`GET ${path}`, real!, nothing!)
}

/** The same for an append, whose ids and times are as long and whose numbers are others each time. */
export async function assertSameAppend(
  serviceUrl: string,
  nothingUrl: string,
  userId: string,
  events: number
): Promise<void> {
  const init = { method: 'POST', headers: JSON_BODY, body: bodyOf(events) }
  const [real, nothing] = await Promise.all(
    [serviceUrl, nothingUrl].map(async (url) => {
      const response = await fetch(url + eventsPath(userId), init)
      return JSON.stringify([response.status, [...response.headers.keys()].sort(), await response.json()], lengths)
    })
  )
  if (real !== nothing) throw different(`POST of ${events} events`, real!, nothing!)
}

function lengths(_name: string, value: unknown): unknown {
  if (typeof value === 'number') return 0
  return typeof value === 'string' ? value.length : value
}

function different(request: string, real: string, nothing: string): Error {
  const [shownReal, shownNothing] = [real, nothing].map((text) => text.slice(0, SHOWN_CHARACTERS))
  return new Error(`${request}: the server that does nothing answers\n${shownNothing}\nbut the service\n${shownReal}`)
}
