/** What administrators asked for. */

export const AUDIT_PAGE_MAX = 1000

/** A request before its work began. */
export type AdminRequest = {
  tenantId: string
  principal: string
  /** operation of the contract */
  action: string
  /** with its query; never the body, which can hold secrets */
  path: string
  address: string
  requestId: string
}

export type AuditEntry = AdminRequest & {
  id: string
  /** of the answer; null when there was none: whether the work was done is not known */
  status: number | null
  createdAt: string
}

export type AuditFilter = {
  tenantId: string
  principal?: string | undefined
  action?: string | undefined
  /** inclusive */
  from?: string | undefined
  /** exclusive */
  to?: string | undefined
}

/** The last entry of a page. */
export type AuditMark = Pick<AuditEntry, 'createdAt' | 'id'>
