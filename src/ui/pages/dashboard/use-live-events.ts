/**
 * The events of the tenant as they come, from the newest ones on. However many come, the page is drawn a few times a second.
 */
import { useCallback, useEffect, useState } from 'preact/hooks'
import { ApiError, unreachable } from '../../api/api-error.js'
import { type Api, answerOf, type Event } from '../../api/client.js'
import { followStream, type StreamState } from '../../api/event-stream.js'
import { useSession } from '../../api/session.js'
import { createRecentEvents, type Recent } from './recent-events.js'
import { useWatched } from './use-watched.js'

export type LiveState = StreamState | { at: 'failed'; error: unknown }
export type Live = Recent<Event> & { state: LiveState; retry(): void }

export const WINDOW_SECONDS = 300
const LISTED = 10
/** Events before the first live one, so that the page does not begin empty. */
const BEFORE = 100
const DRAW_MS = 200
/** A page that is hidden for longer does not follow the log. */
const HIDDEN_MS = 60_000

const CONNECTING: LiveState = { at: 'connecting', error: null }

type Shown = Recent<Event> & { state: LiveState }

export function useLiveEvents(): Live {
  const { api } = useSession()
  const watched = useWatched(HIDDEN_MS)
  const [turn, setTurn] = useState(0)
  const [shown, setShown] = useState<Shown>({ newest: [], seconds: [], counts: [], state: CONNECTING })

  useEffect(() => {
    if (!watched) return
    const leave = new AbortController()
    const recent = createRecentEvents<Event>({ listed: LISTED, windowSeconds: WINDOW_SECONDS })
    let state: LiveState = CONNECTING
    let aheadMs = 0
    let changed = true
    let drawnSecond = 0

    function draw(): void {
      const now = Date.now() + aheadMs
      const second = Math.floor(now / 1000)
      if (document.hidden || (!changed && second === drawnSecond)) return
      changed = false
      drawnSecond = second
      setShown({ ...recent.at(now), state })
    }
    const become = (next: LiveState) => {
      state = next
      changed = true
    }
    const timer = setInterval(draw, DRAW_MS)
    followStream({
      begin: async (signal) => {
        const start = await readStart(api, signal)
        aheadMs = start.aheadMs
        recent.reset(start.fromMs)
        return start.cursor
      },
      open: (lastId, signal) => openStream(api, lastId, signal),
      onMessages: (messages) => {
        recent.add(messages.map(({ data }) => JSON.parse(data) as Event))
        changed = true
      },
      onState: become,
      after,
      signal: leave.signal
    }).catch((error: unknown) => become({ at: 'failed', error }))
    return () => {
      leave.abort()
      clearInterval(timer)
    }
  }, [api, watched, turn])

  const retry = useCallback(() => setTurn((before) => before + 1), [])
  return { ...shown, retry }
}

/** Where the stream begins: a few events back, and '' for the beginning of the log. */
async function readStart(api: Api, signal: AbortSignal) {
  const asked = api.GET('/events', { params: { query: { direction: 'backward', limit: BEFORE } }, signal })
  const { events, next } = await heard(asked)
  const { response } = await asked
  const oldest = events.at(-1)
  return {
    cursor: next ?? '',
    // Of the second in which the oldest of them lies there may be more.
    fromMs: next === null || !oldest ? 0 : Date.parse(oldest.createdAt) + 1,
    aheadMs: aheadOf(response)
  }
}

async function openStream(api: Api, lastId: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  return await heard(
    api.GET('/events/stream', {
      params: {
        query: { start: 'beginning' },
        header: lastId === '' ? {} : { 'last-event-id': lastId }
      },
      parseAs: 'stream',
      signal
    })
  )
}

/** A try that is given up because nothing comes gets no answer, either. */
function heard<Data>(asked: Parameters<typeof answerOf<Data>>[0]): Promise<NonNullable<Data>> {
  return answerOf(asked).catch((err: unknown) => {
    throw err instanceof DOMException ? unreachable() : err
  })
}

function after(error: unknown): 'again' | 'anew' | 'never' {
  if (!(error instanceof ApiError)) return 'again'
  if (error.code.startsWith('CURSOR_')) return 'anew'
  return [400, 401, 403, 404].includes(error.status) ? 'never' : 'again'
}

/** How far the clock of the service is ahead of this one, ms; the header knows seconds, so less than two of them are none. */
function aheadOf({ headers }: Response): number {
  const ahead = Date.parse(headers.get('date') ?? '') - Date.now()
  return Math.abs(ahead) >= 2000 ? ahead : 0
}
