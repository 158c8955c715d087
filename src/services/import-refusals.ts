/** Why a line of an import is refused, told so that whoever sent it can mend it. */
import { DomainError } from '../domain/errors.js'
import type { BadRow } from '../store/import.js'

/** What is wrong with a line: in words, where in the line, and by the code that stands for it elsewhere. */
export type LineFault = { reason: string; pointer: string; lineCode: string }

/** Ends an import at a line; `line` counts from 1. */
export class BadLine extends Error {
  override name = 'BadLine'

  constructor(
    readonly line: number,
    readonly why: LineFault,
    /** later lines that are stored all the same, because they are in other buckets */
    readonly storedAfter = 0
  ) {
    super(why.reason)
  }
}

/** The fault of a line that could not be cut out of the stream. */
export const malformed = (reason: string): LineFault => ({ lineCode: 'MALFORMED_JSON', pointer: '', reason })

/** What reading a line threw, as the fault of that line; anything but a refusal as it is. */
export function asBadLine(err: unknown, line: number): unknown {
  if (!(err instanceof DomainError)) return err
  const { pointer } = err.facts
  return new BadLine(line, {
    lineCode: err.code,
    pointer: typeof pointer === 'string' ? pointer : '',
    reason: err.message
  })
}

/** What the database refused, as the fault of the line. */
export function refusalOf({
  reason,
  field,
  userId,
  version,
  currentVersion
}: Pick<BadRow, 'reason' | 'field' | 'currentVersion'> & { userId: string; version: number }): LineFault {
  const why = (lineCode: string, pointer: string, text: string) => ({ lineCode, pointer, reason: text })
  switch (reason) {
    case 'taken':
      // Who is another tenant's is a missing user, but for who would create it.
      if (version > 1) return refusalOf({ reason: 'gap', field, userId, version, currentVersion: 0 })
      return why('USER_ID_TAKEN', '/aggregateId', `the id ${userId} cannot be used; import the user under another id`)
    case 'gap':
      return why(
        'VERSION_CONFLICT',
        '/version',
        `user ${userId} is at version ${currentVersion}, so version ${currentVersion + 1} must come next; found ${version}`
      )
    case 'differs':
      return why(
        'VERSION_CONFLICT',
        '/version',
        `version ${version} of user ${userId} is stored with another id or other content; the user is at version ${currentVersion}`
      )
    case 'reused':
      return why(
        'EVENT_ID_REUSED',
        '/id',
        `the id is stored for user ${userId} already, at another version; give every event its own`
      )
    case 'deleted':
      return why('USER_DELETED', '/eventType', `user ${userId} is deleted; nothing may follow the deletion`)
    case 'earlier':
      return why(
        'INVALID_EVENT_DATA',
        '/createdAt',
        `it lies before version ${version - 1} of user ${userId}; the times of a user never decrease`
      )
    case 'claimed':
      return why(
        'CLAIM_TAKEN',
        `/eventData/${field}`,
        `the ${field} belongs to another user at this point of the history, and must be unique in the tenant`
      )
    case 'future':
      return why('INVALID_EVENT_DATA', '/createdAt', 'it lies in the future; expected the time when it was recorded')
  }
}
