/** A client of Server-Sent Events over a real socket, by the parsing rules of the HTML standard. */
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import type { Test } from 'tap'
import type { FeedItem } from './feed.js'

export type EventStream = {
  status: number
  response: IncomingMessage
  /** data of every event dispatched so far, and the last event id at that moment */
  events: { id: string; event: FeedItem }[]
  /** what an EventSource would send as Last-Event-ID now */
  lastId(): string
  comments: string[]
  /** the first of what came, as text */
  text(): string
  /** resolves when the connection is closed, by whomever */
  ended: Promise<void>
  close(): void
}

/** Opens a stream; closed when the test ends. */
export async function openStream(
  t: Test,
  url: string,
  {
    headers = {},
    localAddress,
    method = 'GET'
  }: { headers?: Record<string, string>; localAddress?: string; method?: string } = {}
): Promise<EventStream> {
  const outgoing = request(url, { method, headers, agent: false, ...(localAddress ? { localAddress } : {}) })
  outgoing.end()
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  t.teardown(() => response.destroy())
  const events: EventStream['events'] = []
  const comments: string[] = []
  let [text, rest, id, lastId, data] = ['', '', '', '', '']
  response.on('error', () => {})
  response.setEncoding('utf8').on('data', (chunk: string) => {
    if (text.length < 10_000) text += chunk
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      if (line === '') {
        lastId = id
        if (data !== '') events.push({ id, event: JSON.parse(data) })
        data = ''
      } else if (line.startsWith(':')) comments.push(line)
      else if (line.startsWith('id: ')) id = line.slice(4)
      else if (line.startsWith('data: ')) data += line.slice(6)
    }
  })
  const ended = new Promise<void>((resolve) => response.once('close', resolve))
  return {
    status: response.statusCode!,
    response,
    events,
    comments,
    lastId: () => lastId,
    text: () => text,
    ended,
    close: () => response.destroy()
  }
}

/** The positions that a stream has shown, in the order it did. */
export const positionsOf = ({ events }: Pick<EventStream, 'events'>): number[] =>
  events.map(({ event }) => event.position)

/** 1 to `last`, or `first` to `last`. */
export const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i)
