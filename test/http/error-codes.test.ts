/** Every code of the error table is proven somewhere: which file provokes it, kept complete and true. */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { type ErrorCode, errorTable } from '../../src/http/errors.js'

const provenIn: Record<ErrorCode, string> = {
  API_KEY_INVALID: 'api-keys',
  API_KEY_NOT_FOUND: 'api-keys',
  API_KEYS_FULL: 'api-keys',
  ARCHIVE_AGE_MISSING: 'archive',
  ARCHIVE_OFFLINE: 'archive-offline',
  ARCHIVE_RUNNING: 'archive',
  BODY_TOO_LARGE: 'sizes',
  CLAIM_TAKEN: 'claims',
  CURSOR_INVALID: 'feed',
  CURSOR_MALFORMED: 'read-events',
  DATABASE_UNAVAILABLE: 'failures',
  DEADLINE_EXCEEDED: 'failures',
  DUPLICATE_EVENT_ID: 'event-ids',
  EVENT_ID_REUSED: 'event-ids',
  EVENT_TOO_LARGE: 'sizes',
  EVENT_TYPE_EXISTS: 'registered-types',
  EVENT_TYPE_NOT_FOUND: 'registered-types',
  EVENT_TYPE_RESERVED: 'registered-types',
  EVENT_TYPE_VERSION_GAP: 'registered-types',
  EVENT_TYPES_FULL: 'registered-types',
  HEADERS_TOO_LARGE: 'sockets',
  IMPORT_INTERRUPTED: 'import-sockets',
  IMPORT_LINE_INVALID: 'import',
  INTERNAL_ERROR: 'failures',
  INVALID_EFFECT: 'registered-types',
  INVALID_EVENT_DATA: 'event-types',
  INVALID_EVENT_SCHEMA: 'registered-types',
  INVALID_UPCAST: 'registered-types',
  KEYS_UNAVAILABLE: 'auth',
  MALFORMED_JSON: 'json-hazards',
  MALFORMED_REQUEST: 'shell',
  METADATA_RESERVED: 'author',
  METHOD_NOT_ALLOWED: 'shell',
  MOMENT_INVALID: 'read-events',
  NO_STATE_YET: 'state',
  OUTCOME_UNKNOWN: 'failures',
  OVERLOADED: 'failures',
  OWED_EVENT_NOT_FOUND: 'subscriptions',
  PRECONDITION_AMBIGUOUS: 'expected-version',
  PRECONDITION_FAILED: 'expected-version',
  PRECONDITION_INVALID: 'expected-version',
  PROJECTION_BEHIND: 'reflection',
  PROJECTION_NEWER: 'projections',
  PROJECTION_NOT_FOUND: 'projections',
  RANGE_INVALID: 'activity',
  RATE_LIMITED: 'rate-limit',
  REQUEST_TIMEOUT: 'sockets',
  ROUTE_NOT_FOUND: 'shell',
  SCOPE_MISSING: 'auth',
  SHUTTING_DOWN: 'sockets',
  SNAPSHOT_NOT_FOUND: 'snapshots',
  SUBSCRIPTION_EXISTS: 'subscriptions',
  SUBSCRIPTION_INVALID: 'subscriptions',
  SUBSCRIPTION_NOT_FOUND: 'subscriptions',
  SUBSCRIPTIONS_FULL: 'subscriptions',
  TARGET_AMBIGUOUS: 'state',
  TENANT_LIMITS_FULL: 'tenant-limits',
  TENANT_FORBIDDEN: 'auth',
  TOO_MANY_STREAMS: 'feed-stream',
  UNAUTHENTICATED: 'auth',
  UNKNOWN_EVENT_TYPE: 'life-cycle',
  UNKNOWN_SCHEMA_VERSION: 'life-cycle',
  UNSAFE_JSON: 'json-hazards',
  UNSUPPORTED_MEDIA_TYPE: 'shell',
  USER_ALREADY_CREATED: 'life-cycle',
  USER_DELETED: 'life-cycle',
  USER_ID_TAKEN: 'tenants',
  USER_NOT_CREATED: 'life-cycle',
  USER_NOT_FOUND: 'tenants',
  VALIDATION_FAILED: 'append',
  VERSION_CONFLICT: 'expected-version',
  VERSION_NOT_FOUND: 'state'
}

t.test('the list has every code of the table and no other', async (t) => {
  t.strictSame(Object.keys(provenIn).sort(), Object.keys(errorTable).sort())
})

t.test('each code is expected, with its status, by the file that the list names', async (t) => {
  for (const [code, file] of Object.entries(provenIn) as [ErrorCode, string][]) {
    const text = await readFile(new URL(`${file}.test.ts`, import.meta.url), 'utf8')
    const { status } = errorTable[code]
    // As a verdict (`409 VERSION_CONFLICT`), or as the arguments of a claim (`431, 'HEADERS_TOO_LARGE'`, `status: 400, code: …`).
    const claim = new RegExp(`${status} ${code}'|${status},\\s+(?:code: )?'${code}'`)
    t.match(text, claim, `${code} in ${file}.test.ts`)
  }
})
