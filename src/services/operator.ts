/** An operator at the command line: whoever may read the database needs no key. */
import { ANYBODY, type Principal, unauthenticated } from '../domain/access.js'
import type { AccessService } from './access.js'
import type { AuditService } from './audit.js'

export type Operator = {
  /** known to the process alone; who has it may do everything */
  token: string
  /** stands in the audit, as in `user-events key create` */
  command: string
}

const OPERATOR: Principal = { ...ANYBODY, name: 'user-events' }

/** Lets the operator in and nobody else, whatever the settings and the keys say. */
export const admitOperator = (access: AccessService, { token }: Operator): AccessService => ({
  ...access,
  authenticate(authorization) {
    if (authorization === `Bearer ${token}`) return OPERATOR
    throw unauthenticated()
  }
})

/** Notes the command that was given, not the requests that it makes. */
export const noteCommand = (audit: AuditService, { command }: Operator): AuditService => ({
  ...audit,
  note: (request) => audit.note({ ...request, path: command, address: 'local', requestId: '' })
})
