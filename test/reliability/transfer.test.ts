/** History that moves from one store to another: what arrives is what left, whatever dies in between. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { json } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { mixed, randomLines, registerMoved } from '../domain/history-lines.js'
import { assertHonest, createClient } from '../support/client.js'
import { type TestDatabase, testDatabase } from '../support/db.js'
import { userCreated, userUpdated } from '../support/events.js'
import { importedEvent, sendLines, textOf } from '../support/import.js'
import { assertKept, readIntactLog } from '../support/log.js'
import { startProcess } from '../support/process.js'
import { randomOf, seedOf } from '../support/random.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

type Line = Record<string, unknown> & { aggregateId: string; position: number }

const linesOf = (text: string): Line[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))

const exported = async ({ get }: TestService, headers: Record<string, string> = {}): Promise<Line[]> =>
  linesOf((await get('/events/export?upcast=false', headers)).body)

const withoutPosition = (lines: Line[]) => lines.map(({ position: _position, ...rest }) => rest)

/** `count` users of `each` events, mixed. */
const largeHistory = (seed: number, count: number, each: number): object[] =>
  mixed(
    seed,
    Array.from({ length: count }, () => {
      const userId = randomUUID()
      return Array.from({ length: each }, (_, i) =>
        importedEvent(userId, i + 1, i === 0 ? userCreated() : userUpdated({ fullName: `Name ${i}` }))
      )
    })
  )

for (const buckets of [1, 3]) {
  t.test(`export and import make the same store again, with EVENT_BUCKETS=${buckets}`, async (t) => {
    const seed = seedOf(t)
    const env = { EVENT_BUCKETS: String(buckets) }
    const [from, to] = [await testService(t, { env }), await testService(t, { env })]
    for (const service of [from, to]) await registerMoved(service)
    const tenant = { 'x-tenant-id': randomUUID() }
    await registerMoved(from, tenant)
    const own = randomLines(seed)
    t.equal((await sendLines(from, own)).statusCode, 200)
    t.equal((await sendLines(from, randomLines(seed + 1), tenant)).statusCode, 200)

    const text = (await from.get('/events/export?upcast=false')).body
    t.equal(linesOf(text).length, own.length)
    const first = await sendLines(to, text)
    t.hasStrict(first.data, { lines: own.length, imported: own.length, duplicates: 0 })
    t.hasStrict((await sendLines(to, text)).data, { imported: 0, duplicates: own.length }, 'twice stores nothing new')
    const same = (await to.get('/events/export?upcast=false')).body
    const bytes = (lines: Line[]) => withoutPosition(lines).map((line) => JSON.stringify(line))
    t.strictSame(bytes(linesOf(same)), bytes(linesOf(text)), 'the same bytes but for positions')

    for (const userId of new Set(linesOf(text).map(({ aggregateId }) => aggregateId))) {
      const [there, here] = await Promise.all([from, to].map(({ get }) => get(`/users/${userId}/state`)))
      t.equal(JSON.stringify(here!.data.state), JSON.stringify(there!.data.state))
      t.equal(here!.data.asOf, there!.data.asOf)
      t.equal((await to.post(`/admin/users/${userId}/verify`)).data.correct, true)
    }
    t.equal((await exported(to, tenant)).length, 0, "another tenant's events are not in it")
    await assertGapless(t, to.database, buckets)
  })
}

async function assertGapless(t: Test, { run }: TestDatabase, buckets: number): Promise<void> {
  const rows = await run<{ bucket: number; events: number; last: string }>(
    'SELECT bucket, count(*)::integer AS events, max(position) AS last FROM user_events GROUP BY bucket'
  )
  // A dozen random users leave one of three buckets empty in one of 43 runs, and two of them in one of 177,147.
  t.ok(rows.length >= Math.min(2, buckets), `${rows.length} of ${buckets} buckets have events`)
  for (const { bucket, events, last } of rows) t.equal(Number(last), events, `bucket ${bucket} has no gap`)
}

t.test(
  'a bad line in a store of several buckets: all before it is stored, and what is after it is counted',
  async (t) => {
    const seed = seedOf(t)
    const service = await testService(t, { env: { EVENT_BUCKETS: '3' } })
    const lines = largeHistory(seed, 40, 10)
    const stranger = importedEvent(randomUUID(), 3, userUpdated())
    const at = 200
    const { data } = await sendLines(service, [...lines.slice(0, at), stranger, ...lines.slice(at)])
    t.hasStrict(data, { code: 'IMPORT_LINE_INVALID', line: at + 1, imported: at + data.storedAfter, duplicates: 0 })
    const stored = new Set((await exported(service)).map(({ id }) => id))
    const idOf = (line: object) => (line as { id: string }).id
    t.ok(lines.slice(0, at).every((line) => stored.has(idOf(line))))
    t.equal(lines.slice(at).filter((line) => stored.has(idOf(line))).length, data.storedAfter)
    t.hasStrict((await sendLines(service, lines)).data, {
      imported: lines.length - at - data.storedAfter,
      duplicates: at + data.storedAfter
    })
  }
)

type Upload = Promise<{ status: number; data: Record<string, any> } | null>

/** Sends lines to a service in a process of its own; null when no answer came. */
async function upload(url: string, text: string): Upload {
  const outgoing = httpRequest(`${url}/events/import`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/x-ndjson' }
  })
  // A service that is killed, or has answered before the end, ends the connection.
  outgoing.on('socket', (socket) => socket.on('error', () => {}))
  outgoing.on('error', () => {}).end(text)
  return await once(outgoing, 'response').then(
    async ([response]: IncomingMessage[]) => ({
      status: response!.statusCode!,
      data: (await json(response!)) as Record<string, any>
    }),
    () => null
  )
}

