import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import type { DbError } from '../../src/db/pg-error.js'
import type { DomainError } from '../../src/domain/errors.js'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import {
  type AppendQueue,
  createAppendQueue,
  defaultLimits,
  type QueueLimits
} from '../../src/services/append-queue.js'
import type { AppendOutcome, AppendRequest } from '../../src/store/append.js'
import { type TestDatabase, testDb } from '../support/db.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { holdAppendLock } from '../support/lock.js'
import { readIntactLog } from '../support/log.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const BYTES = 10
const metrics = { appendBatch: () => {}, appendWaited: () => {} }

/** A request of `events` events that creates `userId`, or follows. */
function requestOf(
  userId: string,
  { events = 1, creates = true, eventType = 'UserUpdated', tenantId = DEFAULT_TENANT } = {}
): AppendRequest {
  return {
    tenantId,
    userId,
    expected: 'any',
    creates,
    repeatable: true,
    events: Array.from({ length: events }, (_, i) => ({
      id: randomUUID(),
      eventType: creates && i === 0 ? 'UserCreated' : eventType,
      schemaVersion: 1,
      schemaVersionAsked: false,
      dataText: '{}',
      metadataText: null,
      occurredAt: null
    }))
  }
}

/** A queue on a database whose appends wait: the first is in flight, so that all others line up behind it. */
async function blockedQueue(t: Test, limits: Partial<QueueLimits> = {}) {
  const { db, database } = await testDb(t)
  const queue = createAppendQueue({ db, metrics, limits: { ...defaultLimits, ...limits } })
  const lock = await holdAppendLock(t, database)
  const opening = queue.submit(0, requestOf(newUserId()), BYTES)
  opening.catch(() => {})
  await lock.untilWaiting()
  return { queue, database, lock, opening }
}

const submitAll = (queue: AppendQueue, requests: AppendRequest[], bytes = BYTES) =>
  requests.map((request) => {
    const answer = queue.submit(0, request, bytes)
    answer.catch(() => {})
    return answer
  })

const users = (count: number) => Array.from({ length: count }, newUserId)

/** Users of each transaction after the first, in order: every batch is one transaction. */
async function batchesOf({ run }: TestDatabase): Promise<string[][]> {
  const rows = await run<{ users: string }>(
    `SELECT json_agg(DISTINCT "aggregateId")::text AS users FROM user_events GROUP BY xmin::text ORDER BY min(position)`
  )
  return rows.slice(1).map((row) => JSON.parse(row.users))
}

const stored = (outcomes: AppendOutcome[]) => outcomes.filter(({ outcome }) => outcome === 'stored').length
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'stored',
    (err: DomainError) => err.code
  )

t.test('the queue takes as many requests as its limit says, and refuses the next at once', async (t) => {
  const { queue, lock, opening, database } = await blockedQueue(t, { queueRequests: 5 })
  const answers = submitAll(
    queue,
    users(4).map((user) => requestOf(user))
  )
  await t.rejects(queue.submit(0, requestOf(newUserId()), BYTES), {
    code: 'OVERLOADED',
    message: /5 appends are waiting/
  })
  await lock.release()
  t.equal(stored(await Promise.all([opening, ...answers])), 5)
  t.equal(
    stored(
      await Promise.all(
        submitAll(
          queue,
          users(5).map((user) => requestOf(user))
        )
      )
    ),
    5,
    'the places are free again'
  )
  t.equal((await readIntactLog(t, database)).length, 10)
})

t.test('the queue takes as many bytes as its limit says, and refuses one more', async (t) => {
  const { queue, lock, opening } = await blockedQueue(t, { queueBytes: BYTES + 100 })
  const [exact] = submitAll(queue, [requestOf(newUserId())], 60)
  await t.rejects(queue.submit(0, requestOf(newUserId()), 41), { code: 'OVERLOADED', message: /70 bytes/ })
  const [last] = submitAll(queue, [requestOf(newUserId())], 40)
  await t.rejects(queue.submit(0, requestOf(newUserId()), 1), { code: 'OVERLOADED', message: /110 bytes/ })
  await lock.release()
  t.equal(stored(await Promise.all([opening, exact!, last!])), 3)
  t.equal(stored([await queue.submit(0, requestOf(newUserId()), 110)]), 1)
})

t.test('tenants take turns: who has much waiting does not hold up who has little', async (t) => {
  const { queue, lock, opening, database } = await blockedQueue(t, { batchRequests: 4 })
  const quiet = users(3)
  const answers = [
    ...submitAll(
      queue,
      users(20).map((user) => requestOf(user))
    ),
    ...submitAll(
      queue,
      quiet.map((user) => requestOf(user, { tenantId: randomUUID() }))
    )
  ]
  await lock.release()
  t.equal(stored(await Promise.all([opening, ...answers])), 24)
  const batches = await batchesOf(database)
  t.equal(batches.length, 6)
  t.strictSame(
    quiet.filter((user) => !batches[0]!.includes(user)),
    [],
    'all three tenants that came last are in the first batch'
  )
})

