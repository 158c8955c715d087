/** What a writer expects the stream to be: how it is said in the body and in headers. The rule itself is applied where it holds, in append_events. */
import { DomainError } from './errors.js'

/** A version the caller last saw, or no expectation, or no events yet, or some events. */
export type ExpectedVersion = number | 'any' | 'none' | 'exists'

export type Expectation = {
  version: ExpectedVersion /** a header asked: a refusal is a failed precondition */
  byHeader: boolean
}

/** Entity tag of a version under the rules of `fingerprint`; the append and the state route give the same one. */
export const etagOf = (version: number, fingerprint: string): string => `"${version}-${fingerprint}"`

/**
 * The one expectation that body and headers state; `any` when none does.
 * `If-Match` takes `*` (exists), `"4"` or an entity tag of `etagOf`; `If-None-Match` takes `*` (none).
 * Throws PRECONDITION_INVALID for any other header value, PRECONDITION_AMBIGUOUS when two of the three disagree.
 */
export function expectationOf(
  body: ExpectedVersion | undefined,
  ifMatch: string | undefined,
  ifNoneMatch: string | undefined
): Expectation {
  const stated = [
    ...(ifMatch === undefined ? [] : [{ version: parseIfMatch(ifMatch), byHeader: true }]),
    ...(ifNoneMatch === undefined ? [] : [{ version: parseIfNoneMatch(ifNoneMatch), byHeader: true }]),
    ...(body === undefined ? [] : [{ version: body, byHeader: false }])
  ]
  const [first = { version: 'any' as const, byHeader: false }, ...others] = stated
  for (const other of others) {
    if (normal(other.version) === normal(first.version)) continue
    throw new DomainError(
      'PRECONDITION_AMBIGUOUS',
      `The request expects version ${first.version} in one place and ${other.version} in another. State it once, or the same in each.`
    )
  }
  return first
}

const normal = (version: ExpectedVersion): ExpectedVersion => (version === 0 ? 'none' : version)

function parseIfMatch(header: string): ExpectedVersion {
  if (header.trim() === '*') return 'exists'
  const version = Number(/^\s*"(\d{1,10})(?:-[0-9a-f]+)?"\s*$/.exec(header)?.[1] ?? Number.NaN)
  if (Number.isInteger(version) && version <= 2_147_483_647) return version
  throw new DomainError(
    'PRECONDITION_INVALID',
    'If-Match must be * or one version in quotes, such as "4" or the ETag of the state.'
  )
}

function parseIfNoneMatch(header: string): ExpectedVersion {
  if (header.trim() === '*') return 'none'
  throw new DomainError(
    'PRECONDITION_INVALID',
    'If-None-Match must be * on an append: it says that the user must not exist yet.'
  )
}
