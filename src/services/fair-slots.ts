/**
 * A bounded number of pieces of work at once, for which tenants take turns: who waits with much does not hold up who comes
 * with little. One that is here alone has all slots; as soon as another asks for anything, however little, each has its
 * share and no more, since what runs already takes the processor from those who come.
 */
import { DomainError } from '../domain/errors.js'
import { createTurns } from '../domain/turns.js'

export type FairSlotsOptions = {
  /** what they are for, in the plural */
  what: string
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

type Waiting = { tenantId: string; weight: number; enter: () => void }

export type FairSlots = ReturnType<typeof createFairSlots>

export function createFairSlots({ what, slots, share, waitingMax, waitMs }: FairSlotsOptions) {
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

  function count(map: Map<string, number>, tenantId: string, step: number): void {
    const now = (map.get(tenantId) ?? 0) + step
    if (now > 0) map.set(tenantId, now)
    else map.delete(tenantId)
  }

  function mayRun(tenantId: string): boolean {
    const own = running.get(tenantId) ?? 0
    return free > 0 && (own < share || isAlone(tenantId))
  }

  function start(tenantId: string, weight: number): void {
    free -= weight
    count(running, tenantId, weight)
  }

  function wait(tenantId: string, weight: number): Promise<void> {
    if ((waiting.get(tenantId) ?? 0) >= waitingMax) throw overloaded(what, `${waitingMax} of them are waiting already`)
    count(waiting, tenantId, 1)
    return new Promise((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer)
        count(waiting, tenantId, -1)
        resolve()
      }
      const entry = { tenantId, weight, enter }
      const timer = setTimeout(() => {
        turns.dropLast(tenantId, (other) => other === entry)
        count(waiting, tenantId, -1)
        reject(overloaded(what, `a turn did not come within ${waitMs} ms`))
      }, waitMs)
      turns.add(tenantId, entry)
    })
  }

  /** Begins what waits and may run now. */
  function admit(): void {
    if (turns.isEmpty()) return
    turns.offer(({ tenantId, weight, enter }) => {
      if (!mayRun(tenantId)) return false
      start(tenantId, weight)
      enter()
      return true
    })
  }

  /**
   * Begins a piece of work: at once, or when the promise resolves. One of more weight takes as many slots, but begins like any other
   * as soon as one is free: it would never, while there is always something smaller to begin. Throws OVERLOADED when too many
   * wait, or too long.
   */
  function enter(tenantId: string, weight = 1): Promise<void> | undefined {
    note(tenantId)
    // The others may be gone since these began to wait.
    if (waiting.has(tenantId) && isAlone(tenantId)) admit()
    // Nobody overtakes those of the same tenant that came before.
    if (waiting.has(tenantId) || !mayRun(tenantId)) return wait(tenantId, weight)
    start(tenantId, weight)
  }

  /** Ends a piece of work that has begun. */
  function leave(tenantId: string, weight = 1): void {
    free += weight
    count(running, tenantId, -weight)
    admit()
  }

  return {
    /** Tells that a tenant is here, whatever it asks for. */
    note,
    enter,
    leave,

    /** Runs `work` when it is the tenant's turn. Throws OVERLOADED without running it when too many wait, or too long. */
    async run<T>(tenantId: string, work: () => Promise<T>): Promise<T> {
      await enter(tenantId)
      try {
        return await work()
      } finally {
        leave(tenantId)
      }
    }
  }
}

const overloaded = (what: string, why: string): DomainError =>
  new DomainError(
    'OVERLOADED',
    `The tenant asks for more ${what} than the service can do: ${why}. Send the request again later.`
  )
