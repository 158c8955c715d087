/**
 * The one file that owns the driver (postgres.js). It runs single statements only, each in autocommit, and keeps these
 * promises around them, which the driver does not (DESIGN D3):
 * - a result whose rows do not match the server's count is an error, never an answer;
 * - a statement that gets no reply within its deadline fails, and its connection is destroyed;
 * - the line before the pool is bounded in length and time;
 * - every failure is a DbError that tells whether the statement may have been carried out, without its parameters.
 */
import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { drizzle, type PgRemoteDatabase } from 'drizzle-orm/pg-proxy'
import postgres from 'postgres'
import { ALL_TENANTS, asTenants, type Tenants } from './as-tenants.js'
import { DbError, toDbError } from './pg-error.js'
import { createSlots } from './slots.js'
import { backoffSeconds, createSocketOpener, type SocketTarget } from './socket.js'
import { statementName } from './statement-name.js'

export type DbOptions = {
  /** connections at most */
  poolMax?: number
  /** queries that may wait for a connection */
  waitingMax?: number
  /** longest wait for a connection, ms */
  waitMs?: number
  /** longest run of one statement, ms; set on the server, and enforced here a second later for a server that is silent */
  statementTimeoutMs?: number
  /** server-side prepared statements; off for pgbouncer before 1.21 in transaction mode */
  prepare?: boolean
  applicationName?: string
  /** role that every connection takes */
  role?: string | undefined
  /**
   * what statements see that is behind row-level security: `acting`: rows of the tenants that they act for, and without `as` none;
   * `all`: everything, whomever they act for. Absent: what the role may see, which is everything if it bypasses row-level security.
   */
  rows?: 'acting' | 'all' | undefined
  /** runs every statement, of which it is told the name: a verb and a table or function */
  watch?: (<T>(name: string, run: () => Promise<T>) => Promise<T>) | undefined
}

export type Param = string | number | boolean | null

export type QueryOptions = {
  /** whether it is tried again after a failure that another try may cure */
  repeatable?: boolean
  /** false: planned for these very parameters, each time */
  prepare?: boolean
}

export type Db = {
  /**
   * Runs one statement and returns its rows as objects; jsonb, timestamps and bigint come as text. Throws DbError.
   * `repeatable` statements (reads, and writes that change nothing when repeated) are tried again after a failure that
   * another try may cure; all others are run at most once.
   */
  query<Row extends object>(text: string, params?: readonly Param[], options?: QueryOptions): Promise<Row[]>
  /** Drizzle over `query`: its errors hide the DbError in their causes. Refuses transactions. */
  orm: PgRemoteDatabase
  /** The same, but statements act for `tenants` (those that begin with SELECT or WITH; others act for nobody). */
  as(tenants: Tenants): Db
  /** Waits for running statements, at most `timeoutMs`, and closes the connections. */
  close(timeoutMs?: number): Promise<void>
}

/** `socket` is the one that it has, or had last; null before the first. */
type Connection = { sql: postgres.Sql<Record<string, never>>; socket: Socket | null }

type RunOptions = QueryOptions & { rowsAsArrays?: boolean }

type Result = object[] & { command: string | null; count: number | null; columns: unknown[] | null }

/** Longest wait for the server to close its connections, seconds. */
const GOODBYE_S = 1

/** Waits before the second and the third try of a repeatable statement, ms. */
const RETRY_AFTER_MS = [20, 100]

const asText = { serialize: (value: string) => value, parse: (value: string) => value }

