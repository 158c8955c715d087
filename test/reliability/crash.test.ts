import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, statfs } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { readPostmasterPid, servesCluster } from '../../src/db/embedded/postmaster-pid.js'
import { startEmbeddedPostgres } from '../../src/db/embedded/start.js'
import { assertHonest, type Client, createClient } from '../support/client.js'
import { testDatabase } from '../support/db.js'
import { newUserId, userCreated } from '../support/events.js'
import { request } from '../support/http.js'
import { holdAppendLock } from '../support/lock.js'
import { acknowledgedOf, assertKept, readIntactLog } from '../support/log.js'
import { type ServiceProcess, startProcess } from '../support/process.js'
import { randomOf, seedOf } from '../support/random.js'
import { until } from '../support/wait.js'

const DOCUMENTED = [
  '200',
  '201',
  'VERSION_CONFLICT',
  'OUTCOME_UNKNOWN',
  'DATABASE_UNAVAILABLE',
  'OVERLOADED',
  'DEADLINE_EXCEEDED',
  'SHUTTING_DOWN'
]

/** Clients that go on whatever happens to the service, until `stop`, and then until all their requests are answered. */
function startLoad(seed: number, url: () => string, count = 6) {
  const users = Array.from({ length: 30 }, () => randomUUID())
  const clients = Array.from({ length: count }, (_, i) =>
    createClient({ url, users, random: randomOf(seed + i), timeoutMs: 15_000 })
  )
  let stopped = false
  const running = Promise.all(clients.map((client) => client.run(() => stopped)))
  return {
    clients,
    acknowledged: () => clients.flatMap((client) => client.acknowledged),
    async untilMore(events: number): Promise<void> {
      const count = () => clients.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0)
      const before = count()
      await until(() => count() >= before + events, { timeoutMs: 30_000, what: `${events} more acknowledged events` })
    },
    async stop(): Promise<void> {
      stopped = true
      await running
    }
  }
}

function assertDocumented(t: Test, clients: readonly Client[]): void {
  const answers = assertHonest(t, clients)
  t.strictSame(
    Object.keys(answers).filter((code) => code !== 'none' && !DOCUMENTED.includes(code)),
    [],
    'only documented answers, or none at all while the service was down'
  )
}

t.test('kill -9 of the service under load, twice: no acknowledged event is lost or doubled', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const env = { DATABASE_URL: database.url }
  let service = await startProcess(t, env)
  const load = startLoad(seed, () => service.url)
  for (let kills = 0; kills < 2; kills++) {
    await load.untilMore(50)
    await service.end('SIGKILL')
    service = await startProcess(t, env)
  }
  await load.untilMore(50)
  await load.stop()
  assertDocumented(t, load.clients)
  assertKept(t, await readIntactLog(t, database), load.acknowledged())
  t.equal(await service.end('SIGTERM'), 0)
})

t.test('SIGTERM: every request that was accepted gets its answer, and then the process ends with 0', async (t) => {
  const database = await testDatabase(t)
  const service = await startProcess(t, { DATABASE_URL: database.url })
  const lock = await holdAppendLock(t, database)
  const appends = Array.from({ length: 40 }, () => openAppend(service.url, newUserId()))
  await Promise.all(appends.map(({ accepted }) => accepted))
  await lock.untilWaiting()
  const ending = service.end('SIGTERM')
  await until(() => service.output.some((line) => line.includes('shutting down')), { what: 'the signal to be seen' })
  await t.rejects(request(`${service.url}/livez`), 'no new connection is taken')
  await lock.release()
  const answers = await Promise.all(appends.map(({ answer }) => answer))
  t.strictSame([...new Set(answers.map(({ status }) => status))], [201])
  t.equal(await ending, 0)
  assertKept(
    t,
    await readIntactLog(t, database),
    answers.flatMap(({ data }) => acknowledgedOf(data))
  )
})

t.test('SIGTERM: connections that are silent, half a request or kept alive do not keep the process', async (t) => {
  const database = await testDatabase(t)
  const service = await startProcess(t, { DATABASE_URL: database.url, REQUEST_TIMEOUT_MS: '1000' })
  const head = `POST /users/${newUserId()}/events HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: 99\r\n`
  for (const bytes of ['', head, `${head}\r\n{`, 'GET /livez HTTP/1.1\r\nhost: here\r\n\r\n']) {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => {}).resume()
    await once(socket, 'connect')
    socket.write(bytes)
  }
  t.equal((await request(`${service.url}/livez`)).status, 200, 'later than those, so they have arrived')
  const askedAt = performance.now()
  t.equal(await service.end('SIGTERM'), 0)
  const tookMs = performance.now() - askedAt
  t.ok(tookMs < 5000, `it took ${Math.round(tookMs)} ms, far less than SHUTDOWN_TIMEOUT_MS`)
})

