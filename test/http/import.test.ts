/** POST /events/import: what is stored, what is passed over, and what a bad line leaves behind. */
import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { ENVELOPE_BYTES_MAX } from '../../src/domain/imported-event.js'
import { IMPORT_BATCH_EVENTS } from '../../src/services/import-batch.js'
import { newUserId, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { importedEvent, sendLines, textOf } from '../support/import.js'
import { readIntactLog } from '../support/log.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'

const EVENT_BYTES_MAX = 4096
const service = await testService(t, { env: { EVENT_BYTES_MAX: String(EVENT_BYTES_MAX) } })
const { append, ask, get, database } = service
const send = (lines: string | readonly (object | string)[], headers: Record<string, string> = {}) =>
  sendLines(service, lines, headers)

/** A user's life of `count` events. */
const life = (count: number, userId = newUserId()): Record<string, unknown>[] =>
  Array.from({ length: count }, (_, i) =>
    importedEvent(userId, i + 1, i === 0 ? userCreated() : userUpdated({ fullName: `Name ${i}` }))
  )

const storedOf = async (userId: unknown): Promise<number> => (await get(`/users/${userId}/events`)).data.version ?? 0
const total = async (): Promise<number> => (await readIntactLog(t, database)).length

t.test('versions, ids and times are those of the lines; positions are new', async (t) => {
  const before = await total()
  const userId = newUserId()
  const [created, changed] = life(2, userId) as [Record<string, unknown>, Record<string, unknown>]
  Object.assign(created, { occurredAt: '2019-01-01T01:00:00.123456+01:00', metadata: { by: 'hand' }, position: 77 })
  const answer = await send([created, changed])
  t.equal(verdict(answer), '200')
  t.strictSame(answer.data, { lines: 2, imported: 2, duplicates: 0, head: before + 2 })
  const { data } = await get(`/users/${userId}/events?upcast=false`)
  t.strictSame(data.events[0], {
    ...created,
    tenantId: '00000000-0000-0000-0000-000000000000',
    position: before + 1,
    schemaVersion: 1,
    occurredAt: '2019-01-01T00:00:00.123Z'
  })
  t.hasStrict(data.events[1], { ...changed, position: before + 2, metadata: null, occurredAt: null })
  t.equal((await get(`/users/${userId}/state`)).data.state.createdAt, created.createdAt)
})

t.test('an import can be repeated, and a part of one be followed by the whole', async (t) => {
  const lines = [...life(3), ...life(2)]
  t.hasStrict((await send(lines.slice(0, 2))).data, { imported: 2, duplicates: 0 })
  t.hasStrict((await send(lines)).data, { lines: 5, imported: 3, duplicates: 2 })
  t.hasStrict((await send(lines)).data, { lines: 5, imported: 0, duplicates: 5 })
  t.hasStrict((await send([...lines, ...lines])).data, { imported: 0, duplicates: 10 })
})

t.test('a line that stands twice in one import is stored once, wherever batches end', async (t) => {
  const [first, second, third] = life(3) as [object, object, object]
  const answer = await send([first, first, second, first, second, third])
  t.hasStrict(answer.data, { imported: 3, duplicates: 3 })
})

t.test('a schema version that was left out may have been another one in a duplicate', async (t) => {
  const [created] = life(1) as [Record<string, unknown>]
  t.equal(verdict(await send([{ ...created, schemaVersion: 1 }])), '200')
  t.hasStrict((await send([created])).data, { duplicates: 1 })
  refused(t, await send([{ ...created, schemaVersion: 2 }]), '422 IMPORT_LINE_INVALID', { line: 1 })
})

t.test('empty lines are skipped but counted, and the last line needs no line feed', async (t) => {
  const [first, second] = life(2) as [object, object]
  const text = `\n\r\n${JSON.stringify(first)}\r\n  \n${JSON.stringify(second)}`
  t.hasStrict((await send(text)).data, { lines: 5, imported: 2 })
  for (const nothing of ['', '\n', '\n\n']) t.hasStrict((await send(nothing)).data, { imported: 0, duplicates: 0 })
  t.hasStrict((await ask({ method: 'POST', url: '/events/import' })).data, { lines: 0, imported: 0 })
})

t.test('lines of several users may stand in any order, each in the order of versions', async (t) => {
  const lives = [life(4), life(4), life(4)]
  const mixed = [0, 1, 2, 3].flatMap((i) => lives.map((events) => events[i]!))
  const before = await total()
  t.equal(verdict(await send(mixed)), '200')
  const { data } = await get(`/users/${lives[1]![0]!.aggregateId}/events`)
  t.strictSame(
    data.events.map(({ position }: { position: number }) => position - before),
    [2, 5, 8, 11],
    'positions follow the order of lines'
  )
})

t.test('an import continues what was appended, and appends continue what was imported', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  const createdAt = (await get(`/users/${userId}/events/1`)).data.createdAt
  const next = importedEvent(userId, 2, userUpdated({ fullName: 'B' }), { createdAt })
  t.hasStrict((await send([next])).data, { imported: 1 })
  t.equal(verdict(await append(userId, [userUpdated({ fullName: 'C' })], { expectedVersion: 2 })), '201')
  t.equal((await get(`/users/${userId}/state`)).data.state.fullName, 'C')
  const { data } = await get(`/users/${userId}/events`)
  const times = data.events.map((event: { createdAt: string }) => event.createdAt)
  t.strictSame(times, [...times].sort())
})

