/**
 * Importing: history with the versions and times that it had, line by line, in batches. While one batch is in the database the
 * next is read.
 *
 * Keeps true: when an import ends at a line, for whatever reason, everything before that line is stored, and with one bucket
 * nothing after it; and an import can be repeated, since what is stored already is passed over. Where one batch ends and the
 * next begins changes no outcome.
 */
import type { Db } from '../db/client.js'
import { bucketOf } from '../domain/bucket.js'
import { DomainError } from '../domain/errors.js'
import { ENVELOPE_BYTES_MAX, type ImportedEvent, readImportedEvent } from '../domain/imported-event.js'
import { createLineCutter, type LineBlock } from '../domain/lines.js'
import type { Metrics } from '../observe/metrics.js'
import type { Claiming } from '../store/claims.js'
import { selectHeads } from '../store/log.js'
import type { EventTypeService } from './event-types.js'
import { addToBatch, type Counts, createBatchStore, emptyBatch } from './import-batch.js'
import { asBadLine, BadLine, malformed } from './import-refusals.js'

/** Imports at once: each holds two batches in memory. */
export const IMPORTS_MAX = 4

export type Imported = Counts & {
  /** lines read, empty ones included */
  lines: number
}

export type ImportService = ReturnType<typeof createImportService>

export function createImportService(parts: {
  db: Db
  claiming: Claiming
  eventTypes: Pick<EventTypeService, 'of' | 'withTypes'>
  metrics: Pick<Metrics, 'eventsStored'>
  buckets: number
  eventBytesMax: number
  /** longest time that a batch is tried again, ms */
  deadlineMs: number
  /** called when an import that stored something has ended */
  onStored: () => void
}) {
  const { db, eventTypes, buckets, eventBytesMax, onStored } = parts
  const storeBatch = createBatchStore(parts)
  let running = 0

  /** The event of a line, or a promise of it where new types may have to be looked for, which refuses with BadLine. */
  function read(text: string, line: number, tenantId: string): ImportedEvent | Promise<ImportedEvent> {
    const readNow = () => readImportedEvent(text, tenantId, eventTypes.of(tenantId), eventBytesMax)
    try {
      return readNow()
    } catch {
      return eventTypes
        .withTypes(async () => readNow())
        .catch((err) => {
          throw asBadLine(err, line)
        })
    }
  }

  /** Reads and stores all lines, counts in `done`, and returns the sum of the last positions. */
  async function run(tenantId: string, chunks: AsyncIterable<Uint8Array>, done: Imported): Promise<number> {
    const heads = await selectHeads(db, buckets)
    let batch = emptyBatch()
    let storing: Promise<void> = Promise.resolve()

    /** Hands the batch to the database when that has done with the one before; throws what ended that one. */
    async function send(): Promise<void> {
      const full = batch
      batch = emptyBatch()
      await storing
      storing = storeBatch(full, tenantId, heads, done)
      // It is waited for, but perhaps only after the next batch was read.
      storing.catch(() => {})
    }

    async function readBlock({ first, lines, fault }: LineBlock): Promise<void> {
      for (const [i, text] of lines.entries()) {
        done.lines = first + i
        if (text.trim() === '') continue
        const found = read(text, first + i, tenantId)
        // To wait for what is there already would take as long as reading it.
        const event = found instanceof Promise ? await found : found
        if (!addToBatch(batch, event, first + i, bucketOf(event.userId, buckets))) {
          await send()
          addToBatch(batch, event, first + i, bucketOf(event.userId, buckets))
        }
      }
      if (fault !== null) throw new BadLine(first + lines.length, malformed(fault))
    }

    async function readAll(): Promise<void> {
      const cutter = createLineCutter(eventBytesMax + ENVELOPE_BYTES_MAX)
      for await (const chunk of chunks) await readBlock(cutter.take(chunk))
      await readBlock(cutter.end())
    }

    const failure = await readAll().then(
      () => null,
      (err: unknown) => ({ err })
    )
    // What came before a failure is stored first, and its own failure is the earlier one.
    await send()
    await storing
    if (failure) throw failure.err
    return heads.reduce((sum, head) => sum + head, 0)
  }

  return {
    /**
     * Stores the lines of `chunks` for a tenant: NDJSON, an event a line, those of a user in the order of versions. `head` is the
     * number of events in the store, which with one bucket is the last position.
     *
     * Throws DomainError, with `imported` and `duplicates` among its facts: IMPORT_LINE_INVALID for the first bad line (`line`,
     * `reason`, `pointer`, `lineCode`, and `storedAfter`: later lines that are stored all the same because they are in other
     * buckets); OUTCOME_UNKNOWN or DATABASE_UNAVAILABLE when a batch could not be stored in time; OVERLOADED when too many
     * imports run; and what `chunks` throws, after what came before is stored.
     */
    async importEvents(tenantId: string, chunks: AsyncIterable<Uint8Array>): Promise<Imported & { head: number }> {
      if (running >= IMPORTS_MAX) throw overloaded()
      running++
      const done: Imported = { lines: 0, imported: 0, duplicates: 0 }
      try {
        const head = await run(tenantId, chunks, done)
        return { ...done, head }
      } catch (err) {
        throw withCounts(err, done)
      } finally {
        running--
        // Once: workers that ran after every batch would take the processor from the import, and they look by themselves every second.
        if (done.imported > 0) onStored()
      }
    }
  }
}

/** `err` with what was stored before it among its facts, so that a client knows where it stands. */
function withCounts(err: unknown, { imported, duplicates }: Imported): unknown {
  if (err instanceof BadLine) {
    const { line, why, storedAfter } = err
    const after =
      storedAfter === 0
        ? 'nothing of it and after it is'
        : `of those after it ${storedAfter} are, which a repetition passes over`
    return new DomainError(
      'IMPORT_LINE_INVALID',
      `Line ${line} cannot be imported: ${why.reason.replace(/\.$/, '')}. All lines before it are stored, ${after}. Mend the line and send everything again.`,
      { line, ...why, storedAfter, imported, duplicates }
    )
  }
  if (!(err instanceof DomainError)) return err
  return new DomainError(err.code, err.message, { ...err.facts, imported, duplicates }, { cause: err.cause })
}

const overloaded = (): DomainError =>
  new DomainError('OVERLOADED', `${IMPORTS_MAX} imports are running already. Send it again when one of them is done.`)