t.test('the embedded PostgreSQL: kill -9 of the service, of the database, and SIGTERM, all under load', async (t) => {
  const seed = seedOf(t)
  const dataDir = await freshDataDir(t)
  const cluster = join(dataDir, 'postgres')
  const env = { DATA_DIR: dataDir, SHUTDOWN_TIMEOUT_MS: '30000' }
  let service: ServiceProcess = await startProcess(t, env)
  const load = startLoad(seed, () => service.url)

  await load.untilMore(50)
  const first = await postmasterOf(cluster)
  await service.end('SIGKILL')
  service = await startProcess(t, env)
  t.equal(await postmasterOf(cluster), first, 'after kill -9 of the service its PostgreSQL is taken over')

  await load.untilMore(50)
  process.kill(first, 'SIGKILL')
  await until(async () => (await request(`${service.url}/readyz`)).status === 503, { what: 'the loss to be noticed' })
  await service.end('SIGKILL')
  service = await startProcess(t, env)
  t.not(await postmasterOf(cluster), first, 'after kill -9 of both a new PostgreSQL runs on the same data')
  // Those of before the look: the clients go on meanwhile.
  const known = load.acknowledged()
  assertKept(t, await readIntactLog(t, { run: onEmbedded(dataDir) }), known)

  await load.untilMore(50)
  const logged = (await readFile(join(dataDir, 'postgres.log'), 'utf8')).length
  const last = await postmasterOf(cluster)
  t.equal(await service.end('SIGTERM'), 0)
  t.equal(await servesCluster(last, cluster), false, 'its PostgreSQL has ended before the service')
  const sinceSignal = (await readFile(join(dataDir, 'postgres.log'), 'utf8')).slice(logged)
  t.match(sinceSignal, /database system is shut down/)
  t.notMatch(sinceSignal, /terminating connection|FATAL/, 'nobody was connected when it was stopped')

  service = await startProcess(t, env)
  await load.stop()
  assertDocumented(t, load.clients)
  const acknowledged = load.acknowledged()
  assertKept(t, await readIntactLog(t, { run: onEmbedded(dataDir) }), acknowledged)
  const { data } = await request(`${service.url}/users/${acknowledged[0]!.userId}/state?useSnapshot=false`)
  t.equal(data.state.id, acknowledged[0]!.userId)
  t.equal(await service.end('SIGINT'), 0)
})

/** An append that tells when the service has taken it: it answers "100 Continue" to the head, and the body follows then. */
function openAppend(url: string, userId: string) {
  const body = JSON.stringify({ events: [userCreated()] })
  const outgoing = httpRequest(`${url}/users/${userId}/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), expect: '100-continue' }
  })
  outgoing.flushHeaders()
  const accepted = once(outgoing, 'continue').then(() => void outgoing.end(body))
  const answer = once(outgoing, 'response').then(async ([response]: IncomingMessage[]) => ({
    status: response!.statusCode,
    data: (await json(response!)) as Record<string, any>
  }))
  return { accepted, answer }
}

/** On disk, not in memory, when the machine has none to spare; whatever runs there is killed when the test ends. */
async function freshDataDir(t: Test): Promise<string> {
  const memory = await statfs('/dev/shm').catch(() => null)
  const parent = memory && memory.bavail * memory.bsize > 2 * 1024 ** 3 ? '/dev/shm' : tmpdir()
  const dataDir = await mkdtemp(join(parent, 'user-event-store-crash-'))
  t.teardown(async () => {
    await (await startEmbeddedPostgres({ dataDir })).stop()
    await rm(dataDir, { recursive: true, force: true })
  })
  return dataDir
}

async function postmasterOf(cluster: string): Promise<number> {
  return (await readPostmasterPid(cluster))!.pid
}

/** Runs statements on the embedded database of a running service. */
function onEmbedded(dataDir: string) {
  return async <Row extends object>(text: string): Promise<Row[]> => {
    const { port } = (await readPostmasterPid(join(dataDir, 'postgres')))!
    const password = (await readFile(join(dataDir, 'password'), 'utf8')).trim()
    const sql = postgres({ host: '127.0.0.1', port, user: 'user_event_store', password, max: 1, fetch_types: false })
    try {
      return [...(await sql.unsafe<Row[]>(text))]
    } finally {
      await sql.end({ timeout: 5 })
    }
  }
}