t.test(
  'every kind of bad line is named by number, reason and place; all before it is stored, nothing after',
  async (t) => {
    const other = newUserId()
    await append(other, [userCreated()], { headers: { 'x-tenant-id': randomUUID() } })
    const gone = life(1)
    await send([...gone, importedEvent(String(gone[0]!.aggregateId), 2, userDeleted())])
    const used = life(2)
    await send(used)
    const usedId = String(used[0]!.aggregateId)
    const fresh = newUserId()
    const ok = importedEvent(fresh, 1, userCreated())
    const { createdAt: _time, ...withoutTime } = ok
    const soon = new Date(Date.now() + 60_000).toISOString()
    const bad: [what: string, line: object | string, lineCode: string, pointer: string][] = [
      ['no JSON', '{"id":', 'MALFORMED_JSON', ''],
      ['no object', '[]', 'INVALID_EVENT_DATA', ''],
      ['a repeated key', '{"a":1,"a":2}', 'UNSAFE_JSON', '/a'],
      ['a number that would change', '{"version":12345678901234567890}', 'UNSAFE_JSON', '/version'],
      ['no time', withoutTime, 'INVALID_EVENT_DATA', '/createdAt'],
      ['an unknown member', { ...ok, color: 1 }, 'INVALID_EVENT_DATA', '/color'],
      ['an id that is no UUID', { ...ok, id: 'x' }, 'INVALID_EVENT_DATA', '/id'],
      ['version 0', { ...ok, version: 0 }, 'INVALID_EVENT_DATA', '/version'],
      ['another tenant', { ...ok, tenantId: randomUUID() }, 'INVALID_EVENT_DATA', '/tenantId'],
      ['an unknown type', { ...ok, version: 2, eventType: 'Danced' }, 'UNKNOWN_EVENT_TYPE', '/eventType'],
      ['an unknown schema version', { ...ok, schemaVersion: 99 }, 'UNKNOWN_SCHEMA_VERSION', '/schemaVersion'],
      ['wrong data', { ...ok, eventData: { username: 'a' } }, 'INVALID_EVENT_DATA', '/eventData/email'],
      ['a NUL', { ...ok, metadata: { a: '\0' } }, 'UNSAFE_JSON', '/metadata/a'],
      ['a time that is none', { ...ok, createdAt: '2024-02-30T00:00:00Z' }, 'INVALID_EVENT_DATA', '/createdAt'],
      ['an empty time', { ...ok, occurredAt: '' }, 'INVALID_EVENT_DATA', '/occurredAt'],
      ['the future', { ...ok, createdAt: soon }, 'INVALID_EVENT_DATA', '/createdAt'],
      ['another type first', importedEvent(fresh, 1, userUpdated()), 'INVALID_EVENT_DATA', '/eventType'],
      ['UserCreated later', importedEvent(fresh, 2, userCreated()), 'INVALID_EVENT_DATA', '/eventType'],
      ['a gap at the start', importedEvent(fresh, 2, userUpdated()), 'VERSION_CONFLICT', '/version'],
      ['a gap behind what is stored', importedEvent(usedId, 4, userUpdated()), 'VERSION_CONFLICT', '/version'],
      ['another event at its version', { ...used[1], id: randomUUID() }, 'VERSION_CONFLICT', '/version'],
      ['other data', { ...used[1], eventData: { fullName: 'X' } }, 'VERSION_CONFLICT', '/version'],
      ['other metadata', { ...used[1], metadata: {} }, 'VERSION_CONFLICT', '/version'],
      ['another time', { ...used[1], createdAt: '2020-01-01T00:00:00.009Z' }, 'VERSION_CONFLICT', '/version'],
      [
        'an id that is stored',
        { ...importedEvent(usedId, 3, userUpdated()), id: used[0]!.id },
        'EVENT_ID_REUSED',
        '/id'
      ],
      [
        'an earlier time',
        importedEvent(usedId, 3, userUpdated(), { createdAt: '2019-12-31T23:59:59.999Z' }),
        'INVALID_EVENT_DATA',
        '/createdAt'
      ],
      ['after a deletion', importedEvent(String(gone[0]!.aggregateId), 3, userUpdated()), 'USER_DELETED', '/eventType'],
      ["another tenant's user", importedEvent(other, 1, userCreated()), 'USER_ID_TAKEN', '/aggregateId']
    ]
    for (const [what, line, lineCode, pointer] of bad) {
      t.comment(what)
      const before = life(2)
      const after = life(1)
      const stored = await total()
      const answer = await send([...before, line, ...after])
      refused(t, answer, '422 IMPORT_LINE_INVALID', {
        line: 3,
        lineCode,
        pointer,
        imported: 2,
        duplicates: 0,
        storedAfter: 0
      })
      t.ok(answer.data.reason)
      t.equal(await storedOf(before[0]!.aggregateId), 2)
      t.equal(await total(), stored + 2)
      refused(t, await send([line, ...after]), '422 IMPORT_LINE_INVALID', { line: 1, lineCode, imported: 0 })
      refused(t, await send([...before, line]), '422 IMPORT_LINE_INVALID', {
        line: 3,
        lineCode,
        imported: 0,
        duplicates: 2
      })
      t.equal(await total(), stored + 2)
    }
  }
)

