/** Holds the lock that every append takes, so that appends wait where a test wants them. */
import postgres from 'postgres'
import type { Test } from 'tap'
import type { TestDatabase } from './db.js'
import { until } from './wait.js'

export type AppendLock = {
  /** Lets the appends go on. */
  release(): Promise<void>
  /** Process ids of the backends that wait for the lock now. */
  waiting(): Promise<number[]>
  /** Resolves with those ids when there are `count`. */
  untilWaiting(count?: number): Promise<number[]>
}

/** Takes the lock of bucket 0 on a session of its own; given up when the test ends. */
export async function holdAppendLock(t: Test, database: TestDatabase): Promise<AppendLock> {
  const sql = postgres(database.url, { max: 1, fetch_types: false })
  t.teardown(() => sql.end({ timeout: 5 }))
  await sql`SELECT pg_advisory_lock(1970365811, 0)`
  const lock: AppendLock = {
    async release() {
      await sql`SELECT pg_advisory_unlock(1970365811, 0)`
    },
    async waiting() {
      const rows = await sql`
        SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'`
      return rows.map(({ pid }) => Number(pid))
    },
    untilWaiting: (count = 1) =>
      until(
        async () => {
          const pids = await lock.waiting()
          return pids.length === count ? pids : null
        },
        { what: `${count} appends that wait for the lock` }
      )
  }
  return lock
}
