/** What routes of the read model share: they say up to which event they answer, and can be asked to wait for one. */
import { Type } from '@sinclair/typebox'
import { tenantHeader } from './schemas.js'

const position = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description }))

/** A part of the queries that read the read model. */
export const reflection = {
  atLeast: position(
    'wait until the read model holds the event at this position, which the answer to an append names; 503 if it takes too long'
  )
}

export const positionHeaders = Type.Object({
  ...tenantHeader,
  'event-position-min': position('the same as atLeast; the larger one counts')
})

export const reflectedPosition = Type.Integer({
  description:
    'the answer holds every event up to this position of the log; with EVENT_BUCKETS above 1 it is how many events of the log it holds, and for one user the position in the bucket of the user'
})

/** The position that a request waits for, which ends its turn; undefined when it takes what there is. */
export function atLeastOf(request: {
  endTurn: () => void
  query: { atLeast?: number }
  headers: { 'event-position-min'?: number }
}): number | undefined {
  const asked = [request.query.atLeast, request.headers['event-position-min']].filter((each) => each !== undefined)
  if (asked.length === 0) return undefined
  request.endTurn()
  return Math.max(...asked)
}