/** Opens a pool on `url`. Nothing is connected before the first query. */
export function openDb(url: string, options: DbOptions = {}): Db {
  const { poolMax = 10, waitingMax = 1000, waitMs = 5000, statementTimeoutMs = 5000, prepare = true } = options
  const deadlineMs = statementTimeoutMs + 1000

  /** A driver of one connection each, which is made when it is needed: so it is we who choose, and know, which one runs a query. */
  function createConnection(): Connection {
    const openSocket = createSocketOpener()
    const sql = postgres(url, {
      max: 1,
      connect_timeout: 5,
      // Looking up array types costs a query a connection, and one that dies in it is an unhandled rejection.
      fetch_types: false,
      onnotice: () => {},
      backoff: backoffSeconds,
      socket(target: SocketTarget) {
        connection.socket = openSocket(target)
        return connection.socket
      },
      types: {
        json: { to: 114, from: [114, 3802], ...asText },
        date: { to: 1184, from: [1082, 1114, 1184], ...asText }
      },
      connection: {
        application_name: options.applicationName ?? 'user-event-store',
        statement_timeout: statementTimeoutMs,
        lock_timeout: Math.min(2000, statementTimeoutMs),
        idle_in_transaction_session_timeout: 5000,
        default_transaction_isolation: 'read committed',
        synchronous_commit: 'on',
        TimeZone: 'UTC',
        jit: 'off',
        ...(options.role === undefined ? {} : { role: options.role })
      }
    } as postgres.Options<Record<string, postgres.PostgresType>>)
    const connection: Connection = { sql, socket: null }
    return connection
  }

  const connections = Array.from({ length: poolMax }, createConnection)
  const slots = createSlots({ slots: connections, waitingMax, waitMs })

  async function runOnce(
    connection: Connection,
    text: string,
    params: readonly Param[],
    { rowsAsArrays, prepare: prepared = true }: RunOptions
  ): Promise<object[]> {
    const query = connection.sql.unsafe(text, params as Param[], { prepare: prepare && prepared })
    const result = (await beforeDeadline(rowsAsArrays ? query.values() : query, deadlineMs, () =>
      discardSilent(connection)
    )) as unknown as Result
    // After a query that died between its rows the driver counts the next one's from there and leaves holes. One that
    // it lost track of gets a result in which the server never said that the statement was complete.
    if (result.command === null || (result.columns?.length && result.length !== result.count)) {
      throw new DbError(
        'unknown',
        'CORRUPT_RESULT',
        null,
        `The driver gave ${result.length} rows where the server sent ${result.count}.`
      )
    }
    // The driver has each result hold the next one. One that has grown old would keep the rows of all later ones until a
    // collection of the whole heap, which a long stream outruns.
    const rows = [...result]
    result.length = 0
    return rows
  }

  /**
   * Destroys a connection whose statement got no reply, and all that are idle: what silenced one may have silenced them, which nobody would know
   * before a statement had waited on each; they are soon made again. With an error, or the driver would keep a query that waits for its
   * connection, and carry it out some time later.
   */
  function discardSilent(silent: Connection): void {
    for (const { socket } of [silent, ...slots.free()]) socket?.destroy(new Error('The database does not reply.'))
  }

  async function run(text: string, params: readonly Param[], options: RunOptions): Promise<object[]> {
    for (let tries = 0; ; tries++) {
      try {
        return await slots.run((connection) => runOnce(connection, text, params, options).catch(afterClosing))
      } catch (thrown) {
        const err = toDbError(thrown)
        const wait = RETRY_AFTER_MS[tries]
        if (!options.repeatable || err.outcome === 'definite' || err.sqlState === 'POOL_BUSY' || wait === undefined)
          throw err
        await pause(wait)
      }
    }
  }

  async function close(timeoutMs = 5000): Promise<void> {
    await slots.drain(timeoutMs)
    // Until the server has closed them, too: it may be about to be stopped. The driver would wait for ever for a query that died with its
    // connection (porsager/postgres 1097, 1130).
    await Promise.all(connections.map(({ sql }) => sql.end({ timeout: GOODBYE_S })))
    for (const { socket } of connections) socket?.destroy()
  }

  function actingFor(tenants: Tenants | null): Db {
    const runUnwatched = (text: string, params: readonly Param[], given: RunOptions) =>
      tenants === null ? run(text, params, given) : run(...asTenants(text, params, tenants), given)
    const { watch } = options
    const runActing: typeof runUnwatched = watch
      ? (text, params, given) => watch(statementName(text), () => runUnwatched(text, params, given))
      : runUnwatched
    const db: Db = {
      query: <Row extends object>(text: string, params: readonly Param[] = [], given: QueryOptions = {}) =>
        runActing(text, params, given) as Promise<Row[]>,
      orm: drizzle(async (text, params, method) => ({
        rows: await runActing(text, params, { rowsAsArrays: method === 'all', repeatable: text.startsWith('select') })
      })),
      as: (others) => (options.rows === 'acting' ? actingFor(others) : db),
      close
    }
    return db
  }

  return actingFor(options.rows === 'all' ? ALL_TENANTS : null)
}

/** Closing a connection takes the driver one more turn of the event loop after its queries failed. */
const CLOSING_MS = 10

/** Keeps the slot of a query that failed with its connection until that is closed: the driver would send the next query on it. */
async function afterClosing(thrown: unknown): Promise<never> {
  const err = toDbError(thrown)
  if (err.outcome === 'unknown' || err.outcome === 'unavailable') await pause(CLOSING_MS)
  throw err
}

/** Settles as `query` does, or calls `giveUp` and rejects with an outcome unknown after `deadlineMs`, when the server's own timeout has passed. */
function beforeDeadline<T>(query: PromiseLike<T>, deadlineMs: number, giveUp: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let settled = false
    function expire(): void {
      if (settled) return
      giveUp()
      reject(new DbError('unknown', 'NO_REPLY', null, `The database did not reply within ${deadlineMs} ms.`))
    }
    // What came while this process was busy is read first.
    const timer = setTimeout(() => setImmediate(expire), deadlineMs)
    function settle(): void {
      settled = true
      clearTimeout(timer)
    }
    query.then(resolve, reject).then(settle)
  })
}
