/**
 * What the sinks of all brokers share: one connection, opened when there is something to publish, and given up at the first
 * sign of trouble together with all that waits on it. Nothing connects again in the background: the next publish does, and
 * when that is, its caller decides. So there is no queue of a client from which an old event could leave late, and a
 * broker that comes back in whatever shape is met with a new connection.
 */
import type { StoredEvent } from '../domain/event.js'
import type { Outcome, Sink } from '../domain/sink.js'
import { publishInParts, wavesOf } from './waves.js'

export type Broker<Connection> = {
  /** as people call it, for the reasons */
  name: string
  /** Opens a connection within CONNECT_MS or rejects. Calls `lost` when the connection ends later, or is of no more use. */
  connect(lost: (why: unknown) => void): Promise<Connection>
  /** Ends a connection at once, whatever waits on it or became of it; may say goodbye for GOODBYE_MS. */
  disconnect(connection: Connection): void | Promise<void>
  /**
   * Sends events, and promises for each what became of it. Rejects when the connection is at fault: then all events without
   * an outcome are unavailable.
   */
  deliver(connection: Connection, events: StoredEvent[]): Promise<Outcome>[]
  /** The parts of a batch that are sent one after the other, as `publishInParts` wants them; waves when absent. */
  partsOf?: (batch: readonly StoredEvent[]) => StoredEvent[][]
}

/** Longest time that opening a connection may take, ms. */
export const CONNECT_MS = 4000
/** Longest time that a publish may take, ms: it ends with the lease under which it began. */
export const PUBLISH_MS = 4500
/** Longest time that is waited for the end of a connection, ms. */
export const GOODBYE_MS = 1000
const REASON_LENGTH_MAX = 500

/** A sink over connections of `broker`. Opens nothing yet, so it cannot fail. */
export function brokerSink<Connection>(broker: Broker<Connection>): Sink {
  const { name, connect, disconnect, deliver, partsOf = wavesOf } = broker
  let current: Promise<Connection> | null = null
  let closed = false
  const interrupts = new Set<(why: unknown) => void>()

  function connected(): Promise<Connection> {
    if (current) return current
    const opening = (async () => connect((why) => void giveUp(opening, why)))()
    opening.catch((err) => giveUp(opening, err))
    current = opening
    return opening
  }

  /** Whoever publishes over `connection` stops waiting; resolves when it is gone, or is to be gone by itself. */
  async function giveUp(connection: Promise<Connection> | null, why: unknown): Promise<void> {
    if (!connection || connection !== current) return
    current = null
    for (const interrupt of interrupts) interrupt(why)
    await atMost(GOODBYE_MS, connection.then(disconnect)) // Which fails if it did not open, or had ended by itself.
  }

  async function publish(batch: readonly StoredEvent[], signal: AbortSignal): Promise<Outcome[]> {
    if (signal.aborted || batch.length === 0) return batch.map(() => ({ kind: 'held' }))
    let reason: string | null = null
    let interrupt: (why: unknown) => void = () => {}
    const interrupted = new Promise<void>((resolve) => {
      interrupt = (why) => {
        reason ??= `${name}: ${textOf(why)}`.slice(0, REASON_LENGTH_MAX)
        resolve()
      }
    })
    const unavailable = (): Outcome => ({ kind: 'unavailable', reason: reason! })
    const stop = (): void => interrupt('publishing was stopped before there was a connection')
    const timer = setTimeout(() => interrupt(`no answer within ${PUBLISH_MS} ms`), PUBLISH_MS)
    interrupts.add(interrupt)
    signal.addEventListener('abort', stop)

    async function send(connection: Connection, events: StoredEvent[]): Promise<Outcome[]> {
      const outcomes: Outcome[] = []
      if (!reason) {
        const settle = async (): Promise<unknown> =>
          Promise.all(deliver(connection, events).map(async (outcome, i) => (outcomes[i] = await outcome)))
        await Promise.race([settle().catch(interrupt), interrupted])
      }
      return events.map((_, i) => outcomes[i] ?? unavailable())
    }

    let used: Promise<Connection> | null = null
    try {
      if (closed) interrupt('the sink is closed')
      else used = connected()
      const connection = await Promise.race([used?.catch(interrupt), interrupted])
      signal.removeEventListener('abort', stop)
      if (reason || !connection) return batch.map(unavailable)
      const outcomes = await publishInParts(batch, partsOf(batch), signal, (events) => send(connection, events))
      // Another connection may find what this one does not: the new leader of a cluster, say.
      if (outcomes.some(({ kind }) => kind === 'unavailable')) void giveUp(used, reason)
      return outcomes
    } finally {
      if (reason) void giveUp(used, reason)
      signal.removeEventListener('abort', stop)
      interrupts.delete(interrupt)
      clearTimeout(timer)
    }
  }

  return {
    publish,
    async close() {
      closed = true
      await giveUp(current, 'the sink was closed')
    }
  }
}

/** Resolves when `work` has ended, well or badly, and after `ms` at the latest. */
export async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work.catch(() => {}), late])
  clearTimeout(timer)
}

/** What an error says, without the credentials of an address, which some clients repeat. */
function textOf(why: unknown): string {
  if (why instanceof AggregateError && why.errors.length > 0) return textOf(why.errors.at(-1))
  const text = why instanceof Error ? why.message || ('code' in why && String(why.code)) || why.name : String(why)
  return text.replace(/\/\/[^\s/]*@/g, '//…@')
}
