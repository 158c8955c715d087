import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { createCatalog } from '../../src/domain/catalog.js'
import { DEFAULT_TENANT, type FoldEvent } from '../../src/domain/event.js'
import { fold, nothingFolded } from '../../src/domain/replay.js'
import { assertHonest, type Client, createClient } from '../support/client.js'
import { type TestDatabase, testDatabase } from '../support/db.js'
import { userCreated } from '../support/events.js'
import { appendTo, request } from '../support/http.js'
import { assertKept, readIntactLog } from '../support/log.js'
import { startProcess } from '../support/process.js'
import { type Random, randomOf, seedOf } from '../support/random.js'

const REQUEST_TIMEOUT_MS = 4000
const MARGIN_MS = 2500
const STORM_MS = 10_000
/** On a busy machine little gets through in 20 ms: the storm goes on, and calms down, until there is enough to judge, but no longer than this. */
const STORM_MAX_MS = 40_000
/** Appends and reads that must get through. */
const ENOUGH = 6
const APPEND_CODES = [
  '200',
  '201',
  'VERSION_CONFLICT',
  'OUTCOME_UNKNOWN',
  'DATABASE_UNAVAILABLE',
  'OVERLOADED',
  'DEADLINE_EXCEEDED'
]
const READ_CODES = ['200', 'USER_NOT_FOUND', 'DATABASE_UNAVAILABLE', 'OVERLOADED', 'DEADLINE_EXCEEDED']

type Read = { userId: string; version: number; atLeast: number; state: string }

t.test('ten seconds and more of killing every connection every 20 ms cost time, and nothing else', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const service = await startProcess(t, {
    DATABASE_URL: database.url,
    REQUEST_TIMEOUT_MS: String(REQUEST_TIMEOUT_MS),
    SNAPSHOT_THRESHOLD: '20',
    LOG_LEVEL: 'info'
  })
  const users = Array.from({ length: 30 }, () => randomUUID())
  const url = () => service.url
  const clients = Array.from({ length: 6 }, (_, i) =>
    createClient({ url, users, random: randomOf(seed + i), timeoutMs: REQUEST_TIMEOUT_MS + MARGIN_MS })
  )
  const reads: Read[] = []
  const readAnswers = new Map<string, number>()
  const over = stormOver(() =>
    Math.min(
      reads.length,
      clients.reduce((sum, { acknowledged }) => sum + acknowledged.length, 0)
    )
  )
  const [kills] = await Promise.all([
    storm(database, over),
    ...clients.map((client) => client.run(over)),
    ...[0, 1, 2].map((i) => read(url(), users, clients, randomOf(seed - 1 - i), over, reads, readAnswers))
  ])
  const calmAt = performance.now()
  t.equal((await request(`${service.url}/readyz`)).status, 200, 'ready at once')
  t.equal((await appendTo(service.url, randomUUID(), [userCreated()])).status, 201, 'takes appends at once')
  t.ok(performance.now() - calmAt < 2000, `healthy ${Math.round(performance.now() - calmAt)} ms after the end`)

  t.comment(`${kills} kills; reads ${JSON.stringify(Object.fromEntries(readAnswers))}`)
  t.ok(kills > 100, 'it stormed')
  const answers = assertHonest(t, clients)
  t.strictSame(
    Object.keys(answers).filter((code) => !APPEND_CODES.includes(code)),
    [],
    'appends: only what is documented'
  )
  t.strictSame(
    [...readAnswers.keys()].filter((code) => !READ_CODES.includes(code)),
    [],
    'reads: only what is documented'
  )
  t.strictSame(
    service.output.filter((line) => line.includes('INTERNAL_ERROR')).slice(0, 3),
    [],
    'nothing failed that has no name'
  )
  const log = await readIntactLog(t, database)
  const acknowledged = clients.flatMap((client) => client.acknowledged)
  t.ok(
    acknowledged.length >= ENOUGH && reads.length >= ENOUGH,
    `${acknowledged.length} events and ${reads.length} reads got through`
  )
  assertKept(t, log, acknowledged)
  const issued = new Set(acknowledged.map(({ id }) => id))
  t.equal(log.length, issued.size + 1, 'nothing is stored that was not acknowledged in the end')
  await assertReadsRight(t, database, reads)
  t.equal(await service.end('SIGTERM'), 0)
})

function stormOver(gotThrough: () => number): () => boolean {
  const startedAt = performance.now()
  return () => {
    const tookMs = performance.now() - startedAt
    return tookMs > STORM_MAX_MS || (tookMs > STORM_MS && gotThrough() >= ENOUGH)
  }
}

/** Kills every backend of the service every 20 ms, and ever more seldom after STORM_MS; returns how many. */
async function storm({ url, name }: TestDatabase, over: () => boolean): Promise<number> {
  const startedAt = performance.now()
  const sql = postgres(url, { max: 1, fetch_types: false, connection: { application_name: 'storm' } })
  let kills = 0
  while (!over()) {
    const rows = await sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = ${name} AND application_name = 'user-event-store'`
    kills += rows.length
    const tooLongMs = performance.now() - startedAt - STORM_MS
    await pause(Math.max(20, tooLongMs / 50))
  }
  await sql.end({ timeout: 5 })
  return kills
}

/** Reads states, now and then with all events folded, and notes what came. */
async function read(
  url: string,
  users: string[],
  clients: Client[],
  random: Random,
  over: () => boolean,
  reads: Read[],
  answers: Map<string, number>
): Promise<void> {
  while (!over()) {
    const userId = random.pick(users)
    const atLeast = Math.max(
      0,
      ...clients.flatMap(({ acknowledged }) =>
        acknowledged.filter((event) => event.userId === userId).map(({ version }) => version)
      )
    )
    const answer = await request(`${url}/users/${userId}/state${random.below(2) ? '' : '?useSnapshot=false'}`, {
      timeoutMs: REQUEST_TIMEOUT_MS + MARGIN_MS
    }).catch((err: Error) => ({ status: 0, data: { code: `no answer: ${err.name}` } as Record<string, any> }))
    const code = answer.data.code ?? String(answer.status)
    answers.set(code, (answers.get(code) ?? 0) + 1)
    if (answer.status === 200) {
      const { version, state } = answer.data
      reads.push({ userId, version, atLeast, state: JSON.stringify(state) })
    } else if (code === 'USER_NOT_FOUND' && atLeast > 0) reads.push({ userId, version: 0, atLeast, state: 'null' })
  }
}

async function assertReadsRight(t: Test, { run }: TestDatabase, reads: Read[]): Promise<void> {
  const catalog = createCatalog()
  const rows = await run<FoldEvent & { userId: string }>(
    `SELECT "aggregateId" AS "userId", version, "eventType", "schemaVersion", "eventData", "createdAt" FROM user_events ORDER BY "aggregateId", version`
  )
  const streams = new Map<string, FoldEvent[]>()
  for (const row of rows) {
    const stream = streams.get(row.userId) ?? []
    stream.push({ ...row, createdAt: new Date(row.createdAt).toISOString() })
    streams.set(row.userId, stream)
  }
  const wrong = reads.filter(({ userId, version, atLeast, state }) => {
    const events = (streams.get(userId) ?? []).slice(0, version)
    const folded = fold(catalog, { tenantId: DEFAULT_TENANT, userId }, nothingFolded, events)
    return version < atLeast || folded.version !== version || JSON.stringify(folded.state) !== state
  })
  t.strictSame(
    wrong.slice(0, 3),
    [],
    `${reads.length} states are the fold of the events up to their version, and none is stale`
  )
}
