/** What holds back those who follow the log, in sentences that say what to do. Pure: facts in, reasons out. */
import type { SubscriptionState } from './subscription.js'

/** Whoever follows the log, and what is known of it. */
export type FollowerFacts = {
  /** statistics, snapshots, name of the projection or subscription */
  name: string
  kind: 'statistics' | 'snapshots' | 'projection' | 'rebuild' | 'subscription'
  /** events that it has not dealt with yet */
  lagEvents: number
  /** one for each bucket that it has ever worked on */
  leases: Lease[]
  /** of a subscription */
  delivery: {
    /** null: of all tenants */
    tenantId: string | null
    /** as routes know it */
    name: string
    state: SubscriptionState
    lastError: string | null
    blockedBy: Undelivered | null
  } | null
  /** of a projection: users whose events it could not apply */
  parked: { users: number; first: BlockedUser } | null
}

/** Who may work on a bucket; `secondsLeft` is negative when nobody may any more. */
export type Lease = { bucket: number; holder: string; secondsLeft: number }

/** The user who waits longest, the version that it hangs on, and why. */
export type BlockedUser = { userId: string; version: number; error: string }

/** `attempts` to deliver it */
export type Undelivered = BlockedUser & { attempts: number }

/** A transaction that others have waited for at least WAITING_S. `transactionSeconds` is null when this role may not know. */
export type Blocking = {
  pid: number
  application: string
  state: string | null
  transactionSeconds: number | null
  /** sessions that wait for it, and how long the first has */
  waiting: number
  waitingSeconds: number
}

export const WAITING_S = 0.5

export const HOLDUPS = ['NO_LEASE', 'PAUSED', 'STOPPED', 'SINK_FAILS', 'USER_BLOCKED', 'USER_PARKED'] as const

export type Holdup = {
  code: (typeof HOLDUPS)[number]
  /** the user who is held back; null when all are */
  userId: string | null
  /** what was found and what to do */
  detail: string
}

/** Nothing is the rule. */
export function holdupsOf(facts: FollowerFacts): Holdup[] {
  const { name, lagEvents, leases, delivery, parked } = facts
  const found: Holdup[] = delivery ? holdupsOfDelivery(delivery) : []
  const isHeld = leases.some(({ secondsLeft }) => secondsLeft > 0)
  const isOff = delivery?.state === 'paused' || delivery?.state === 'stopped'
  if (lagEvents > 0 && !isHeld && !isOff)
    found.unshift({
      code: 'NO_LEASE',
      userId: null,
      detail: 'No instance works on it. Start the service, or look into its log for why it does not.'
    })
  if (parked) {
    const { userId, version, error } = parked.first
    const detail = `${parked.users} users are put aside, this one the longest, from version ${version} on: ${error}. See GET /admin/projections/${name}/parked.`
    found.push({ code: 'USER_PARKED', userId, detail })
  }
  return found
}

function holdupsOfDelivery({
  tenantId,
  name,
  state,
  lastError,
  blockedBy
}: NonNullable<FollowerFacts['delivery']>): Holdup[] {
  const at = (action: string): string =>
    `/admin/subscriptions/${name}/${action}${tenantId === null ? '?scope=global' : ''}`
  const reason = lastError ?? 'no reason was noted'
  const why = {
    new: null,
    active: null,
    paused: ['PAUSED', `Somebody paused it. POST ${at('resume')} lets it go on.`],
    stopped: ['STOPPED', `It cannot go on: ${reason}. POST ${at('resume')} once that is mended.`],
    failing: ['SINK_FAILS', `The other system does not answer: ${reason}. It is tried again by itself.`]
  } as const
  const found: Holdup[] = []
  const ofAll = why[state]
  if (ofAll) found.push({ code: ofAll[0], userId: null, detail: ofAll[1] })
  if (blockedBy) {
    const { userId, version, attempts, error } = blockedBy
    const detail = `Version ${version} could not be delivered in ${attempts} attempts, and later events of the user wait for it: ${error}. See GET ${at('outbox')}.`
    found.push({ code: 'USER_BLOCKED', userId, detail })
  }
  return found
}
