/** Runs of the archive that break off, at every step and at any moment: no answer changes, and another run ends the work. */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { openDb } from '../../src/db/client.js'
import {
  checkWindow,
  copyWindow,
  createPartitions,
  deleteWindow,
  insertRun,
  selectWindow
} from '../../src/store/archive.js'
import { claimLease } from '../../src/store/workers.js'
import { type Line, randomLines, registerMoved } from '../domain/history-lines.js'
import { answersOf, archived, FAST, followed, sameAnswers, someUsers } from '../support/archive.js'
import { type TestDatabase, testDatabase } from '../support/db.js'
import { updates, userCreated } from '../support/events.js'
import { importedEvent, sendLines } from '../support/import.js'
import { startProcess } from '../support/process.js'
import { randomOf, seedOf } from '../support/random.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

/** Every event stands in exactly one place, and the manifest has those that moved. */
async function assertWhole(t: Test, { run }: TestDatabase, events: number): Promise<void> {
  const [found] = await run<Record<'kept' | 'moved' | 'twice' | 'noted' | 'byMonth', string>>(
    `SELECT (SELECT count(*) FROM user_events) AS kept, (SELECT count(*) FROM user_events_archive) AS moved,
       (SELECT count(*) FROM user_events JOIN user_events_archive USING (bucket, "aggregateId", version)) AS twice,
       (SELECT sum(events) FROM archive_windows) AS noted, (SELECT sum(events) FROM archive_partitions) AS "byMonth"`
  )
  const { kept, moved, twice, noted, byMonth } = found!
  t.equal(Number(kept) + Number(moved), events, 'nothing is lost')
  t.strictSame([twice, noted, byMonth], ['0', moved, moved], 'nothing stands twice, and all that moved is noted')
}

/** Each event that is sent again is known, wherever it is, and one of other content under its id is refused. */
async function assertRetried(t: Test, { append }: TestService, lines: readonly Line[]): Promise<void> {
  const wrong: string[] = []
  for (const { aggregateId, version, id, eventType, schemaVersion, eventData, metadata, occurredAt } of lines) {
    const event = {
      id,
      eventType,
      schemaVersion,
      eventData,
      ...(metadata ? { metadata } : {}),
      ...(occurredAt ? { occurredAt } : {})
    }
    const same = await append(aggregateId, [event])
    if (same.data.duplicate !== true || same.data.version !== version) wrong.push(`${version}: ${same.body}`)
    const other = await append(aggregateId, [{ ...event, metadata: { another: true } }])
    if (other.data.code !== 'EVENT_ID_REUSED') wrong.push(`${version}: ${other.body}`)
  }
  t.strictSame(wrong, [], `${lines.length} retries`)
}

t.test('a run that broke off after any step goes on, and no answer changes at any of them', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const service = await testService(t, { database, env: FAST })
  await registerMoved(service)
  const lines = randomLines(seed)
  t.equal((await sendLines(service, lines)).statusCode, 200)
  const follower = await testService(t, { database, background: true })
  await followed(follower)
  await follower.service.stop()
  const shown = someUsers(lines, 2)
  const before = await answersOf(service, shown)

  const db = openDb(database.url)
  t.teardown(() => db.close())
  const run = (await insertRun(db, { origin: 'request', dryRun: false, cutoff: new Date().toISOString() }))!
  const { epoch } = (await claimLease(db, 0, 'archive', randomUUID(), 1))!
  const steps = ['partitions', 'copy', 'check', 'delete'] as const
  const span = { bucket: 0, span: 40, end: lines.length, cutoff: run.cutoff }
  for (const last of steps) {
    const window = await selectWindow(db, { ...span, after: 0 }, [])
    t.ok(window.parts.length > 0)
    await createPartitions(db, window)
    if (last !== 'partitions') await copyWindow(db, window)
    const hash = last === 'check' || last === 'delete' ? await checkWindow(db, window) : ''
    if (last === 'delete') t.ok((await deleteWindow(db, window, { epoch, runId: run.id, hash }))! > 0)
    sameAnswers(t, before, await answersOf(service, shown))
    await assertRetried(t, service, shown)
  }
  // Of users who have events in the archive, more stand on both sides.
  const further = await selectWindow(db, { ...span, after: 40 }, [])
  t.ok(further.parts.some(({ first }) => first > 1))
  await createPartitions(db, further)
  await copyWindow(db, further)
  sameAnswers(t, before, await answersOf(service, shown))
  await assertRetried(t, service, lines)
  t.equal(
    await deleteWindow(db, await selectWindow(db, { ...span, after: 0 }, []), {
      epoch: epoch - 1,
      runId: run.id,
      hash: ''
    }),
    null,
    'an old leader deletes nothing'
  )
  const worker = await testService(t, { database, background: true, env: FAST })
  await until(async () => (await worker.get('/admin/archive')).data.runs[0].status === 'done', { timeoutMs: 60_000 })
  sameAnswers(t, before, await answersOf(service, shown))
  await assertWhole(t, database, lines.length)
})

t.test('kill -9 of the instance that archives, again and again', async (t) => {
  const seed = seedOf(t)
  const random = randomOf(seed)
  const database = await testDatabase(t)
  const service = await testService(t, { database, env: FAST })
  await registerMoved(service)
  const lines = randomLines(seed)
  const others: Line[] = Array.from({ length: 60 }, () => randomUUID()).flatMap((userId) =>
    [userCreated(`u${userId.slice(0, 8)}`), ...updates(49)].map(
      (content, i) => importedEvent(userId, i + 1, content) as Line
    )
  )
  t.equal((await sendLines(service, [...lines, ...others])).statusCode, 200)
  const shown = someUsers(lines, 1)
  const before = await answersOf(service, shown)
  const env = { DATABASE_URL: database.url, ...FAST, ARCHIVE_EVENTS_PER_SECOND: '800' }
  let instance = await startProcess(t, env)
  await followed(service)
  const running = archived(service, { olderThanDays: 0 })
  const moved = async () => Number((await service.get('/admin/archive')).data.cold.events)
  let kills = 0
  for (let last = 0; kills < 4 && (await moved()) < others.length * 0.7; kills++) {
    await until(async () => (await moved()) > last, { timeoutMs: 60_000, everyMs: 10 })
    await pause(random.below(150))
    await instance.end('SIGKILL')
    // Another instance would wait for the end of the lease.
    await database.run(`UPDATE workers SET "leaseUntil" = '-infinity' WHERE name = 'archive'`)
    last = await moved()
    sameAnswers(t, before, await answersOf(service, shown))
    instance = await startProcess(t, env)
  }
  t.ok(kills >= 3, `${kills} kills`)
  t.hasStrict(await running, { status: 'done', error: null })
  sameAnswers(t, before, await answersOf(service, shown))
  await assertWhole(t, database, lines.length + others.length)
})