const countOf = async ({ run }: TestDatabase): Promise<number> =>
  (await run<{ events: number }>('SELECT count(*)::integer AS events FROM user_events'))[0]!.events

t.test('after kill -9 in the middle of an import a repetition completes it', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const lines = largeHistory(seed, 1500, 20)
  const text = textOf(lines)
  let service = await startProcess(t, { DATABASE_URL: database.url })
  const cut = upload(service.url, text)
  await until(async () => (await countOf(database)) > 0, { what: 'the first batch' })
  await service.end('SIGKILL')
  t.equal(await cut, null)
  const before = await countOf(database)
  t.ok(before > 0 && before < lines.length, `${before} events were stored of ${lines.length}`)
  service = await startProcess(t, { DATABASE_URL: database.url })
  const again = await upload(service.url, text)
  t.equal(again?.status, 200)
  // The batch that was on its way when the service was killed may have been stored after the count.
  const { imported, duplicates } = again!.data as { imported: number; duplicates: number }
  t.ok(duplicates >= before, `${duplicates} were stored before, ${before} of them when it was killed`)
  t.equal(imported + duplicates, lines.length)
  const log = await readIntactLog(t, database)
  t.strictSame(
    log.map(({ id }) => id),
    lines.map((line) => (line as { id: string }).id),
    'every event once, in the order of lines'
  )
  t.equal(await service.end('SIGTERM'), 0)
})

t.test('while every connection is killed again and again, imports that are repeated complete', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const service = await startProcess(t, { DATABASE_URL: database.url, REQUEST_TIMEOUT_MS: '2000' })
  const lines = largeHistory(seed, 1000, 20)
  const text = textOf(lines)
  let storming = true
  let kills = 0
  const storm = (async () => {
    const sql = postgres(database.url, { max: 1, fetch_types: false, connection: { application_name: 'storm' } })
    while (storming) {
      const rows = await sql`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = ${database.name} AND application_name = 'user-event-store'`
      kills += rows.length
      await pause(40)
    }
    await sql.end({ timeout: 5 })
  })()
  const answers: string[] = []
  const calmAt = performance.now() + 3000
  await until(
    async () => {
      if (performance.now() > calmAt) storming = false
      const answer = await upload(service.url, text)
      answers.push(answer?.data.code ?? String(answer?.status))
      return answer?.status === 200
    },
    { timeoutMs: 60_000, what: 'an import that gets through' }
  )
  storming = false
  await storm
  t.comment(`${kills} kills; answers ${answers.join(', ')}`)
  t.ok(kills > 10)
  const documented = ['200', 'OUTCOME_UNKNOWN', 'DATABASE_UNAVAILABLE', 'OVERLOADED']
  t.strictSame(
    answers.filter((code) => !documented.includes(code)),
    []
  )
  const log = await readIntactLog(t, database)
  t.strictSame(
    log.map(({ id }) => id),
    lines.map((line) => (line as { id: string }).id)
  )
  t.equal(await service.end('SIGTERM'), 0)
})

t.test('while clients append and a follower polls, an import loses, doubles and hides nothing', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const service = await startProcess(t, { DATABASE_URL: database.url })
  const sql = postgres(database.url, { max: 1, fetch_types: false })
  t.teardown(() => sql.end({ timeout: 5 }))
  const users = Array.from({ length: 20 }, () => randomUUID())
  const clients = Array.from({ length: 4 }, (_, i) =>
    createClient({ url: () => service.url, users, random: randomOf(seed + i), timeoutMs: 15_000 })
  )
  const lines = largeHistory(seed, 1000, 20)
  const seen: { id: string; position: number }[] = []
  async function poll(): Promise<void> {
    const rows =
      await sql`SELECT id, position FROM user_events WHERE bucket = 0 AND position > ${seen.at(-1)?.position ?? 0} ORDER BY position`
    for (const { id, position } of rows) seen.push({ id, position: Number(position) })
  }
  let importing = true
  const following = (async () => {
    while (importing) await poll()
    await poll()
  })()
  const appending = Promise.all(clients.map((client) => client.run(() => !importing)))
  const answer = await upload(service.url, textOf(lines))
  importing = false
  await Promise.all([appending, following])
  await poll()
  t.hasStrict(answer, { status: 200, data: { imported: lines.length, duplicates: 0 } })
  assertHonest(t, clients)
  const log = await readIntactLog(t, database)
  assertKept(
    t,
    log,
    clients.flatMap(({ acknowledged }) => acknowledged)
  )
  t.strictSame(
    seen,
    log.map(({ id, position }) => ({ id, position }))
  )
  const imported = new Set(lines.map((line) => (line as { id: string }).id))
  t.equal(log.filter(({ id }) => imported.has(id)).length, lines.length)
  t.ok(log.length > lines.length, `${log.length - lines.length} events were appended meanwhile`)
})

t.test('an append to a user that is being imported makes its next line a bad one, and says so', async (t) => {
  const service = await testService(t)
  const userId = randomUUID()
  const life = Array.from({ length: 4 }, (_, i) =>
    importedEvent(userId, i + 1, i === 0 ? userCreated() : userUpdated({ fullName: `Name ${i}` }))
  )
  await sendLines(service, life.slice(0, 2))
  await service.append(userId, [userUpdated({ fullName: 'Between' })])
  const { statusCode, data } = await sendLines(service, life)
  t.equal(statusCode, 422)
  t.hasStrict(data, { line: 3, lineCode: 'VERSION_CONFLICT', pointer: '/version', imported: 0, duplicates: 2 })
  t.match(data.reason, /version 3 of user .* is stored with another id or other content; the user is at version 3/)
})
