/** Partitions that are kept outside of the database: what is answered without them, and that they come back as they were. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Line } from '../domain/history-lines.js'
import { answersOf, archived, FAST, followed, sameAnswers } from '../support/archive.js'
import { cli } from '../support/cli.js'
import { updates, userCreated, userUpdated } from '../support/events.js'
import { importedEvent, sendLines } from '../support/import.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'
import { firstArrivals, testTaker } from '../support/taker.js'
import { until } from '../support/wait.js'

const [JANUARY, FEBRUARY] = ['user_events_archive_2020_01', 'user_events_archive_2020_02']

/** Three users: one of January 2020 alone, one of January to March, one of now. All but the newest events are archived. */
async function archivedService(t: Test) {
  const service = await testService(t, { background: true, env: { ...FAST, WEBHOOK_PRIVATE_ADDRESSES: 'true' } })
  const [early, long, fresh] = [randomUUID(), randomUUID(), randomUUID()]
  const at = (month: number, version: number) => ({
    createdAt: new Date(Date.UTC(2020, month, 1) + version).toISOString()
  })
  const text = {
    fullName: 'Line separators \u2028 and \u2029, "quotes", 1e400 is too much',
    attributes: { n: 0.1, big: 12345678901234 }
  }
  const lines = [
    importedEvent(early, 1, userCreated('early'), at(0, 1)),
    importedEvent(long, 1, userCreated('long'), at(0, 1)),
    ...updates(8).map((content, i) => importedEvent(long, i + 2, content, at(Math.floor(i / 3), i + 2))),
    importedEvent(early, 2, userUpdated(text), {
      ...at(0, 2),
      metadata: { by: 'x' },
      occurredAt: '2019-05-05T05:05:05.005Z'
    }),
    importedEvent(early, 3, userUpdated(), at(0, 3))
  ] as Line[]
  const sent = await sendLines(service, lines)
  if (sent.statusCode !== 200) throw new Error(sent.body)
  await service.append(fresh, [userCreated('fresh'), ...updates(3)])
  await followed(service)
  const before = await answersOf(service, lines)
  await archived(service, { olderThanDays: 0 })
  const folder = await mkdtemp(join(tmpdir(), 'archive-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return { service, lines, before, folder, early, long, fresh }
}

t.test(
  'a partition leaves the database and comes back, and every answer is right or says what is missing',
  async (t) => {
    const { service, lines, before, folder, early, long, fresh } = await archivedService(t)
    const { get, append } = service
    const written = await cli(service.database, 'archive', 'export', '--partition', JANUARY, '--to', folder)
    t.match(written, { code: 0, out: /Wrote and verified \d+ events, \d+ bytes, SHA-256 [0-9a-f]{64}/ })
    const manifest = JSON.parse(await readFile(join(folder, `${JANUARY}.manifest.json`), 'utf8'))
    t.hasStrict(manifest, { format: 1, partition: JANUARY, events: 6, schemaVersions: { UserUpdated: [1] } })
    sameAnswers(t, before, await answersOf(service, lines))
    t.match(await cli(service.database, 'archive', 'detach', '--partition', JANUARY), { code: 0, out: /6 events/ })

    const offline = await answersOf(service, lines)
    const wrong = [...offline].filter(([url, answer]) => {
      return (
        answer !== before.get(url) &&
        !(answer.startsWith('503 ') && answer.includes(`"partition":"${JANUARY}"`)) &&
        !url.startsWith('verify')
      )
    })
    t.strictSame(wrong, [], 'an answer is as before, or names the partition')
    const answered = [...offline.values()].filter((answer) => answer.startsWith('200 ')).length
    t.ok(answered > 10, `${answered} of ${offline.size} are answered`)
    const facts = { partition: JANUARY }
    refused(t, await get(`/users/${long}/events`), '503 ARCHIVE_OFFLINE', facts)
    refused(t, await get(`/users/${long}/state?version=2`), '503 ARCHIVE_OFFLINE', facts)
    refused(t, await get(`/users/${long}/state?useSnapshot=false`), '503 ARCHIVE_OFFLINE', facts)
    refused(t, await get(`/users/${long}/state?at=2020-01-20T00:00:00Z`), '503 ARCHIVE_OFFLINE', facts)
    refused(t, await get('/events'), '503 ARCHIVE_OFFLINE', facts)
    for (const url of [
      `/users/${long}/state`,
      `/users/${early}/state`,
      `/users/${long}/events?from=2020-02-01T00:00:00Z`,
      `/users/${long}/events?fromVersion=6`,
      `/users/${fresh}/events`,
      `/events?userId=${fresh}`,
      '/events?direction=backward&limit=4',
      '/stats/events'
    ])
      t.equal((await get(url)).statusCode, 200, url)
    const { id, eventType, eventData } = lines[0]!
    const again = await append(early, [{ id, eventType, eventData }])
    t.hasStrict(again.data, { duplicate: true, version: 1 })
    const changed = { id, eventType, eventData: { ...(eventData as object), username: 'mallory' } }
    t.equal(verdict(await append(early, [changed])), '409 EVENT_ID_REUSED')
    t.hasStrict((await sendLines(service, lines)).data, { imported: 0, duplicates: lines.length })
    const { cursor } = { cursor: (await get('/events?direction=backward&limit=4')).data.next }
    t.equal(
      (await get(`/events?after=${cursor}&direction=forward`)).statusCode,
      200,
      'a cursor behind it is still good'
    )
    const taker = await testTaker(t)
    const subscription = { name: 'crm', sink: { kind: 'webhook', url: taker.url }, start: 'beginning' }
    t.equal((await service.post('/admin/subscriptions', subscription)).statusCode, 201)
    await until(async () => (await get('/admin/subscriptions/crm')).data.state === 'failing')
    t.match((await get('/admin/subscriptions/crm')).data.lastError, new RegExp(JANUARY))
    t.strictSame(taker.taken, [])
    t.hasStrict((await get('/admin/archive')).data, { offline: { events: 6 } })
    t.match(await cli(service.database, 'archive', 'list'), { code: 0, out: new RegExp(JANUARY) })

    t.match(await cli(service.database, 'archive', 'restore', '--partition', JANUARY), {
      code: 0,
      out: /6 events is back/
    })
    sameAnswers(t, before, await answersOf(service, lines))
    await until(() => taker.taken.length === lines.length + 4, { timeoutMs: 60_000, what: 'all events of the log' })
    t.strictSame(firstArrivals(taker.taken).get(long), [1, 2, 3, 4, 5, 6, 7, 8, 9], 'a new subscription gets them too')
    t.match(await cli(service.database, 'archive', 'restore', '--partition', JANUARY), {
      code: 1,
      err: /no partition that is offline/
    })
  }
)

t.test('what must stay is not taken away, and damage is found', async (t) => {
  const { service, folder } = await archivedService(t)
  const { post, ask, database } = service
  const detach = () => cli(service.database, 'archive', 'detach', '--partition', JANUARY)
  t.match(await detach(), { code: 1, err: /was not exported/ })
  t.match(await cli(service.database, 'archive', 'export', '--partition', 'users', '--to', folder), {
    code: 1,
    err: new RegExp(`There is no partition users. Those of this archive: ${JANUARY}, ${FEBRUARY}`)
  })
  t.match(await cli(service.database, 'archive', 'export', '--partition', JANUARY, '--to', folder), { code: 0 })

  const file = join(folder, `${JANUARY}.ndjson.gz`)
  const bytes = await readFile(file)
  const damaged = Buffer.from(bytes)
  damaged[40]! ^= 1
  await writeFile(file, damaged)
  t.match(await detach(), { code: 1, err: /is damaged/ })
  await writeFile(file, bytes)

  const subscription = { name: 'crm', sink: { kind: 'webhook', url: 'https://crm.example.com/' }, start: 'beginning' }
  t.equal((await post('/admin/subscriptions', subscription)).statusCode, 201)
  await post('/admin/subscriptions/crm/pause')
  t.match(await detach(), { code: 1, err: /have not been passed yet by the subscriptions: crm/ })
  await database.run('UPDATE subscription_checkpoints SET position = 16')
  await database.run(`INSERT INTO event_outbox (bucket, "subscriptionId", position, "aggregateId", version, status, attempts)
    SELECT 0, s.id, 1, gen_random_uuid(), 1, 'dead', 3 FROM subscriptions s`)
  t.match(await detach(), { code: 1, err: /are owed by the subscriptions: crm/ })
  t.equal((await ask({ method: 'DELETE', url: '/admin/subscriptions/crm' })).statusCode, 204)
  await service.service.stop()
  await database.run(`INSERT INTO archive_runs (origin, "dryRun", cutoff) VALUES ('request', true, now())`)
  t.match(await detach(), { code: 1, err: /a run of the archive is under way/ })
  await database.run(`UPDATE archive_runs SET status = 'done'`)
  t.match(await detach(), { code: 0 })

  await writeFile(file, damaged)
  t.match(await cli(service.database, 'archive', 'restore', '--partition', JANUARY), { code: 1, err: /is damaged/ })
  t.equal((await database.run(`SELECT FROM pg_class WHERE relname = '${JANUARY}'`)).length, 0)
  await writeFile(file, bytes)
  t.match(await cli(service.database, 'archive', 'restore', '--partition', JANUARY, '--from', folder), { code: 0 })
})
