import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { testDatabase } from '../support/db.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { appendTo, request } from '../support/http.js'
import { type ServiceProcess, startProcess } from '../support/process.js'
import { type TestService, testService } from '../support/service.js'
import { firstArrivals, testTaker } from '../support/taker.js'
import { until } from '../support/wait.js'

const PATH = '/admin/subscriptions'
const range = (to: number): number[] => Array.from({ length: to }, (_, i) => i + 1)

/** Claims that of each of `users` the versions 1 to `events` first came in order. */
function assertArrived(t: Test, firsts: Map<string, number[]>, users: readonly string[], events: number): void {
  t.strictSame(
    users.filter((userId) => JSON.stringify(firsts.get(userId)) !== JSON.stringify(range(events))),
    [],
    'every event of every user came, in order'
  )
}

t.test(
  'of 200 users two fail: 95 of 100 events of the others lag less than 2 s, those two end as dead letters and come in order',
  async (t) => {
    const USERS = 200
    const ROUNDS = 10
    const service = await testService(t, { background: true, env: { WEBHOOK_PRIVATE_ADDRESSES: 'true' } })
    const users = Array.from({ length: USERS }, newUserId)
    const bad = new Set(users.slice(0, 2))
    const taker = await testTaker(t)
    const lags: number[] = []
    let mended = false
    taker.answer = ({ subject, ...event }) => {
      if (mended) return 204
      if (bad.has(subject)) return 500
      lags.push(Date.now() - Date.parse((event as unknown as { time: string }).time))
      return 204
    }
    const retry = { baseDelayMs: 20, factor: 1.5, jitter: 0.1, maxAttempts: 4 }
    await service.post(PATH, { name: 'crm', sink: { kind: 'webhook', url: taker.url }, start: 'beginning', retry })

    const others = USERS - bad.size
    // Not before those of the round before were taken: the lag of a flood would be as long as the machine is slow.
    await inRounds(service, users, ROUNDS, (round) => until(() => lags.length >= round * others))
    await until(() => lags.length === others * ROUNDS)
    lags.sort((a, b) => a - b)
    const p95 = lags[Math.floor(lags.length * 0.95)]!
    t.comment(`the lag of 95 of 100 was at most ${p95} ms, the largest ${lags.at(-1)} ms`)
    t.ok(p95 < 2000, `${p95} ms`)
    const owed = async (status: string) =>
      (await service.get(`${PATH}/crm/outbox?status=${status}`)).data.owed as { userId: string; version: number }[]
    await until(async () => (await owed('dead')).length === bad.size)
    t.strictSame(new Set((await owed('dead')).map(({ userId }) => userId)), bad)
    t.ok((await owed('dead')).every(({ version }) => version === 1))
    await until(async () => (await owed('pending')).length === bad.size * (ROUNDS - 1))

    mended = true
    t.strictSame((await service.post(`${PATH}/crm/outbox/retry`, {})).data, { retried: bad.size })
    await until(() => taker.taken.length === USERS * ROUNDS)
    assertArrived(t, firstArrivals(taker.taken), users, ROUNDS)
    await until(async () => (await service.get(`${PATH}/crm`)).data.blockedUsers === 0)
  }
)

/** One event of each user, again and again. A round, counted from 0, begins when `ready` lets it. */
async function inRounds(
  { append }: TestService,
  users: readonly string[],
  rounds: number,
  ready: (round: number) => Promise<unknown> = async () => {}
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await ready(round)
    await Promise.all(users.map((userId) => append(userId, round === 0 ? [userCreated()] : updates(1))))
  }
}

t.test(
  'a batch that takes too long passes what was tried; what was not is sent next, and nothing comes twice',
  async (t) => {
    const [USERS, HANGING] = [100, 32]
    const service = await testService(t, { background: true, env: { WEBHOOK_PRIVATE_ADDRESSES: 'true' } })
    const taker = await testTaker(t)
    // Ten answers, then 16 requests that get none for 4 s, then 16 more: the time for sending is over before those end.
    let [asked, mended] = [0, false]
    taker.answer = () => {
      asked++
      return mended || asked <= 10 || asked > 10 + HANGING ? 204 : 0
    }
    const users = Array.from({ length: USERS }, newUserId)
    await inRounds(service, users, 1)
    const sink = { kind: 'webhook', url: taker.url, timeoutMs: 4000 }
    const retry = { baseDelayMs: 3_600_000, maxDelayMs: 3_600_000 }
    await service.post(PATH, { name: 'crm', sink, start: 'beginning', retry })
    const owed = async () =>
      (await service.get(`${PATH}/crm/outbox?status=pending`)).data.owed as { attempts: number }[]
    const first = await until(async () => {
      const found = await owed()
      return found.length > 0 ? found : null
    })
    t.equal(first.length, HANGING, 'only what was tried is owed')
    t.ok(
      first.every(({ attempts }) => attempts === 0),
      'and not blamed: the receiver may have gone amid the batch'
    )
    await until(() => taker.taken.length === USERS - HANGING)
    mended = true
    t.strictSame((await service.post(`${PATH}/crm/outbox/retry`, {})).data, { retried: HANGING })
    await until(() => taker.taken.length === USERS)
    await until(async () => (await owed()).length === 0)
    t.equal(countFirsts(taker.taken), USERS)
    t.equal(taker.taken.length, USERS)
  }
)