t.test('what contradicts a line of the same import is found as well', async (t) => {
  const [first, second, third] = life(3) as [Record<string, unknown>, Record<string, unknown>, Record<string, unknown>]
  const rows: [what: string, lines: object[], line: number, lineCode: string][] = [
    ['a gap', [first, third], 2, 'VERSION_CONFLICT'],
    ['the wrong order', [second, first], 1, 'VERSION_CONFLICT'],
    ['an id twice', [first, second, { ...third, id: first.id }], 3, 'EVENT_ID_REUSED'],
    ['a time that goes back', [first, { ...second, createdAt: '2019-01-01T00:00:00.000Z' }], 2, 'INVALID_EVENT_DATA']
  ]
  for (const [what, lines, line, lineCode] of rows) {
    const userId = newUserId()
    const answer = await send(lines.map((event) => ({ ...event, aggregateId: userId })))
    refused(t, answer, '422 IMPORT_LINE_INVALID', { line, lineCode, imported: line - 1 })
    t.equal(await storedOf(userId), line - 1, what)
  }
  const userId = newUserId()
  const end = [importedEvent(userId, 1, userCreated()), importedEvent(userId, 2, userDeleted())]
  const answer = await send([...end, importedEvent(userId, 3, userUpdated())])
  refused(t, answer, '422 IMPORT_LINE_INVALID', { line: 3, lineCode: 'USER_DELETED', imported: 2 })
})

/** Fails the test unless an import of `count` lines whose line `line` is `bad` stores exactly what stands before it. */
async function endsAt(t: Test, count: number, line: number, bad: object | string): Promise<void> {
  const lines: (object | string)[] = life(count)
  const userId = (lines[0] as Record<string, unknown>).aggregateId
  lines[line - 1] = bad
  const answer = await send(lines)
  refused(t, answer, '422 IMPORT_LINE_INVALID', { line, imported: line - 1, duplicates: 0 })
  t.equal(await storedOf(userId), line - 1, `bad line ${line} of ${count}`)
}

