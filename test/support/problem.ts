/** Claims about answers that refuse. */
import type { Test } from 'tap'
import type { Answer } from './service.js'

/** Status and, of a problem, its code: `409 VERSION_CONFLICT`, `201`. */
export const verdict = ({ statusCode, data }: Answer): string =>
  data?.code ? `${statusCode} ${data.code}` : `${statusCode}`

/** Fails the test unless `answer` is the complete RFC 9457 problem that `expected` (`409 VERSION_CONFLICT`) names, with `facts` among its members. */
export function refused(t: Test, answer: Answer, expected: string, facts: object = {}): void {
  if (!t.equal(verdict(answer), expected)) return
  t.equal(answer.headers['content-type'], 'application/problem+json')
  t.ok(answer.headers['x-request-id'])
  const { data } = answer
  t.equal(data?.status, answer.statusCode)
  t.equal(data?.type, `urn:user-event-store:problem:${String(data?.code).toLowerCase().replaceAll('_', '-')}`)
  t.ok(data?.title && data.detail, 'the problem has a title and says what to do')
  t.match(data?.instance, /^\/[^?]*$/)
  t.hasStrict(data, facts)
}
