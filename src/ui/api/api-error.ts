/** What went wrong between a page and the API, in the words that are shown: one type for all of it. */

export class ApiError extends Error {
  override name = 'ApiError'
  /** HTTP status; 0 when there was no answer */
  readonly status: number
  /** of the API, or UNREACHABLE and UNREADABLE */
  readonly code: string
  readonly title: string
  /** what was found, what was expected, what to do */
  readonly detail: string
  /** by which the log of the service knows the request */
  readonly requestId: string | null
  /** further members of the problem */
  readonly facts: Readonly<Record<string, unknown>>

  constructor(problem: {
    status: number
    code: string
    title: string
    detail: string
    requestId?: string | null
    facts?: Record<string, unknown>
  }) {
    super(problem.detail)
    this.status = problem.status
    this.code = problem.code
    this.title = problem.title
    this.detail = problem.detail
    this.requestId = problem.requestId ?? null
    this.facts = problem.facts ?? {}
  }
}

/** Of an answer that is no success; `body` is what was read of it. */
export function problemOf(response: Response, body: unknown): ApiError {
  const requestId = response.headers.get('x-request-id')
  if (!isProblem(body)) return unreadable(response.status, requestId)
  const { code, title, detail, status, type: _type, instance: _instance, ...facts } = body
  return new ApiError({ code, title, detail, status, requestId, facts })
}

/** Something between here and the service answered, or an older or newer service. */
export const unreadable = (status: number, requestId: string | null): ApiError =>
  new ApiError({
    status,
    code: 'UNREADABLE',
    title: 'The answer cannot be read',
    detail: `The service answered ${status}, but not as this page expects. Reload the page; if that does not help, see whether a proxy answers in the place of the service.`,
    requestId
  })

export const unreachable = (): ApiError =>
  new ApiError({
    status: 0,
    code: 'UNREACHABLE',
    title: 'The service does not answer',
    detail: `Nothing came back from ${location.origin}. See whether the service runs and your network reaches it, then try again.`
  })

/** What the one who looks can do, on top of what the detail says; null if nothing more. */
export function adviceOf({ code, status }: ApiError): string | null {
  switch (code) {
    case 'UNAUTHENTICATED':
      return 'Sign in with a key that is in force.'
    case 'SCOPE_MISSING':
      return 'Sign out, and in with another key, or have this one replaced by one with the scope.'
    case 'USER_NOT_FOUND':
      return 'Check the id, and whether you act for the right tenant.'
    case 'PROJECTION_BEHIND':
      return 'The directory follows the log within moments. If it stays like this, see the projections at GET /admin/projections.'
    case 'ARCHIVE_OFFLINE':
      return 'Bring the partition back with user-events archive restore.'
    case 'INTERNAL_ERROR':
      return 'Give the request id to who runs the service: the log has the rest.'
    default:
      return status === 503 || status === 429 ? 'Wait a moment and try again.' : null
  }
}

type Problem = { code: string; title: string; detail: string; status: number; type?: string; instance?: string }

function isProblem(body: unknown): body is Problem {
  if (typeof body !== 'object' || body === null) return false
  const { code, title, detail, status } = body as Record<string, unknown>
  return [code, title, detail].every((each) => typeof each === 'string') && typeof status === 'number'
}
