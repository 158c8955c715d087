/** What an operator wants to know when something does not go on: who follows the log, how far, and what holds it back. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Db } from '../db/client.js'
import { toDbError } from '../db/pg-error.js'
import { type Blocking, type FollowerFacts, type Holdup, holdupsOf, type Lease, WAITING_S } from '../domain/holdup.js'
import { labelOfSubscription } from '../domain/subscription.js'
import { selectBlocking, selectFirstOwed, selectFirstParked } from '../store/status.js'
import { relayWorker, selectSubscriptionNumbers, selectSubscriptions } from '../store/subscriptions.js'
import { selectWorkers, type WorkerPlace } from '../store/workers.js'

export type Follower = Pick<FollowerFacts, 'name' | 'kind' | 'lagEvents'> & {
  leases: (Lease & { here: boolean })[]
  holdups: Holdup[]
}

export type Status = {
  /** what leases call the instance that answers */
  instance: string
  /** null when they could not be read; `unread` says why */
  followers: Follower[] | null
  unread: string | null
  blocking: Blocking[]
}

export type StatusService = ReturnType<typeof createStatusService>

/** `instance` names this process in leases. */
export function createStatusService({ db, instance }: { db: Db; instance: string }) {
  async function readFollowers(): Promise<Follower[]> {
    const [workers, subscriptions, numbers, owed, parked] = await Promise.all([
      selectWorkers(db),
      selectSubscriptions(db),
      selectSubscriptionNumbers(db),
      selectFirstOwed(db),
      selectFirstParked(db)
    ])
    const ofLog = [...new Set(workers.map(({ name }) => name))].flatMap((name) => {
      const follower = followerOfLog(
        name,
        workers.filter((each) => each.name === name)
      )
      return follower ? { ...follower, delivery: null, parked: parked.get(name) ?? null } : []
    })
    const ofOthers = subscriptions.map((subscription): FollowerFacts => {
      const { id, tenantId, name, state, lastError } = subscription
      return {
        name: labelOfSubscription(subscription),
        kind: 'subscription',
        lagEvents: numbers.find((each) => each.id === id)?.lagEvents ?? 0,
        leases: workers.flatMap((worker) => (worker.name === relayWorker(id) ? worker.lease : [])),
        delivery: { tenantId, name, state, lastError, blockedBy: owed.get(id) ?? null },
        parked: null
      }
    })
    return [...ofLog, ...ofOthers].map((facts) => ({
      name: facts.name,
      kind: facts.kind,
      lagEvents: facts.lagEvents,
      leases: facts.leases.map((lease) => ({ ...lease, here: lease.holder === instance })),
      holdups: holdupsOf(facts)
    }))
  }

  return {
    /** Everything that follows the log, and what others wait for. Also answers while somebody has locked the tables. */
    async read(): Promise<Status> {
      const reading = readFollowers().then(
        (followers) => ({ followers, unread: null }),
        (err) => ({ followers: null, unread: `They cannot be read (${toDbError(err).sqlState}).` })
      )
      // If the reading waits for somebody, that is who is looked for; it gives up soon after.
      await Promise.race([reading, pause(2 * WAITING_S * 1000, null, { ref: false })])
      const blocking = await selectBlocking(db)
      return { instance, ...(await reading), blocking }
    }
  }
}

/** Null for work that does not follow the log. */
function followerOfLog(name: string, places: WorkerPlace[]): Omit<FollowerFacts, 'delivery' | 'parked'> | null {
  const [, projection, rebuild] = /^projection\/([^/]+)(\/rebuild)?$/.exec(name) ?? []
  const kind = projection ? (rebuild ? 'rebuild' : 'projection') : name
  if (kind !== 'projection' && kind !== 'rebuild' && kind !== 'statistics' && kind !== 'snapshots') return null
  const lagEvents = places.reduce((sum, place) => sum + place.lagEvents, 0)
  return { name: projection ?? name, kind, lagEvents, leases: places.map(({ lease }) => lease) }
}