t.test('a stop in the middle of a batch blames nobody, and the next instance goes on', async (t) => {
  const database = await testDatabase(t)
  const taker = await testTaker(t)
  let asked = 0
  taker.answer = () => {
    asked++
    return 0
  }
  const open = () => testService(t, { database, background: true, env: { WEBHOOK_PRIVATE_ADDRESSES: 'true' } })
  const one = await open()
  const users = Array.from({ length: 40 }, newUserId)
  await inRounds(one, users, 1)
  const sink = { kind: 'webhook', url: taker.url, timeoutMs: 500 }
  await one.post(PATH, { name: 'crm', sink, start: 'beginning' })
  await until(() => asked > 0)
  await one.service.stop()
  const [row] = await database.run<{ state: string; owed: number }>(
    'SELECT state, (SELECT count(*)::integer FROM event_outbox) AS owed FROM subscriptions'
  )
  t.strictSame({ ...row }, { state: 'new', owed: 0 })
  taker.answer = () => 204
  await open()
  await until(() => taker.taken.length === users.length)
  assertArrived(t, firstArrivals(taker.taken), users, 1)
})

t.test(
  'a relay that is frozen until another took over breaks no order, loses nothing, and moves no checkpoint',
  async (t) => {
    const database = await testDatabase(t)
    const start = (): Promise<ServiceProcess> =>
      startProcess(t, { DATABASE_URL: database.url, WEBHOOK_PRIVATE_ADDRESSES: 'true' })
    const BATCH = 40
    const taker = await testTaker(t)
    const sink = { kind: 'webhook', url: taker.url }
    const leader = await start()
    const made = await request(`${leader.url}${PATH}`, {
      method: 'POST',
      body: { name: 'crm', sink, start: 'beginning', batchSize: BATCH }
    })
    t.equal(made.status, 201)
    const users = Array.from({ length: 20 }, () => randomUUID())
    for (const userId of users) await appendTo(leader.url, userId, [userCreated()])
    await until(() => taker.taken.length === users.length)
    const heir = await start()

    const checkpoints: number[] = []
    const watch = async (): Promise<boolean> => {
      const [row] = await database.run<{ position: string }>('SELECT position FROM subscription_checkpoints')
      checkpoints.push(Number(row!.position))
      return false
    }
    // Frozen with a batch in its hands: it was stopped by the request that brought one of the batch's events.
    let frozen = false
    taker.answer = () => {
      if (!frozen) {
        frozen = true
        leader.child.kill('SIGSTOP')
      }
      return 204
    }
    const EVENTS = 30
    for (let n = 1; n < EVENTS; n++) await Promise.all(users.map((userId) => appendTo(heir.url, userId, updates(1))))
    await until(async () => (await watch()) || firstArrivals(taker.taken).size * EVENTS === countFirsts(taker.taken), {
      timeoutMs: 60_000,
      what: 'the heir to deliver everything'
    })
    const before = taker.taken.length
    leader.child.kill('SIGCONT')
    await Promise.all(users.map((userId) => appendTo(heir.url, userId, updates(1))))
    await until(async () => (await watch()) || countFirsts(taker.taken) === users.length * (EVENTS + 1), {
      timeoutMs: 60_000,
      what: 'what came after it woke'
    })
    // The frozen one has had its turn when it writes again: it was refused, or is idle.
    t.equal((await request(`${leader.url}/readyz`)).status, 200)
    assertArrived(t, firstArrivals(taker.taken), users, EVENTS + 1)
    t.ok(
      checkpoints.every((position, i) => i === 0 || position >= checkpoints[i - 1]!),
      'the checkpoint only went up'
    )
    const duplicates = taker.taken.length - countFirsts(taker.taken)
    t.ok(duplicates <= 2 * BATCH, `${duplicates} came twice, ${taker.taken.length - before} after it woke`)
  }
)

const countFirsts = (taken: readonly { id: string }[]): number => new Set(taken.map(({ id }) => id)).size
