/**
 * Refusals and failures that a caller can act on. Each has a stable `code` and its facts as fields; nothing here
 * knows of HTTP (http/errors.ts maps the codes).
 */

export type DomainErrorCode =
  | 'API_KEY_INVALID'
  | 'API_KEY_NOT_FOUND'
  | 'API_KEYS_FULL'
  | 'ARCHIVE_AGE_MISSING'
  | 'ARCHIVE_OFFLINE'
  | 'ARCHIVE_RUNNING'
  | 'CLAIM_TAKEN'
  | 'CURSOR_INVALID'
  | 'CURSOR_MALFORMED'
  | 'DATABASE_UNAVAILABLE'
  | 'DUPLICATE_EVENT_ID'
  | 'EVENT_ID_REUSED'
  | 'EVENT_TOO_LARGE'
  | 'EVENT_TYPE_EXISTS'
  | 'EVENT_TYPE_NOT_FOUND'
  | 'EVENT_TYPE_RESERVED'
  | 'EVENT_TYPE_VERSION_GAP'
  | 'EVENT_TYPES_FULL'
  | 'IMPORT_INTERRUPTED'
  | 'IMPORT_LINE_INVALID'
  | 'INVALID_EFFECT'
  | 'INVALID_EVENT_DATA'
  | 'INVALID_EVENT_SCHEMA'
  | 'INVALID_UPCAST'
  | 'KEYS_UNAVAILABLE'
  | 'MALFORMED_JSON'
  | 'METADATA_RESERVED'
  | 'MOMENT_INVALID'
  | 'NO_STATE_YET'
  | 'OUTCOME_UNKNOWN'
  | 'OVERLOADED'
  | 'OWED_EVENT_NOT_FOUND'
  | 'PRECONDITION_AMBIGUOUS'
  | 'PRECONDITION_FAILED'
  | 'PRECONDITION_INVALID'
  | 'PROJECTION_BEHIND'
  | 'PROJECTION_NEWER'
  | 'PROJECTION_NOT_FOUND'
  | 'RANGE_INVALID'
  | 'RATE_LIMITED'
  | 'SCOPE_MISSING'
  | 'SHUTTING_DOWN'
  | 'SNAPSHOT_NOT_FOUND'
  | 'SUBSCRIPTION_EXISTS'
  | 'SUBSCRIPTION_INVALID'
  | 'SUBSCRIPTION_NOT_FOUND'
  | 'SUBSCRIPTIONS_FULL'
  | 'TARGET_AMBIGUOUS'
  | 'TENANT_FORBIDDEN'
  | 'TENANT_LIMITS_FULL'
  | 'TOO_MANY_STREAMS'
  | 'UNAUTHENTICATED'
  | 'UNKNOWN_EVENT_TYPE'
  | 'UNKNOWN_SCHEMA_VERSION'
  | 'UNSAFE_JSON'
  | 'USER_ALREADY_CREATED'
  | 'USER_DELETED'
  | 'USER_ID_TAKEN'
  | 'USER_NOT_CREATED'
  | 'USER_NOT_FOUND'
  | 'VERSION_CONFLICT'
  | 'VERSION_NOT_FOUND'

export class DomainError extends Error {
  override name = 'DomainError'

  /** `message` says what was found, what was expected and what to do; `facts` are shown to the client as they are. */
  constructor(
    readonly code: DomainErrorCode,
    message: string,
    readonly facts: Record<string, unknown> = {},
    options?: ErrorOptions
  ) {
    super(message, options)
  }
}

export const userNotFound = (userId: string): DomainError =>
  new DomainError('USER_NOT_FOUND', `No user ${userId} is known. Check the id, or append a UserCreated event first.`)

export const versionNotFound = (version: number, currentVersion: number): DomainError =>
  new DomainError(
    'VERSION_NOT_FOUND',
    `The user has no version ${version}; the newest is ${currentVersion}. Ask for a version from 1 to ${currentVersion}.`,
    { currentVersion }
  )