t.test('in a full queue a tenant has its share, taken from who has most, and not one place more', async (t) => {
  const cases = [
    { limits: { queueRequests: 6 }, share: 3 },
    { limits: { queueRequests: 5 }, share: 2 },
    { limits: { queueBytes: 6 * BYTES }, share: 3 },
    { limits: { queueBytes: 5 * BYTES }, share: 2 }
  ]
  for (const { limits, share } of cases) {
    const { queue, lock, opening, database } = await blockedQueue(t, limits)
    const others = (limits.queueRequests ?? limits.queueBytes / BYTES) - 1
    const noisy = submitAll(
      queue,
      users(others).map((user) => requestOf(user))
    )
    const tenantId = randomUUID()
    const ask = () => queue.submit(0, requestOf(newUserId(), { tenantId }), BYTES)
    const quiet = Array.from({ length: share }, ask)
    await t.rejects(ask(), { code: 'OVERLOADED' }, `${share} places are the share of one of two`)
    await t.rejects(queue.submit(0, requestOf(newUserId()), BYTES), { code: 'OVERLOADED' }, 'also for the other')
    const codes = Promise.all(noisy.map(codeOf))
    await lock.release()
    t.equal(stored(await Promise.all([opening, ...quiet])), 1 + share)
    t.strictSame(
      await codes,
      noisy.map((_, i) => (i < others - share ? 'stored' : 'OVERLOADED')),
      'the last give way'
    )
    t.equal((await readIntactLog(t, database)).length, others + 1)
  }
})

t.test('at the deadline what was sent is unknown and what was not is overload; both say so over HTTP', async (t) => {
  const { append, database } = await testService(t, { env: { REQUEST_TIMEOUT_MS: '1000' } })
  const lock = await holdAppendLock(t, database)
  const sent = append(newUserId(), [userCreated()])
  await lock.untilWaiting()
  const [unknown, waiting] = await Promise.all([sent, append(newUserId(), [userCreated()])])
  t.equal(unknown.statusCode, 503)
  t.match(unknown.data, { code: 'OUTCOME_UNKNOWN', eventIds: [/^[0-9a-f-]{36}$/] })
  t.equal(waiting.statusCode, 503)
  t.match(waiting.data, { code: 'OVERLOADED' })
  for (const { headers } of [unknown, waiting]) t.ok(Number(headers['retry-after']) >= 1, 'with Retry-After')

  const after = append(newUserId(), [userCreated()])
  await lock.release()
  t.equal((await after).statusCode, 201, 'the next goes through as soon as the way is free')
  const log = await readIntactLog(t, database)
  t.equal(log.length, 2, 'what was sent is stored in the end, what was not sent is not')
})

t.test('the lock is waited for beyond lock_timeout, in several tries', async (t) => {
  const { db, database } = await testDb(t, { statementTimeoutMs: 100 })
  const queue = createAppendQueue({ db, metrics, limits: { ...defaultLimits, deadlineMs: 20_000 } })
  const lock = await holdAppendLock(t, database)
  const answer = queue.submit(0, requestOf(newUserId()), BYTES)
  for (let tries = 0; tries < 3; tries++) {
    await lock.untilWaiting()
    await until(async () => (await lock.waiting()).length === 0, { what: 'the try to be given up' })
  }
  await lock.release()
  t.equal((await answer).outcome, 'stored')
  t.equal((await readIntactLog(t, database)).length, 1)
})

t.test('a request that the database refuses fails alone', async (t) => {
  for (const place of [0, 4, 9]) {
    const { queue, lock, opening, database } = await blockedQueue(t)
    const requests = users(10).map((user, i) =>
      i === place ? requestOf(user, { creates: false, eventType: 'x'.repeat(101) }) : requestOf(user)
    )
    // It must be one that would be stored, or its type would not be looked at.
    requests[place] = { ...requests[place]!, creates: true }
    const answers = submitAll(queue, requests)
    await lock.release()
    const refused = await answers[place]!.catch((err: DbError) => err)
    t.match(refused, { outcome: 'definite', sqlState: '22001' })
    const others = await Promise.all([opening, ...answers.filter((_, i) => i !== place)])
    t.equal(stored(others), 10, `its neighbours are stored when it stands at ${place}`)
    t.equal((await readIntactLog(t, database)).length, 10)
  }
})

