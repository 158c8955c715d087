/** Unique fields under chance, races and kills: what is taken is always what the users have. */
import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { assertClaims, claimsIn } from '../support/claims.js'
import { type TestDatabase, testDatabase } from '../support/db.js'
import { newUserId, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { appendTo } from '../support/http.js'
import { importedEvent, sendLines } from '../support/import.js'
import { readIntactLog } from '../support/log.js'
import { verdict } from '../support/problem.js'
import { startProcess } from '../support/process.js'
import { type Random, randomOf, seedOf } from '../support/random.js'
import { type Answer, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const env = { UNIQUE_CLAIMS: 'username,email' }
const TENANTS = [randomUUID(), randomUUID()]
/** As they are written, in either case and composition; a few, so that they clash often. */
const NAMES = ['ada', 'ADA', 'Bob', 'bob', 'zo\u00eb', 'ZOE\u0308', 'eve', 'max', 'kim', 'lee']

/** Number of the lock at which statements are held. */
const HELD = 4711

const key = (name: string): string => name.normalize('NFC').toLowerCase()

type Content = { eventType: string; eventData: { username?: string; email?: string } }
type Life = { userId: string; tenantId: string; version: number; deleted: boolean; username: string; email: string }

/** Some events that can follow the life so far. */
function drawEvents(random: Random, life: Life): Content[] {
  const email = () => `${random.pick(NAMES)}@example.com`
  const events: Content[] = life.version === 0 ? [userCreated(random.pick(NAMES), { email: email() })] : []
  for (let more = random.below(3) + (events.length ? 0 : 1); more > 0; more--) {
    const lot = random.next()
    if (lot < 0.3) events.push(userUpdated({ username: random.pick(NAMES) }) as Content)
    else if (lot < 0.6) events.push(userUpdated({ email: email() }) as Content)
    else events.push(userUpdated({ fullName: 'Ada' }) as Content)
  }
  if (random.next() < 0.15) events.push(userDeleted() as Content)
  return events
}

const after = (life: Life, events: readonly Content[]): Life => {
  const next = { ...life, version: life.version + events.length }
  for (const { eventType, eventData } of events) {
    next.username = eventData.username ?? next.username
    next.email = eventData.email ?? next.email
    next.deleted = eventType === 'UserDeleted'
  }
  return next
}

/** Asks again while the service says that it has too much to do, which a busy machine brings about: nothing is stored then. */
const settled = (ask: () => Promise<Answer>): Promise<Answer> =>
  until(
    async () => {
      const answer = await ask()
      return answer.statusCode === 503 && answer.data.code === 'OVERLOADED' ? null : answer
    },
    { what: 'an answer', everyMs: 50 }
  )

/** Which field of `next` is another's. */
const clashOf = (lives: Iterable<Life>, next: Life): string | undefined => {
  if (next.deleted) return undefined
  const others = [...lives].filter(
    (life) => life.userId !== next.userId && life.tenantId === next.tenantId && life.version > 0 && !life.deleted
  )
  return (['email', 'username'] as const).find((field) =>
    others.some((other) => key(other[field]) === key(next[field]))
  )
}

for (const buckets of ['1', '3']) {
  t.test(
    `property: each answer is that of a model, and claims are the fold, with EVENT_BUCKETS=${buckets}`,
    async (t) => {
      const random = randomOf(seedOf(t))
      const database = await testDatabase(t)
      const settings = { ...env, EVENT_BUCKETS: buckets }
      const stores = [
        await testService(t, { database, env: settings }),
        await testService(t, { database, env: settings })
      ]
      const lives = new Map<string, Life>()
      const wrong: string[] = []
      const found = new Map<string, number>()
      for (let step = 0; step < 300; step++) {
        const living = [...lives.values()].filter(({ deleted }) => !deleted)
        const fresh = {
          userId: newUserId(),
          tenantId: random.pick(TENANTS),
          version: 0,
          deleted: false,
          username: '',
          email: ''
        }
        const life = living.length < 4 || random.next() < 0.4 ? fresh : random.pick(living)
        const events = drawEvents(random, life)
        const headers = { 'x-tenant-id': life.tenantId }
        let expected = '201'
        let outcome: string
        if (random.next() < 0.3) {
          // Line by line: the history counts, not only where it leads.
          let now = life
          let good = 0
          for (const event of events) {
            const next = after(now, [event])
            if (clashOf(lives.values(), next)) break
            now = next
            good++
          }
          const lines = events.map((event, i) =>
            importedEvent(life.userId, life.version + i + 1, event, { createdAt: new Date().toISOString() })
          )
          const answer = await settled(() => sendLines(random.pick(stores), lines, headers))
          expected = good === events.length ? `200 ${good}` : `422 ${good} CLAIM_TAKEN at ${good + 1}`
          const { imported, lineCode, line } = answer.data
          outcome = `${answer.statusCode} ${imported}${lineCode ? ` ${lineCode} at ${line}` : ''}`
          if (now.version > 0) lives.set(life.userId, now)
        } else {
          const next = after(life, events)
          const clash = clashOf(lives.values(), next)
          const answer = await settled(() => random.pick(stores).append(life.userId, events, { headers }))
          if (clash) expected = `409 CLAIM_TAKEN ${clash}`
          else lives.set(life.userId, next)
          outcome = verdict(answer) + (answer.data.field ? ` ${answer.data.field}` : '')
        }
        if (outcome !== expected) wrong.push(`step ${step}: ${outcome} instead of ${expected}`)
        found.set(outcome, (found.get(outcome) ?? 0) + 1)
      }
      t.comment(JSON.stringify(Object.fromEntries(found)))
      t.strictSame(wrong.slice(0, 3), [])
      t.ok(found.get('409 CLAIM_TAKEN email')! > 5 && found.get('201')! > 5, 'both were tried')
      await assertClaims(t, stores[0]!)
    }
  )

  t.test(`racing creates, renames and deletions at two instances, with EVENT_BUCKETS=${buckets}`, async (t) => {
    const seed = seedOf(t)
    const database = await testDatabase(t)
    const settings = { ...env, EVENT_BUCKETS: buckets }
    const stores = [
      await testService(t, { database, env: settings }),
      await testService(t, { database, env: settings })
    ]
    const answers = new Map<string, number>()
    await Promise.all(
      Array.from({ length: 16 }, async (_, client) => {
        const random = randomOf(seed + client)
        let life: Life | null = null
        for (let step = 0; step < 25; step++) {
          life ??= { userId: newUserId(), tenantId: TENANTS[0]!, version: 0, deleted: false, username: '', email: '' }
          const events = drawEvents(random, life)
          const headers = { 'x-tenant-id': life.tenantId }
          const { userId } = life
          const found = verdict(await settled(() => stores[client % 2]!.append(userId, events, { headers })))
          answers.set(found, (answers.get(found) ?? 0) + 1)
          if (found === '201') life = after(life, events)
          if (life.deleted) life = null
        }
      })
    )
    t.comment(JSON.stringify(Object.fromEntries(answers)))
    t.strictSame([...answers.keys()].sort(), ['201', '409 CLAIM_TAKEN'])
    await assertClaims(t, stores[0]!)
  })
}

/** Has every statement that writes to `table` wait at its end, until `release`. */
async function holdWrites(t: Test, database: TestDatabase, table: string) {
  const sql = postgres(database.url, { max: 1, fetch_types: false })
  t.teardown(() => sql.end({ timeout: 5 }))
  await database.run(`
    CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(${HELD}); RETURN NULL; END';
    CREATE TRIGGER wait_here AFTER INSERT ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION wait_here()`)
  await sql.unsafe(`SELECT pg_advisory_lock(${HELD})`)
  const waiting = async (condition: string): Promise<number | undefined> => {
    const [row] = await sql.unsafe<{ pid: string }[]>(`
      SELECT pid FROM pg_locks WHERE NOT granted AND ${condition}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
    return row && Number(row.pid)
  }
  return {
    sql,
    /** a process that waits at the end of its statement */
    held: () => waiting(`locktype = 'advisory' AND objid = ${HELD}`),
    /** a process that waits for a lock which one of them has */
    behind: () => waiting(`objid IS DISTINCT FROM ${HELD}`),
    release: () => sql.unsafe(`SELECT pg_advisory_unlock(${HELD})`)
  }
}

t.test(
  'an append that is cut off after it took a value leaves nothing, and its repetition is stored once',
  async (t) => {
    const store = await testService(t, { env })
    const { database, append } = store
    const { sql, held, release } = await holdWrites(t, database, 'user_claims')
    const answer = append(newUserId(), [userCreated('ada')])
    const cutOff = await until(held, { what: 'an append that has taken its value' })
    await sql`SELECT pg_terminate_backend(${cutOff}::integer)`
    await until(async () => ((await held()) ?? cutOff) !== cutOff, { what: 'its repetition' })
    t.strictSame(await claimsIn(database), [], 'nothing is taken')
    t.strictSame(await readIntactLog(t, database), [], 'and nothing is stored')
    await release()
    t.equal(verdict(await answer), '201')
    t.equal((await readIntactLog(t, database)).length, 1)
    t.equal(await assertClaims(t, store), 2)
  }
)

t.test('switching on waits for an append that is under way, and sees it', async (t) => {
  const before = await testService(t)
  const { database } = before
  const { held, behind, release } = await holdWrites(t, database, 'user_events')
  const answer = before.append(newUserId(), [userCreated('ada')])
  await until(held, { what: 'an append that has stored its event' })
  const starting = testService(t, { database, env })
  await until(behind, { what: 'a start that waits for it' })
  await release()
  t.equal(verdict(await answer), '201')
  const store = await starting
  t.equal(await assertClaims(t, store), 2)
  t.equal(verdict(await before.append(newUserId(), [userCreated('ADA')])), '409 CLAIM_TAKEN')
})

t.test('kill -9 of the service under load, three times: no value stays taken, and none is had twice', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const processEnv = { DATABASE_URL: database.url, ...env }
  let service = await startProcess(t, processEnv)
  let stored = 0
  let done = false
  const clients = Array.from({ length: 6 }, async (_, client) => {
    const random = randomOf(seed + client)
    while (!done) {
      const userId = newUserId()
      let life: Life = { userId, tenantId: '', version: 0, deleted: false, username: '', email: '' }
      for (let steps = 0; steps < 4 && !done && !life.deleted; steps++) {
        const events = drawEvents(random, life)
        const answer = await appendTo(service.url, userId, events, { timeoutMs: 10_000 }).catch(() => null)
        // Whoever has no answer does not know what became of it, and goes on with another user.
        if (answer?.status !== 201 && answer?.status !== 409) break
        if (answer.status === 201) {
          life = after(life, events)
          stored++
        }
      }
    }
  })
  for (let kills = 0; kills < 3; kills++) {
    const before = stored
    await until(() => stored > before + 20, { what: 'some that are stored', timeoutMs: 30_000 })
    await service.end('SIGKILL')
    service = await startProcess(t, processEnv)
  }
  done = true
  await Promise.all(clients)
  await service.end('SIGTERM')
  await readIntactLog(t, database)
  t.ok((await assertClaims(t, await testService(t, { database, env }))) > 0)
})
