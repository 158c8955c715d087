/** What administrators asked for, and the cursors of the pages that show it. */
import { DomainError } from './errors.js'
import { parseInstant } from './formats.js'

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

export const encodeAuditCursor = ({ createdAt, id }: AuditMark): string =>
  Buffer.from(`1.${id}.${createdAt}`).toString('base64url')

/** Throws CURSOR_MALFORMED. */
export function decodeAuditCursor(cursor: string): AuditMark {
  const [, id = '', createdAt = ''] =
    /^1\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(.+)$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  if (parseInstant(createdAt) === createdAt) return { id, createdAt }
  throw new DomainError(
    'CURSOR_MALFORMED',
    'The cursor is not one that the audit gave. Send `next` of the page before, unchanged.'
  )
}
