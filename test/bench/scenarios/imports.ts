/** Import of a history into an empty store, against COPY of the same rows into the same table with its indexes. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { randomOf } from '../../support/random.js'
import { lazily } from '../lazily.js'
import type { Database, Server } from '../machine.js'
import type { Bench, Measure, Scenario } from './scenario.js'

const NIL = '00000000-0000-0000-0000-000000000000'
const EVENTS_PER_USER = 20
/** Users whose events come mixed, as they do in a log. */
const AT_ONCE = 500
const PART_BYTES = 64 * 1024
const COLUMNS = `bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", metadata, "tenantId", "occurredAt", "createdAt"`

const EVENTS = 200_000

export function imports({ bring }: Bench): Scenario[] {
  const prepare = lazily(async () => {
    const machine = await bring()
    const database = await machine.createDatabase('imported')
    return { ...history(EVENTS), database, service: await machine.startService(database) }
  })
  type Prepared = Awaited<ReturnType<typeof prepare>>
  const perSecond =
    (work: (prepared: Prepared) => Promise<void>): Measure =>
    async () => {
      const prepared = await prepare()
      const { database } = prepared
      await empty(database)
      const startedAt = performance.now()
      await work(prepared)
      const seconds = (performance.now() - startedAt) / 1000
      const [count] = await database.sql.unsafe('SELECT count(*)::integer AS events FROM user_events')
      if (count!.events !== EVENTS) throw new Error(`${count!.events} events are stored of ${EVENTS}.`)
      return EVENTS / seconds
    }
  return [
    {
      name: `import ${EVENTS} events into an empty store`,
      unit: 'rate',
      prepare,
      slow: true,
      measure: perSecond(({ service, lines }) => send(service, lines)),
      limits: [
        { name: 'COPY of the same rows', measure: perSecond(({ database, rows }) => copy(database, rows)), bar: 0.5 }
      ]
    }
  ]
}

/** The same history as an export would give it, and as COPY takes it. */
function history(events: number): { lines: Buffer; rows: Buffer } {
  const random = randomOf(1)
  const lines: string[] = []
  const rows: string[] = []
  const users = Array.from({ length: AT_ONCE }, () => ({ id: randomUUID(), version: 0 }))
  const startMs = Date.UTC(2024, 0, 1)
  for (let position = 1; position <= events; position++) {
    const at = random.below(AT_ONCE)
    if (users[at]!.version === EVENTS_PER_USER) users[at] = { id: randomUUID(), version: 0 }
    const user = users[at]!
    const version = ++user.version
    const createdAt = new Date(startMs + position * 100).toISOString()
    const [eventType, eventData] = contentOf(version)
    const id = randomUUID()
    const schemaVersion = 1
    lines.push(
      JSON.stringify({
        id,
        aggregateId: user.id,
        tenantId: NIL,
        position,
        version,
        eventType,
        schemaVersion,
        eventData,
        metadata: null,
        occurredAt: null,
        createdAt
      })
    )
    rows.push(
      [0, position, id, user.id, version, eventType, 1, JSON.stringify(eventData), '\\N', NIL, '\\N', createdAt].join(
        '\t'
      )
    )
  }
  return { lines: Buffer.from(`${lines.join('\n')}\n`), rows: Buffer.from(`${rows.join('\n')}\n`) }
}

function contentOf(version: number): [eventType: string, eventData: object] {
  if (version === 1) return ['UserCreated', { username: 'ada', email: 'ada@example.com' }]
  if (version % 2 === 0)
    return ['UserUpdated', { fullName: `Name ${version}`, attributes: { theme: 'dark', language: 'en' } }]
  return ['LoginInfoUpdated', { ipAddress: '203.0.113.7', loginAt: '2026-11-22T08:00:00.000Z' }]
}

async function empty({ sql }: Database): Promise<void> {
  await sql.unsafe(`SET user_event_store.maintenance = 'bench'`)
  await sql.unsafe('TRUNCATE user_events, event_statistics, largest_users')
  await sql.unsafe('UPDATE workers SET position = 0')
  await sql.unsafe('CHECKPOINT')
}

function* partsOf(bytes: Buffer): Generator<Buffer> {
  for (let from = 0; from < bytes.length; from += PART_BYTES) yield bytes.subarray(from, from + PART_BYTES)
}

/** By the plain client of Node: that of fetch takes as much of the processor as half of the service. */
async function send({ url }: Server, lines: Buffer): Promise<void> {
  const outgoing = request(`${url}/events/import`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', 'content-length': lines.length }
  })
  const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>
  await pipeline(Readable.from(partsOf(lines)), outgoing)
  const [response] = await answered
  const answer = await text(response)
  if (response.statusCode !== 200) throw new Error(`The import answered ${response.statusCode}: ${answer}`)
}

async function copy({ sql }: Database, rows: Buffer): Promise<void> {
  const into = await sql.unsafe(`COPY user_events (${COLUMNS}) FROM STDIN`).writable()
  await pipeline(Readable.from(partsOf(rows)), into)
}
