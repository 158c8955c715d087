/**
 * The one write to the log: a call of the SQL function append_events (drizzle/0002_faster_functions.sql says what it keeps true), or
 * of append_claiming_events (drizzle/0008_claims.sql) where fields of users are unique.
 */
import type { Db } from '../db/client.js'
import type { ClaimField } from '../domain/claims.js'
import type { ExpectedVersion } from '../domain/version.js'

/** An append that was checked; texts are JSON, ready to be stored. */
export type AppendRequest = {
  tenantId: string
  userId: string
  expected: ExpectedVersion
  /** whether the first event creates the user */
  creates: boolean
  /** whether its ids may be stored already: the client chose them, or the request is sent again */
  repeatable: boolean
  events: PreparedEvent[]
}

export type PreparedEvent = {
  id: string
  eventType: string
  schemaVersion: number
  /** whether the client named the schema version */
  schemaVersionAsked: boolean
  dataText: string
  metadataText: string | null
  occurredAt: string | null
}

/** Where an event came to stand. */
export type PlacedEvent = { version: number; position: number; schemaVersion: number; createdAt: string }

export type AppendOutcome =
  | { outcome: 'stored' | 'duplicate'; events: PlacedEvent[] }
  | { outcome: Refusal; currentVersion: number }
  /** a value in `field` is another user's */
  | { outcome: 'claimed'; currentVersion: number; field: ClaimField }

export type Refusal = 'reused' | 'conflict' | 'not_created' | 'already_created' | 'deleted' | 'taken'

type Row = {
  n: number
  outcome: AppendOutcome['outcome']
  current: number
  position: string | null
  createdAt: string | null
  stored: string | null
  field: ClaimField | null
}

/**
 * Appends a batch to one bucket: each request all or none, refusals do not touch their neighbours. At most one request
 * of a user. `claims` says whether fields of users may be unique. Returns the outcomes in the order of the requests. Throws DbError; with outcome `unknown` the batch may or
 * may not have been stored, and calling again with the same ids tells.
 */
export async function appendBatch(
  db: Db,
  bucket: number,
  requests: readonly AppendRequest[],
  claims = false
): Promise<AppendOutcome[]> {
  const rows = await db.query<Row>(
    `SELECT * FROM ${claims ? 'append_claiming_events' : 'append_events'}($1::smallint, $2::text::jsonb, $3::text::jsonb, $4)`,
    [
      bucket,
      `[${requests.map(requestText).join(',')}]`,
      `[${requests.flatMap(eventTexts).join(',')}]`,
      requests.some(({ repeatable }) => repeatable)
    ]
  )
  const outcomes = new Array<AppendOutcome>(requests.length)
  for (const row of rows) outcomes[row.n - 1] = outcomeOf(row, requests[row.n - 1]!)
  return outcomes
}

const EXPECTED = { any: -1, exists: -2, none: 0 }

function requestText(request: AppendRequest, index: number): string {
  const { tenantId, userId, expected, creates, repeatable, events } = request
  const asNumber = typeof expected === 'number' ? expected : EXPECTED[expected]
  return `{"n":${index + 1},"tenant":"${tenantId}","user":"${userId}","expected":${asNumber},"creates":${creates},"repeatable":${repeatable},"events":${events.length}}`
}

/** Everything but the type is known to need no escaping: ids and times were checked, the rest is JSON or a number. */
function eventTexts({ events }: AppendRequest, index: number): string[] {
  return events.map((event, i) => {
    const occurred = event.occurredAt === null ? 'null' : `"${event.occurredAt}"`
    return (
      `{"n":${index + 1},"i":${i + 1},"id":"${event.id}","type":${JSON.stringify(event.eventType)},"schema":${event.schemaVersion},` +
      `"asked":${event.schemaVersionAsked},"data":${event.dataText},"metadata":${event.metadataText},"occurred":${occurred}}`
    )
  })
}

function outcomeOf(row: Row, request: AppendRequest): AppendOutcome {
  if (row.outcome === 'stored') {
    const position = Number(row.position)
    const createdAt = new Date(row.createdAt!).toISOString()
    const events = request.events.map(({ schemaVersion }, i) => ({
      version: row.current + i + 1,
      position: position + i,
      schemaVersion,
      createdAt
    }))
    return { outcome: 'stored', events }
  }
  if (row.outcome === 'duplicate') {
    const events = JSON.parse(row.stored!) as PlacedEvent[]
    return {
      outcome: 'duplicate',
      events: events.map((event) => ({ ...event, createdAt: new Date(event.createdAt).toISOString() }))
    }
  }
  if (row.outcome === 'claimed') return { outcome: 'claimed', currentVersion: row.current, field: row.field! }
  return { outcome: row.outcome, currentVersion: row.current }
}
