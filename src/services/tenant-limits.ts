/**
 * How many requests tenants may send. Limits of tenants are held in memory, since every request asks for them, and read again
 * when somebody asks and they are older than REFRESH_MS; what was changed on another instance holds here within TRUSTED_MS.
 * While the database cannot be asked, the limits known before hold.
 */
import type { Db } from '../db/client.js'
import { DomainError } from '../domain/errors.js'
import {
  deleteTenantLimits,
  selectLimitsOfTenant,
  selectTenantLimits,
  type TenantLimits,
  upsertTenantLimits
} from '../store/tenant-limits.js'

/** Tenants with limits of their own: all instances hold them in memory. */
export const LIMITED_TENANTS_MAX = 10_000

const REFRESH_MS = 2000
const TRUSTED_MS = 4000

/** Requests in a second; 0: any number. */
export type RateLimits = { perKey: number; perTenant: number }

export type ShownLimits = Omit<TenantLimits, 'updatedAt' | 'updatedBy'> & {
  updatedAt: string | null
  updatedBy: string | null
}

export type TenantLimitsService = ReturnType<typeof createTenantLimitsService>

/** `perKey` is for keys of tenants that have no such limit of their own. */
export function createTenantLimitsService({
  db,
  perKey,
  onError,
  tenantsMax = LIMITED_TENANTS_MAX
}: {
  db: Db
  perKey: number
  /** told why limits could not be read */
  onError: (err: unknown) => void
  tenantsMax?: number
}) {
  const ofOthers: RateLimits = { perKey, perTenant: 0 }
  let known = new Map<string, RateLimits>()
  /** performance.now() before the query that `known` came from */
  let readAt = Number.NEGATIVE_INFINITY
  let reading: Promise<void> | null = null

  const ratesOf = ({ requestsPerSecond, requestsPerSecondPerKey }: TenantLimits): RateLimits => ({
    perKey: requestsPerSecondPerKey ?? perKey,
    perTenant: requestsPerSecond ?? 0
  })

  async function read(): Promise<void> {
    const startedAt = performance.now()
    try {
      const found = await selectTenantLimits(db, tenantsMax)
      known = new Map(found.map((limits) => [limits.tenantId, ratesOf(limits)]))
      readAt = startedAt
    } catch (err) {
      // Asked again a while later: what is known will do until then.
      readAt = performance.now()
      onError(err)
    }
  }

  function refresh(): Promise<void> {
    reading ??= read().finally(() => {
      reading = null
    })
    return reading
  }

  /** Changes what is in memory as the database was changed, whatever reading began before that and ends after it. */
  async function amend(change: () => void): Promise<void> {
    await reading
    change()
  }

  const now = (tenantId: string): RateLimits => known.get(tenantId) ?? ofOthers

  return {
    /** What a tenant may send; at once when what is known is young, as it mostly is. */
    ratesOf(tenantId: string): RateLimits | Promise<RateLimits> {
      const age = performance.now() - readAt
      if (age > TRUSTED_MS) return refresh().then(() => now(tenantId))
      if (age > REFRESH_MS) void refresh()
      return now(tenantId)
    },

    /** The limits of a tenant; null where it has none of its own. */
    async show(tenantId: string): Promise<ShownLimits> {
      return (await selectLimitsOfTenant(db, tenantId)) ?? none(tenantId)
    },

    /** Gives a tenant limits in place of those it had; here at once, elsewhere within 5 seconds. Throws TENANT_LIMITS_FULL. */
    async put(limits: Omit<TenantLimits, 'updatedAt'>): Promise<ShownLimits> {
      const stored = await upsertTenantLimits(db, limits, tenantsMax)
      if (!stored) throw full(tenantsMax)
      await amend(() => known.set(stored.tenantId, ratesOf(stored)))
      return stored
    },

    /** Takes the limits of a tenant away; repeating it changes nothing. */
    async remove(tenantId: string): Promise<ShownLimits> {
      await deleteTenantLimits(db, tenantId)
      await amend(() => known.delete(tenantId))
      return none(tenantId)
    }
  }
}

const none = (tenantId: string): ShownLimits => ({
  tenantId,
  requestsPerSecond: null,
  requestsPerSecondPerKey: null,
  updatedAt: null,
  updatedBy: null
})

const full = (max: number): DomainError =>
  new DomainError(
    'TENANT_LIMITS_FULL',
    `${max} tenants have limits of their own, and there may be no more. Take those of some away first.`
  )
