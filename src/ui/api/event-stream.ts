/**
 * Server-Sent Events read with fetch, as an EventSource cannot send a key: the format, and following a stream over connections
 * that break.
 */

export type StreamMessage = { id: string; data: string }

/** `error` is why the try before failed; null when there was none, or a stream that was open broke. */
export type StreamState =
  | { at: 'connecting'; error: unknown }
  | { at: 'live' }
  | { at: 'waiting'; error: unknown; pauseMs: number }

export type FollowOptions = {
  /** Says behind which id the stream begins when none is known, or is not known any more. */
  begin(signal: AbortSignal): Promise<string>
  /** Opens the stream behind an id. */
  open(lastId: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>
  /** Gets what came at once, in its order. */
  onMessages(messages: StreamMessage[]): void
  onState(state: StreamState): void
  /** Whether after an error the same is tried again, or the stream begins anew, or is given up. */
  after(error: unknown): 'again' | 'anew' | 'never'
  /** ends it */
  signal: AbortSignal
  /** pause before the first try after a success; doubles with each that fails, to PAUSE_MAX_MS */
  pauseMs?: number
}

const PAUSE_MS = 1000
const PAUSE_MAX_MS = 30_000
/** Three heartbeats of the service: a connection that is silent for longer is dead. */
const SILENCE_MS = 45_000

const BROKEN = { done: true, value: undefined } as const

/** Takes text in whatever pieces it comes, and gives the messages that are complete, by the rules of the HTML standard. */
export function createMessageReader() {
  let rest = ''
  let id = ''
  let lastId: string | undefined
  let data: string[] = []
  return {
    /** of all that is complete; an id without data moves it, too */
    lastId: (): string | undefined => lastId,

    read(text: string): StreamMessage[] {
      // A \r at the end may be the first half of a line end.
      const lines = (rest + text).split(/\r\n|\n|\r(?!$)/)
      rest = lines.pop()!
      const messages: StreamMessage[] = []
      for (const line of lines) {
        const colon = line.indexOf(':')
        const name = colon < 0 ? line : line.slice(0, colon)
        const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
        if (name === 'data') data.push(value)
        else if (name === 'id') id = value
        else if (line === '') {
          if (id !== '') lastId = id
          if (data.length > 0) messages.push({ id, data: data.join('\n') })
          data = []
        }
      }
      return messages
    }
  }
}

/** Follows a stream until `signal`: then it resolves. Rejects with an error after which it shall not be tried again. */
export async function followStream(options: FollowOptions): Promise<void> {
  const { begin, open, onState, after, signal, pauseMs = PAUSE_MS } = options
  let lastId: string | undefined
  let pause = pauseMs
  let error: unknown = null
  while (!signal.aborted) {
    onState({ at: 'connecting', error })
    const connection = connectionWithin(signal)
    error = null
    try {
      lastId ??= await begin(connection.signal)
      const stream = await open(lastId, connection.signal)
      onState({ at: 'live' })
      const seen = (id: string) => {
        lastId = id
        pause = pauseMs
      }
      await readAll(stream, connection, { ...options, seen })
    } catch (err) {
      error = err
    } finally {
      connection.end()
    }
    if (signal.aborted) return
    if (error !== null) {
      const next = after(error)
      if (next === 'never') throw error
      if (next === 'anew') lastId = undefined
    }
    // Many who lost the same service do not come back at once.
    const waited = pause * (0.75 + Math.random() / 2)
    pause = Math.min(pause * 2, PAUSE_MAX_MS)
    onState({ at: 'waiting', error, pauseMs: waited })
    await passed(waited, signal)
  }
}

type Connection = ReturnType<typeof connectionWithin>

/** One try: ends with `whole`, by itself when nothing was heard for long, and when told to. */
function connectionWithin(whole: AbortSignal) {
  const own = new AbortController()
  const end = () => own.abort()
  let timer = setTimeout(end, SILENCE_MS)
  whole.addEventListener('abort', end)
  return {
    signal: own.signal,
    heard(): void {
      clearTimeout(timer)
      timer = setTimeout(end, SILENCE_MS)
    },
    end(): void {
      clearTimeout(timer)
      whole.removeEventListener('abort', end)
      end()
    }
  }
}

/** Resolves when the stream ends, or breaks. */
async function readAll(
  stream: ReadableStream<Uint8Array>,
  connection: Connection,
  { onMessages, seen }: Pick<FollowOptions, 'onMessages'> & { seen: (lastId: string) => void }
): Promise<void> {
  const reader = stream.getReader()
  const decoder = new TextDecoder()
  const format = createMessageReader()
  for (;;) {
    const { done, value } = await reader.read().catch(() => BROKEN)
    if (done) return
    connection.heard()
    const messages = format.read(decoder.decode(value, { stream: true }))
    if (messages.length > 0) onMessages(messages)
    const lastId = format.lastId()
    if (lastId !== undefined) seen(lastId)
  }
}

/** Resolves after `ms`, or when `signal` says so. */
function passed(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    function done() {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    signal.addEventListener('abort', done)
  })
}
