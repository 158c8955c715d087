/** The audit of administrators, in the order of time. */
import type { Db, Param } from '../db/client.js'
import type { AdminRequest, AuditEntry, AuditFilter, AuditMark } from '../domain/audit.js'

/** Notes a request before its work begins; repeating it changes nothing. */
export async function insertAudit(db: Db, id: string, request: AdminRequest): Promise<void> {
  const { tenantId, principal, action, path, address, requestId } = request
  await db.query(
    `INSERT INTO admin_audit (id, "tenantId", principal, action, path, address, "requestId", "createdAt")
     VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, $7, date_trunc('milliseconds', clock_timestamp())) ON CONFLICT DO NOTHING`,
    [id, tenantId, principal, action, path, address, requestId],
    { repeatable: true }
  )
}

/** Notes how the request was answered. */
export async function updateAuditStatus(db: Db, id: string, status: number): Promise<void> {
  await db.query('UPDATE admin_audit SET status = $2::smallint WHERE bucket = 0 AND id = $1::uuid', [id, status], {
    repeatable: true
  })
}

/** The next `limit` entries of a tenant after `after`, the newest first. */
export async function selectAudit(
  db: Db,
  { tenantId, principal, action, from, to }: AuditFilter,
  { after, limit }: { after: AuditMark | undefined; limit: number }
): Promise<AuditEntry[]> {
  const values: Param[] = [tenantId]
  const conditions = ['"tenantId" = $1::uuid']
  const add = (value: Param | undefined, condition: (bound: string) => string) => {
    if (value !== undefined) conditions.push(condition(`$${values.push(value)}`))
  }
  add(principal, (bound) => `principal = ${bound}`)
  add(action, (bound) => `action = ${bound}`)
  add(from, (bound) => `"createdAt" >= ${bound}::timestamptz`)
  add(to, (bound) => `"createdAt" < ${bound}::timestamptz`)
  if (after) {
    const [createdAt, id] = [values.push(after.createdAt), values.push(after.id)]
    conditions.push(`("createdAt", id) < ($${createdAt}::timestamptz, $${id}::uuid)`)
  }
  const rows = await db.as(tenantId).query<AuditEntry>(
    `SELECT id, "tenantId", principal, action, path, address, "requestId", status, "createdAt" FROM audit_of_tenants()
     WHERE ${conditions.join(' AND ')} ORDER BY "createdAt" DESC, id DESC LIMIT $${values.push(limit)}::integer`,
    values,
    { repeatable: true }
  )
  return rows.map((row) => ({ ...row, createdAt: new Date(row.createdAt).toISOString() }))
}

/** Deletes up to `limit` entries from before a moment; returns how many there were. */
export async function deleteAudit(db: Db, before: string, limit: number): Promise<number> {
  const rows = await db.query(
    `DELETE FROM admin_audit WHERE bucket = 0 AND id IN (
       SELECT a.id FROM admin_audit a WHERE a."createdAt" < $1::timestamptz ORDER BY a."createdAt" LIMIT $2::integer) RETURNING id`,
    [before, limit],
    { repeatable: true }
  )
  return rows.length
}