t.test('at the borders of batches a bad line stores what stands before it', async (t) => {
  const border = IMPORT_BATCH_EVENTS
  const stranger = () => importedEvent(newUserId(), 5, userUpdated())
  for (const line of [border - 1, border, border + 1, border + 2]) {
    await endsAt(t, border + 2, line, '{')
    await endsAt(t, border + 2, line, stranger())
  }
  for (const count of [border - 1, border, border + 1, 2 * border])
    t.hasStrict((await send(life(count))).data, { lines: count, imported: count })
  t.ok(await total())
})

t.test('sizes: data at the limit, a line at the limit, and one more', async (t) => {
  const dataOf = (bytes: number) => {
    const frame = JSON.stringify({ username: 'ada', email: 'ada@example.com', attributes: { text: '' } }).length
    return userCreated('ada', { attributes: { text: 'x'.repeat(bytes - frame) } })
  }
  t.equal(verdict(await send([importedEvent(newUserId(), 1, dataOf(EVENT_BYTES_MAX))])), '200')
  refused(t, await send([importedEvent(newUserId(), 1, dataOf(EVENT_BYTES_MAX + 1))]), '422 IMPORT_LINE_INVALID', {
    line: 1,
    lineCode: 'EVENT_TOO_LARGE'
  })
  const lineMax = EVENT_BYTES_MAX + ENVELOPE_BYTES_MAX
  const padded = (bytes: number) => JSON.stringify(importedEvent(newUserId(), 1, userCreated())).padEnd(bytes)
  for (const end of ['', '\n', `\n${textOf(life(1))}`]) {
    t.equal(verdict(await send(padded(lineMax) + end)), '200')
    const answer = await send(`${textOf(life(1))}${padded(lineMax + 1)}${end}`)
    refused(t, answer, '422 IMPORT_LINE_INVALID', { line: 2, imported: 1 })
    t.match(answer.data.reason, `longer than ${lineMax} bytes`)
  }
})

t.test('text that is not UTF-8 is a bad line', async (t) => {
  const good = textOf(life(1))
  const body = Buffer.concat([Buffer.from(good), Buffer.from([0x22, 0xff, 0x22, 0x0a])])
  const answer = await ask({
    method: 'POST',
    url: '/events/import',
    headers: { 'content-type': 'application/x-ndjson' },
    payload: body
  })
  refused(t, answer, '422 IMPORT_LINE_INVALID', { line: 2, imported: 1 })
  const name = 'Ægir 🜁'
  const userId = newUserId()
  t.equal(verdict(await send([importedEvent(userId, 1, userCreated('ada', { fullName: name }))])), '200')
  t.equal((await get(`/users/${userId}/state`)).data.state.fullName, name)
})

t.test('only lines are taken', async (t) => {
  for (const contentType of ['application/json', 'text/plain', 'application/jsonl']) {
    const answer = await send(life(1), { 'content-type': contentType })
    refused(t, answer, '415 UNSUPPORTED_MEDIA_TYPE')
  }
  const lines = { 'content-type': 'application/x-ndjson' }
  const answer = await ask({ method: 'POST', url: `/users/${newUserId()}/events`, headers: lines, payload: '{}' })
  refused(t, answer, '415 UNSUPPORTED_MEDIA_TYPE')
})

t.test('a tenant gets its own lines only', async (t) => {
  const tenantId = randomUUID()
  const lines = life(2)
  const userId = lines[0]!.aggregateId
  const headers = { 'x-tenant-id': tenantId }
  t.equal(verdict(await send([{ ...lines[0], tenantId: tenantId.toUpperCase() }, lines[1]!], headers)), '200')
  t.equal((await get(`/users/${userId}/events`, headers)).data.events[1].tenantId, tenantId)
  t.equal(await storedOf(userId), 0, 'the default tenant has no such user')
  refused(t, await send(lines), '422 IMPORT_LINE_INVALID', { line: 1, lineCode: 'USER_ID_TAKEN' })
  t.match(
    (await get('/metrics')).body,
    new RegExp(`event_store_events_total\\{event_type="UserCreated",tenant_id="${tenantId}"\\} 1`)
  )
})