t.test('a request that a unique key refuses fails alone', async (t) => {
  const { queue, lock, opening, database } = await blockedQueue(t, { deadlineMs: 2000 })
  const twice = requestOf(newUserId(), { events: 2 })
  twice.events[1]!.id = twice.events[0]!.id
  const [first, bad, last] = submitAll(queue, [requestOf(newUserId()), twice, requestOf(newUserId())])
  await lock.release()
  t.equal(stored(await Promise.all([opening, first!, last!])), 3)
  // It is tried until its time is up; what it is told then depends on whether a try is under way at that moment.
  await t.rejects(bad!, { code: /^(DATABASE_UNAVAILABLE|OUTCOME_UNKNOWN)$/ })
  t.equal((await readIntactLog(t, database)).length, 3)
})

t.test('a batch holds as many requests, events and bytes as its limits say, and not one more', async (t) => {
  const cases = [
    { limits: { batchRequests: 3 }, requests: () => users(3).map((user) => requestOf(user)), batches: [3] },
    { limits: { batchRequests: 3 }, requests: () => users(4).map((user) => requestOf(user)), batches: [3, 1] },
    {
      limits: { batchEvents: 10 },
      requests: () => users(2).map((user) => requestOf(user, { events: 5 })),
      batches: [2]
    },
    {
      limits: { batchEvents: 10 },
      requests: () => users(2).map((user, i) => requestOf(user, { events: 5 + i })),
      batches: [1, 1]
    },
    {
      limits: { batchEvents: 10 },
      requests: () => users(1).map((user) => requestOf(user, { events: 30 })),
      batches: [1]
    },
    { limits: { batchBytes: 2 * BYTES }, requests: () => users(2).map((user) => requestOf(user)), batches: [2] },
    { limits: { batchBytes: 2 * BYTES - 1 }, requests: () => users(2).map((user) => requestOf(user)), batches: [1, 1] }
  ]
  for (const { limits, requests, batches } of cases) {
    const { queue, lock, opening, database } = await blockedQueue(t, limits)
    const answers = submitAll(queue, requests())
    await lock.release()
    await Promise.all([opening, ...answers])
    t.strictSame(
      (await batchesOf(database)).map(({ length }) => length),
      batches,
      JSON.stringify(limits)
    )
  }
})

t.test('requests of one user are carried out in their order, at most one of them in a batch', async (t) => {
  const { queue, lock, opening, database } = await blockedQueue(t)
  const [ada, bob] = users(2) as [string, string]
  const order = [ada, ada, bob, ada, bob]
  const seen = new Set<string>()
  const requests = order.map((user) => {
    const creates = !seen.has(user)
    seen.add(user)
    return requestOf(user, { creates })
  })
  const answers = submitAll(queue, requests)
  await lock.release()
  await Promise.all([opening, ...answers])
  t.strictSame(
    (await batchesOf(database)).map((batch) => batch.sort()),
    [[ada, bob].sort(), [ada, bob].sort(), [ada]]
  )
  const log = await readIntactLog(t, database)
  for (const user of [ada, bob]) {
    t.strictSame(
      log.filter(({ userId }) => userId === user).map(({ id }) => id),
      requests.filter(({ userId }) => userId === user).map(({ events }) => events[0]!.id)
    )
  }
})

t.test('close refuses what is new and waits until all that was queued has its answer', async (t) => {
  const { queue, lock, opening, database } = await blockedQueue(t)
  const answers = submitAll(
    queue,
    users(5).map((user) => requestOf(user))
  )
  let closed = false
  const closing = queue.close().then(() => {
    closed = true
  })
  t.equal(await codeOf(queue.submit(0, requestOf(newUserId()), BYTES)), 'SHUTTING_DOWN')
  t.notOk(closed)
  await lock.release()
  await closing
  t.equal(stored(await Promise.all([opening, ...answers])), 6)
  t.equal((await readIntactLog(t, database)).length, 6)
})

t.test('close of an idle queue ends at once', async (t) => {
  const { db } = await testDb(t)
  const queue = createAppendQueue({ db, metrics })
  t.equal((await queue.submit(0, requestOf(newUserId()), BYTES)).outcome, 'stored')
  await queue.close()
})

t.test('a thousand appends at once to one service are all stored or refused with 503, none twice', async (t) => {
  const { append, database } = await testService(t)
  const ids = users(200)
  await Promise.all(ids.map((id) => append(id, [userCreated()])))
  const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => append(ids[i % 200]!, updates(1))))
  const codes = new Set(answers.map(({ statusCode }) => statusCode))
  t.ok(
    [...codes].every((code) => code === 201 || code === 503),
    `codes ${[...codes]}`
  )
  const log = await readIntactLog(t, database)
  t.equal(log.length, 200 + answers.filter(({ statusCode }) => statusCode === 201).length)
})
