/** Reads what there was at a version, for a slider that is moved faster than answers come. */
import { type AnswerOf, type Api, answerOf, type Event } from '../../api/client.js'

export type StateAt = AnswerOf<'/users/{userId}/state'>

export type Moment = {
  at: StateAt
  /** the state before; null at the first version, undefined while it is on its way */
  before: StateAt | null | undefined
  /** what made it so; undefined while it is on its way, or if events may not be read */
  event: Event | undefined
}

/** States that are kept. */
const KEPT = 200
/** A request that takes longer is given up when something else is wanted, ms; a shorter one is waited for, and its answer kept. */
const PATIENCE_MS = 250

export type MomentReader = ReturnType<typeof createMomentReader>

/**
 * Tells `onMoment` of what is wanted, as it becomes known. There is never more than one request on its way, and what was wanted for a
 * moment only, while another was, is not asked for.
 */
export function createMomentReader(parts: {
  api: Api
  userId: string
  withEvents: boolean
  onMoment: (moment: Moment) => void
  onError: (error: unknown) => void
}) {
  const { api, userId, withEvents, onMoment, onError } = parts
  const states = new Map<number, StateAt>()
  let wanted: number | null = null
  let running: { leave: AbortController; since: number } | null = null
  let working = false

  async function ask<T>(send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const leave = new AbortController()
    running = { leave, since: performance.now() }
    try {
      return await send(leave.signal)
    } finally {
      running = null
    }
  }

  async function stateAt(version: number): Promise<StateAt> {
    const params = { path: { userId }, query: { version } }
    const found =
      states.get(version) ??
      (await ask((signal) => answerOf<StateAt>(api.GET('/users/{userId}/state', { params, signal }))))
    states.delete(version)
    states.set(version, found)
    const oldest = states.keys().next().value
    if (states.size > KEPT && oldest !== undefined) states.delete(oldest)
    return found
  }

  const eventAt = (version: number): Promise<Event> => {
    const params = { path: { userId, version } }
    return ask((signal) => answerOf<Event>(api.GET('/users/{userId}/events/{version}', { params, signal })))
  }

  /** Stops early when something else is wanted. */
  async function read(version: number): Promise<void> {
    const at = await stateAt(version)
    onMoment({ at, before: version === 1 ? null : undefined, event: undefined })
    if (wanted !== version) return
    const before = version === 1 ? null : await stateAt(version - 1)
    onMoment({ at, before, event: undefined })
    if (wanted !== version || !withEvents) return
    onMoment({ at, before, event: await eventAt(version) })
  }

  async function work(): Promise<void> {
    working = true
    for (let done: number | null = null; wanted !== null && wanted !== done; ) {
      const version: number = wanted
      try {
        await read(version)
      } catch (error) {
        if (wanted === version) onError(error)
      }
      done = version
    }
    working = false
  }

  return {
    want(version: number): void {
      wanted = version
      if (!working) void work()
      else if (running && performance.now() - running.since > PATIENCE_MS) running.leave.abort()
    },
    stop(): void {
      wanted = null
      running?.leave.abort()
    }
  }
}
