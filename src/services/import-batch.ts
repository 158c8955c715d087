/**
 * One batch of an import: what fits into it, and how it gets into the database.
 *
 * Keeps true: of each bucket everything before the first line that is refused is stored, and nothing after it; and a batch that is
 * sent again because its outcome was unknown counts no event as a duplicate that it stored itself.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Db } from '../db/client.js'
import { toDbError } from '../db/pg-error.js'
import { DELETED, labelOf } from '../domain/catalog.js'
import { DomainError } from '../domain/errors.js'
import type { ImportedEvent } from '../domain/imported-event.js'
import type { Metrics } from '../observe/metrics.js'
import { type Claiming, isUnclaimed } from '../store/claims.js'
import { type ImportBatch, type ImportOutcome, importBatch } from '../store/import.js'
import { BadLine, refusalOf } from './import-refusals.js'

/** Events in a batch, of all buckets together. */
export const IMPORT_BATCH_EVENTS = 2000
/** Bytes of data and metadata beyond which a batch takes no more. */
const IMPORT_BATCH_BYTES = 4 * 1024 * 1024

/** A batch that is being filled, by bucket. */
export type Batch = { parts: Map<number, Part>; events: number; bytes: number }

/** What was read for one bucket. */
type Part = {
  rows: ImportBatch
  /** number of the line of each row */
  lines: number[]
  /** by id, with number in `rows.users` */
  users: Map<string, { number: number; newest: ImportedEvent }>
}

/** What became of the events. */
export type Counts = {
  imported: number
  /** events that were stored before */
  duplicates: number
}

/** A batch without events. */
export const emptyBatch = (): Batch => ({ parts: new Map(), events: 0, bytes: 0 })

/**
 * Puts an event into the batch, unless that is full or the event does not simply follow the user's event before it in there:
 * what it is then, a duplicate or a mistake, the database can say once that one is stored.
 */
export function addToBatch(batch: Batch, event: ImportedEvent, line: number, bucket: number): boolean {
  if (batch.events >= IMPORT_BATCH_EVENTS || batch.bytes >= IMPORT_BATCH_BYTES) return false
  let part = batch.parts.get(bucket)
  if (!part) {
    part = emptyPart()
    batch.parts.set(bucket, part)
  }
  const { rows, users } = part
  let user = users.get(event.userId)
  if (user && !follows(event, user.newest)) return false
  part.lines.push(line)
  if (user) user.newest = event
  else {
    rows.firsts.push(part.lines.length)
    user = { number: rows.users.push(event.userId), newest: event }
    users.set(event.userId, user)
  }
  rows.of.push(user.number)
  rows.versions.push(event.version)
  rows.ids.push(event.id)
  rows.types.push(event.eventType)
  rows.schemas.push(event.schemaVersion)
  rows.asked.push(event.schemaVersionAsked)
  rows.data.push(event.dataText)
  rows.metadata.push(event.metadataText)
  rows.occurred.push(event.occurredAt)
  rows.created.push(event.createdAt)
  batch.events++
  batch.bytes += event.bytes
  return true
}

const emptyPart = (): Part => ({
  rows: {
    users: [],
    firsts: [],
    of: [],
    versions: [],
    ids: [],
    types: [],
    schemas: [],
    asked: [],
    data: [],
    metadata: [],
    occurred: [],
    created: []
  },
  lines: [],
  users: new Map()
})

const follows = (event: ImportedEvent, newest: ImportedEvent): boolean =>
  event.version === newest.version + 1 && event.createdAt >= newest.createdAt && newest.eventType !== DELETED

/** Returns what stores a batch. */
export function createBatchStore(parts: {
  db: Db
  claiming: Claiming
  metrics: Pick<Metrics, 'eventsStored'>
  /** longest time that a batch is tried again, ms */
  deadlineMs: number
}) {
  const { db, claiming, metrics, deadlineMs } = parts

  /** Tries again until the deadline; what an attempt of unknown outcome stored is no duplicate to the next. */
  async function storeRows(bucket: number, tenantId: string, rows: ImportBatch, head: number): Promise<ImportOutcome> {
    const giveUpAt = performance.now() + deadlineMs
    let doubtful = false
    for (let failures = 0; ; failures++) {
      try {
        return await importBatch(db, bucket, tenantId, rows, doubtful ? head : null, claiming.on)
      } catch (thrown) {
        const err = toDbError(thrown)
        if (isUnclaimed(err)) claiming.on = true
        else if (err.outcome === 'definite') throw err
        doubtful ||= err.outcome === 'unknown'
        if (performance.now() > giveUpAt) throw unreachable(doubtful, err)
        await pause(Math.min(1000, 10 * 2 ** failures) * (0.5 + Math.random() / 2))
      }
    }
  }

  function count({ types }: ImportBatch, { duplicates, bad }: ImportOutcome, tenantId: string, done: Counts): void {
    const before = new Set(duplicates)
    const labels = types
      .slice(0, bad?.index)
      .filter((_type, i) => !before.has(i))
      .map(labelOf)
    done.duplicates += duplicates.length
    done.imported += labels.length
    metrics.eventsStored({ tenantId, eventTypes: labels })
  }

  /**
   * Stores a batch of a tenant and counts in `done`; `heads` are the last positions of the buckets, and are moved. Throws BadLine
   * for the first bad line, and OUTCOME_UNKNOWN or DATABASE_UNAVAILABLE when it could not be stored in time.
   */
  return async function storeBatch(batch: Batch, tenantId: string, heads: number[], done: Counts): Promise<void> {
    const stored = await Promise.all(
      [...batch.parts].map(async ([bucket, part]) => {
        const outcome = await storeRows(bucket, tenantId, part.rows, heads[bucket]!)
        heads[bucket] = outcome.head
        count(part.rows, outcome, tenantId, done)
        return { part, outcome }
      })
    )
    const bad = firstBad(stored)
    if (bad) throw bad
  }
}

/** The first bad line of a batch; each part is stored up to its own. */
function firstBad(stored: { part: Part; outcome: ImportOutcome }[]): BadLine | null {
  const found = stored.flatMap(({ part: { rows, lines }, outcome: { bad } }) => {
    if (!bad) return []
    const userId = rows.users[rows.of[bad.index]! - 1]!
    return [{ line: lines[bad.index]!, ...bad, userId, version: rows.versions[bad.index]! }]
  })
  const first = found.sort((a, b) => a.line - b.line)[0]
  if (!first) return null
  const later = stored.flatMap(({ part, outcome }) => part.lines.slice(0, outcome.bad?.index))
  const storedAfter = later.filter((line) => line > first.line).length
  return new BadLine(first.line, refusalOf(first), storedAfter)
}

function unreachable(doubtful: boolean, cause: Error): DomainError {
  const again = 'Send the same lines again, all of them: what is stored is passed over.'
  return doubtful
    ? new DomainError(
        'OUTCOME_UNKNOWN',
        `Whether the last lines were stored could not be learnt. ${again}`,
        {},
        { cause }
      )
    : new DomainError(
        'DATABASE_UNAVAILABLE',
        `The database cannot be reached; the import stopped. ${again}`,
        {},
        { cause }
      )
}
