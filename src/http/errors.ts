/**
 * The one table of error codes, and how any error becomes an RFC 9457 problem. Nothing of a request's payload, of SQL or
 * of its parameters ever stands in a problem or in the log.
 */
import type { FastifyBaseLogger, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { findDbError } from '../db/pg-error.js'
import { DomainError, type DomainErrorCode } from '../domain/errors.js'

type HttpErrorCode =
  | 'BODY_TOO_LARGE'
  | 'DEADLINE_EXCEEDED'
  | 'HEADERS_TOO_LARGE'
  | 'INTERNAL_ERROR'
  | 'MALFORMED_REQUEST'
  | 'METHOD_NOT_ALLOWED'
  | 'REQUEST_TIMEOUT'
  | 'ROUTE_NOT_FOUND'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'VALIDATION_FAILED'

export type ErrorCode = DomainErrorCode | HttpErrorCode

/** Every code with its status and title. A test keeps it in step with the OpenAPI document. */
export const errorTable: Record<ErrorCode, { status: number; title: string }> = {
  CURSOR_MALFORMED: { status: 400, title: 'The cursor is not one that this route gave' },
  MALFORMED_JSON: { status: 400, title: 'The body is not valid JSON' },
  MALFORMED_REQUEST: { status: 400, title: 'The request is not valid HTTP' },
  MOMENT_INVALID: { status: 400, title: 'A date-time does not exist' },
  PRECONDITION_AMBIGUOUS: { status: 400, title: 'Body and headers expect different versions' },
  PRECONDITION_INVALID: { status: 400, title: 'A precondition header cannot be understood' },
  RANGE_INVALID: { status: 400, title: 'A span of time is empty or too long' },
  TARGET_AMBIGUOUS: { status: 400, title: 'A version and a moment are asked for at once' },
  VALIDATION_FAILED: { status: 400, title: 'The request does not fit the contract' },
  UNAUTHENTICATED: { status: 401, title: 'The request does not say who sends it, or not credibly' },
  SCOPE_MISSING: { status: 403, title: 'The credentials do not allow this' },
  TENANT_FORBIDDEN: { status: 403, title: 'The credentials are for another tenant' },
  NO_STATE_YET: { status: 404, title: 'The user had no events yet' },
  API_KEY_NOT_FOUND: { status: 404, title: 'There is no such API key' },
  EVENT_TYPE_NOT_FOUND: { status: 404, title: 'There is no such event type' },
  OWED_EVENT_NOT_FOUND: { status: 404, title: 'The subscription does not owe this event' },
  PROJECTION_NOT_FOUND: { status: 404, title: 'There is no such projection' },
  ROUTE_NOT_FOUND: { status: 404, title: 'There is no such route' },
  SNAPSHOT_NOT_FOUND: { status: 404, title: 'There is no such snapshot' },
  SUBSCRIPTION_NOT_FOUND: { status: 404, title: 'There is no such subscription' },
  USER_NOT_FOUND: { status: 404, title: 'There is no such user' },
  VERSION_NOT_FOUND: { status: 404, title: 'The user has not come to this version' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The route does not know this method' },
  IMPORT_INTERRUPTED: { status: 408, title: 'The body of an import broke off' },
  REQUEST_TIMEOUT: { status: 408, title: 'The request did not arrive in time' },
  API_KEYS_FULL: { status: 409, title: 'There is no room for more API keys' },
  ARCHIVE_RUNNING: { status: 409, title: 'The archive is at work already' },
  CLAIM_TAKEN: { status: 409, title: 'A value that must be unique belongs to another user' },
  EVENT_ID_REUSED: { status: 409, title: 'An event id is stored already with other content' },
  EVENT_TYPE_EXISTS: { status: 409, title: 'The version of the event type is registered with other content' },
  EVENT_TYPE_RESERVED: { status: 409, title: 'The name of the event type is taken' },
  EVENT_TYPE_VERSION_GAP: { status: 409, title: 'Versions of an event type follow each other' },
  EVENT_TYPES_FULL: { status: 409, title: 'There is no room for more event types' },
  PROJECTION_NEWER: { status: 409, title: 'The projection is of a newer version' },
  SUBSCRIPTION_EXISTS: { status: 409, title: 'There is a subscription of this name' },
  SUBSCRIPTIONS_FULL: { status: 409, title: 'There is no room for more subscriptions' },
  TENANT_LIMITS_FULL: { status: 409, title: 'There is no room for more tenants with limits of their own' },
  USER_ID_TAKEN: { status: 409, title: 'The user id cannot be used' },
  VERSION_CONFLICT: { status: 409, title: 'The user is at another version' },
  CURSOR_INVALID: { status: 410, title: 'The cursor does not fit the log' },
  PRECONDITION_FAILED: { status: 412, title: 'The user is not at the version that a header asks for' },
  BODY_TOO_LARGE: { status: 413, title: 'The body is too large' },
  EVENT_TOO_LARGE: { status: 413, title: 'An event is too large' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The body has a media type that the route does not take' },
  API_KEY_INVALID: { status: 422, title: 'The API key cannot be what is asked for' },
  ARCHIVE_AGE_MISSING: { status: 422, title: 'It is not said how old events must be' },
  DUPLICATE_EVENT_ID: { status: 422, title: 'An event id stands twice in the request' },
  IMPORT_LINE_INVALID: { status: 422, title: 'A line of an import is not valid' },
  INVALID_EVENT_DATA: { status: 422, title: 'The data of an event is not valid' },
  INVALID_EFFECT: { status: 422, title: 'The effect of an event type is not valid' },
  INVALID_EVENT_SCHEMA: { status: 422, title: 'The schema of an event type is not valid' },
  INVALID_UPCAST: { status: 422, title: 'The upcast of an event type is not valid' },
  METADATA_RESERVED: { status: 422, title: 'Metadata have a member that only the service writes' },
  SUBSCRIPTION_INVALID: { status: 422, title: 'The subscription cannot be what is asked for' },
  UNKNOWN_EVENT_TYPE: { status: 422, title: 'The event type is not known' },
  UNKNOWN_SCHEMA_VERSION: { status: 422, title: 'The event type has no such schema version' },
  UNSAFE_JSON: { status: 422, title: 'The JSON could not be kept unchanged' },
  USER_ALREADY_CREATED: { status: 422, title: 'The user exists already' },
  USER_DELETED: { status: 422, title: 'The user is deleted' },
  USER_NOT_CREATED: { status: 422, title: 'The user does not exist' },
  RATE_LIMITED: { status: 429, title: 'The client sends too many requests' },
  TOO_MANY_STREAMS: { status: 429, title: 'The client has too many streams open' },
  HEADERS_TOO_LARGE: { status: 431, title: 'The headers are too large' },
  INTERNAL_ERROR: { status: 500, title: 'The service failed' },
  ARCHIVE_OFFLINE: { status: 503, title: 'Events of the archive are offline' },
  DATABASE_UNAVAILABLE: { status: 503, title: 'The database cannot be reached' },
  DEADLINE_EXCEEDED: { status: 503, title: 'The request took too long' },
  KEYS_UNAVAILABLE: { status: 503, title: 'Credentials cannot be checked now' },
  OUTCOME_UNKNOWN: { status: 503, title: 'Whether the events were stored is not known' },
  OVERLOADED: { status: 503, title: 'The service has more work than it can do' },
  PROJECTION_BEHIND: { status: 503, title: 'The read model does not hold what is asked for yet' },
  SHUTTING_DOWN: { status: 503, title: 'The service is shutting down' }
}

const RETRY_AFTER_S = 1

/** What an error looks like to the client. */
export type Failure = { code: ErrorCode; detail: string; facts?: Record<string, unknown> }

export type Problem = {
  type: string
  title: string
  status: number
  detail: string
  instance: string
  code: ErrorCode
}

export function problemOf({ code, detail, facts }: Failure, instance: string): Problem {
  const { status, title } = errorTable[code]
  return { type: typeOf(code), title, status, detail, instance, code, ...facts }
}

/** The `type` URI of a code. */
export const typeOf = (code: ErrorCode): string =>
  `urn:user-event-store:problem:${code.toLowerCase().replaceAll('_', '-')}`

/** Fastify's error handler: answers with a problem, and logs what is our fault. */
export function handleError(err: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): void {
  const failure = failureOf(err)
  if (errorTable[failure.code].status >= 500) logFailure(request.log, err, failure)
  sendProblem(reply, failure, request.url)
}

export function sendProblem(reply: FastifyReply, failure: Failure, url: string): void {
  const problem = problemOf(failure, url.split('?', 1)[0]!)
  reply.code(problem.status)
  if (problem.status === 503 || problem.status === 429) reply.header('retry-after', RETRY_AFTER_S)
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer realm="user-event-store"')
  if (problem.status === 408) reply.header('connection', 'close')
  reply.type('application/problem+json').serializer(JSON.stringify).send(problem)
}

/** Codes and stack, never the message of a database error: it can hold values of a row. */
export function logFailure(log: FastifyBaseLogger, err: Error, { code }: Failure): void {
  const dbError = findDbError(err)
  const cause = dbError ? { sqlState: dbError.sqlState, constraint: dbError.constraint } : { err }
  if (code === 'INTERNAL_ERROR') log.error({ code, ...cause }, 'request failed')
  else log.warn({ code, ...cause }, 'request refused')
}

function failureOf(err: FastifyError | Error): Failure {
  if (err instanceof DomainError) return { code: err.code, detail: err.message, facts: err.facts }
  return (
    fromDatabase(err) ??
    fromFastify(err as FastifyError) ?? {
      code: 'INTERNAL_ERROR',
      detail:
        'Something failed that should not. The log of the service has the details under the x-request-id of this answer.'
    }
  )
}

function fromDatabase(err: Error): Failure | null {
  const dbError = findDbError(err)
  if (!dbError || dbError.outcome === 'definite') return null
  if (dbError.sqlState === 'POOL_BUSY')
    return { code: 'OVERLOADED', detail: 'All connections to the database are busy. Send the request again later.' }
  return { code: 'DATABASE_UNAVAILABLE', detail: 'The database did not answer. Send the request again later.' }
}

/** A request that came too slowly. What comes of it later must not be taken for another request: the connection closes. */
export const requestTimeout: Failure = {
  code: 'REQUEST_TIMEOUT',
  detail: 'The request did not arrive in time. Send it faster or in smaller parts.'
}

type Issue = { pointer: string; reason: string }

function fromFastify(err: FastifyError): Failure | null {
  if (err.validation) {
    const part = err.validationContext ?? 'body'
    const issues = err.validation.map((issue): Issue => {
      const name = String(issue.params.missingProperty ?? issue.params.additionalProperty ?? '')
      // The library speaks of the schema here, which the client does not see.
      const { tag, tagValue } = issue.params as { tag?: string; tagValue?: unknown }
      if (tag)
        return {
          pointer: `${issue.instancePath}/${tag}`,
          reason: `found ${JSON.stringify(tagValue) ?? 'nothing'}, expected a ${tag} that the contract names`
        }
      return { pointer: `${issue.instancePath}${name && `/${name}`}`, reason: issue.message ?? 'not valid' }
    })
    const [first = { pointer: '', reason: 'not valid' }] = issues
    return {
      code: 'VALIDATION_FAILED',
      detail: `The ${part} is not valid at ${first.pointer || 'the top'}: ${first.reason}.`,
      facts: { in: part, pointer: first.pointer, errors: issues.slice(0, 20) }
    }
  }
  switch (err.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return {
        code: 'BODY_TOO_LARGE',
        detail: 'The body is larger than BODY_BYTES_MAX. Send fewer events in a request.'
      }
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return {
        code: 'UNSUPPORTED_MEDIA_TYPE',
        detail:
          'Send JSON in UTF-8, as it is, with content-type: application/json, and to /events/import lines of it with content-type: application/x-ndjson.'
      }
    default:
      return err.statusCode !== undefined && err.statusCode >= 400 && err.statusCode < 500
        ? { code: 'MALFORMED_REQUEST', detail: err.message }
        : null
  }
}
