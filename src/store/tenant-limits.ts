/** Limits of tenants that have some of their own. */
import type { Db } from '../db/client.js'

export type TenantLimits = {
  tenantId: string
  /** requests of all keys of the tenant in a second; null: any number */
  requestsPerSecond: number | null
  /** those of each key; 0: any number, null: what the setting says */
  requestsPerSecondPerKey: number | null
  updatedAt: string
  updatedBy: string
}

const COLUMNS = '"tenantId", "requestsPerSecond", "requestsPerSecondPerKey", "updatedAt", "updatedBy"'
const NOW = "date_trunc('milliseconds', clock_timestamp())"

/** Those of all tenants that have some, at most `limit`. */
export async function selectTenantLimits(db: Db, limit: number): Promise<TenantLimits[]> {
  const rows = await db.query<TenantLimits>(
    `SELECT ${COLUMNS} FROM tenant_limits ORDER BY "tenantId" LIMIT $1::integer`,
    [limit],
    { repeatable: true }
  )
  return rows.map(limitsOf)
}

/** Undefined if the tenant has none. */
export async function selectLimitsOfTenant(db: Db, tenantId: string): Promise<TenantLimits | undefined> {
  const [row] = await db.query<TenantLimits>(
    `SELECT ${COLUMNS} FROM tenant_limits WHERE bucket = 0 AND "tenantId" = $1::uuid`,
    [tenantId],
    { repeatable: true }
  )
  return row && limitsOf(row)
}

/** Gives a tenant limits, in place of what it had; undefined, and nothing stored, when `max` others have some already. */
export async function upsertTenantLimits(
  db: Db,
  limits: Omit<TenantLimits, 'updatedAt'>,
  max: number
): Promise<TenantLimits | undefined> {
  const [row] = await db.query<TenantLimits>(
    `INSERT INTO tenant_limits ("tenantId", "requestsPerSecond", "requestsPerSecondPerKey", "updatedAt", "updatedBy")
     SELECT $1::uuid, $2::integer, $3::integer, ${NOW}, $4
     WHERE (SELECT count(*) FROM tenant_limits WHERE "tenantId" <> $1::uuid) < $5::integer
     ON CONFLICT ON CONSTRAINT tenant_limits_pkey DO UPDATE SET "requestsPerSecond" = excluded."requestsPerSecond",
       "requestsPerSecondPerKey" = excluded."requestsPerSecondPerKey", "updatedAt" = excluded."updatedAt", "updatedBy" = excluded."updatedBy"
     RETURNING ${COLUMNS}`,
    [limits.tenantId, limits.requestsPerSecond, limits.requestsPerSecondPerKey, limits.updatedBy, max],
    { repeatable: true }
  )
  return row && limitsOf(row)
}

/** Takes a tenant's limits away; does nothing if it has none. */
export async function deleteTenantLimits(db: Db, tenantId: string): Promise<void> {
  await db.query('DELETE FROM tenant_limits WHERE bucket = 0 AND "tenantId" = $1::uuid', [tenantId], {
    repeatable: true
  })
}

const limitsOf = (row: TenantLimits): TenantLimits => ({ ...row, updatedAt: new Date(row.updatedAt).toISOString() })
