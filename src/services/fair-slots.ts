/**
 * A bounded number of pieces of work at once, for which tenants take turns: who waits with much does not hold up who comes
 * with little. One that is here alone has all slots; as soon as another asks for anything, however little, each has its
 * share and no more, since what runs already takes the processor from those who come.
 */
import { DomainError } from '../domain/errors.js'
import { createTurns } from '../domain/turns.js'

export type FairSlotsOptions = {
  /** pieces of work at once */
  slots: number
  /** those of one tenant while there are others */
  share: number
  /** pieces of one tenant that may wait */
  waitingMax: number
  /** longest wait, ms */
  waitMs: number
}

/** So long after its last request a tenant counts as here, ms. */
const HERE_MS = 1000

type Waiting = { tenantId: string; enter: () => void }

export type FairSlots = ReturnType<typeof createFairSlots>

export function createFairSlots({ slots, share, waitingMax, waitMs }: FairSlotsOptions) {
  const turns = createTurns<Waiting>()
  const running = new Map<string, number>()
  const waiting = new Map<string, number>()
  let free = slots
  /** The tenant that asked last, and the one that did before it: of any tenant they tell whether there is another. */
  let last = { tenantId: '', at: Number.NEGATIVE_INFINITY }
  let before = last

  function note(tenantId: string): void {
    if (tenantId !== last.tenantId) {
      before = last
      last = { tenantId, at: 0 }
    }
    last.at = performance.now()
  }

  function isAlone(tenantId: string): boolean {
    const since = performance.now() - HERE_MS
    return [last, before].every((other) => other.tenantId === tenantId || other.at < since)
  }

  function count(map: Map<string, number>, tenantId: string, step: 1 | -1): void {
    const now = (map.get(tenantId) ?? 0) + step
    if (now > 0) map.set(tenantId, now)
    else map.delete(tenantId)
  }

  function mayRun(tenantId: string): boolean {
    const own = running.get(tenantId) ?? 0
    return free > 0 && (own < share || isAlone(tenantId))
  }

  function start(tenantId: string): void {
    free--
    count(running, tenantId, 1)
  }

  function wait(tenantId: string): Promise<void> {
    if ((waiting.get(tenantId) ?? 0) >= waitingMax) throw overloaded(`${waitingMax} of them are waiting already`)
    count(waiting, tenantId, 1)
    return new Promise((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer)
        count(waiting, tenantId, -1)
        resolve()
      }
      const entry = { tenantId, enter }
      const timer = setTimeout(() => {
        turns.dropLast(tenantId, (other) => other === entry)
        count(waiting, tenantId, -1)
        reject(overloaded(`a turn did not come within ${waitMs} ms`))
      }, waitMs)
      turns.add(tenantId, entry)
    })
  }

  function end(tenantId: string): void {
    free++
    count(running, tenantId, -1)
    turns.offer(({ tenantId: next, enter }) => {
      if (!mayRun(next)) return false
      start(next)
      enter()
      return true
    })
  }

  return {
    /** Tells that a tenant is here, whatever it asks for. */
    note,

    /** Runs `work` when it is the tenant's turn. Throws OVERLOADED without running it when too many wait, or too long. */
    async run<T>(tenantId: string, work: () => Promise<T>): Promise<T> {
      note(tenantId)
      // Nobody overtakes those of the same tenant that came before.
      if (!waiting.has(tenantId) && mayRun(tenantId)) start(tenantId)
      else await wait(tenantId)
      try {
        return await work()
      } finally {
        end(tenantId)
      }
    }
  }
}

const overloaded = (why: string): DomainError =>
  new DomainError(
    'OVERLOADED',
    `The tenant asks for more replays than the service can do: ${why}. Send the request again later.`
  )
