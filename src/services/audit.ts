/**
 * Notes what administrators ask for. The note is stored before the work begins, and the work does not begin without it:
 * whatever dies in between, nothing is done that nobody asked for on record.
 */
import { randomUUID } from 'node:crypto'
import type { Db } from '../db/client.js'
import type { AdminRequest, AuditEntry, AuditFilter, AuditMark } from '../domain/audit.js'
import { deleteAudit, insertAudit, selectAudit, updateAuditStatus } from '../store/audit.js'

const EXPIRY_BATCH = 1000
const DAY_MS = 86_400_000

export type AuditService = ReturnType<typeof createAuditService>

export function createAuditService({ db }: { db: Db }) {
  return {
    /** Resolves with the id of the note when it is stored. Throws DbError. */
    async note(request: AdminRequest): Promise<string> {
      const id = randomUUID()
      await insertAudit(db, id, request)
      return id
    },

    /** Notes the status of the answer. Throws DbError. */
    async conclude(id: string, status: number): Promise<void> {
      await updateAuditStatus(db, id, status)
    },

    /** A page, the newest first, and where the next goes on, null on the last. */
    async readPage(
      filter: AuditFilter,
      { after, limit }: { after: AuditMark | undefined; limit: number }
    ): Promise<{ entries: AuditEntry[]; next: AuditMark | null }> {
      const found = await selectAudit(db, filter, { after, limit: limit + 1 })
      const entries = found.slice(0, limit)
      const last = found.length > limit ? entries.at(-1)! : null
      return { entries, next: last && { createdAt: last.createdAt, id: last.id } }
    },

    /** Lets go what is older than so many days. Returns how much that was. */
    async expire(days: number, signal?: AbortSignal): Promise<number> {
      const before = new Date(Date.now() - days * DAY_MS).toISOString()
      for (let total = 0; ; ) {
        const deleted = await deleteAudit(db, before, EXPIRY_BATCH)
        total += deleted
        if (deleted < EXPIRY_BATCH || signal?.aborted) return total
      }
    }
  }
}
