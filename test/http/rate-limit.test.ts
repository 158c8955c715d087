/** How many requests a key may send in a second: on one instance, on two with a Redis, and when that is gone. */
import t, { type Test } from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { newUserId } from '../support/events.js'
import { verdict } from '../support/problem.js'
import { testRedis } from '../support/redis.js'
import { type Answer, type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const PER_SECOND = 5
const LIMITED = { ...GUARDED, RATE_LIMIT_PER_SECOND: String(PER_SECOND) }
const url = `/users/${newUserId()}/state`

type Headers = { authorization: string }

/** Answers to so many requests at once, which begin well within a second. */
const askAtOnce = (service: TestService, headers: Headers, count: number): Promise<Answer[]> =>
  Promise.all(Array.from({ length: count }, () => service.get(url, headers)))

const refusalsOf = (answers: Answer[]): number => answers.filter(({ statusCode }) => statusCode === 429).length

/** Services with the limit, on one database, and keys that all of them know and of which nothing was counted yet. */
async function limited(t: Test, { env = {}, instances = 1, keys = 1 } = {} as Setup) {
  const maker = await testService(t, { env: GUARDED })
  const made = await Promise.all(Array.from({ length: keys }, () => keyOf(maker, ['state:read'])))
  const options = { env: { ...LIMITED, ...env }, database: maker.database }
  const services = await Promise.all(Array.from({ length: instances }, () => testService(t, options)))
  return { services, service: services[0]!, keys: made }
}

type Setup = { env?: Record<string, string>; instances?: number; keys?: number }

async function metricOf(service: TestService, name: string): Promise<number> {
  const { body } = await service.get('/metrics', bearing(ADMIN_KEY))
  const samples = [...body.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'gm'))]
  return samples.reduce((sum, [, value]) => sum + Number(value), 0)
}

t.test('a key may send as many requests in a second as the limit says, and not one more', async (t) => {
  const { service, keys } = await limited(t, { keys: 4 })
  for (const [count, refusals] of [
    [PER_SECOND - 1, 0],
    [PER_SECOND, 0],
    [PER_SECOND + 1, 1],
    [3 * PER_SECOND, 2 * PER_SECOND]
  ] as const) {
    const answers = await askAtOnce(service, keys.pop()!, count)
    t.equal(refusalsOf(answers), refusals, `of ${count}`)
    t.equal(answers.filter(({ statusCode }) => statusCode === 404).length, count - refusals)
  }
  t.equal(await metricOf(service, 'event_rate_limited_requests_total'), 1 + 2 * PER_SECOND)
})

t.test('an answer tells what is left, and a refusal when to come back, and then it goes on', async (t) => {
  const {
    service,
    keys: [headers]
  } = await limited(t)
  const answers = await askAtOnce(service, headers!, PER_SECOND + 1)
  const left = answers.map((answer) => answer.headers['ratelimit-remaining'])
  t.strictSame(left, ['4', '3', '2', '1', '0', '0'])
  for (const answer of answers) t.match(answer.headers, { 'ratelimit-limit': '5', 'ratelimit-reset': '1' })
  const refusal = answers.at(-1)!
  t.equal(verdict(refusal), '429 RATE_LIMITED')
  t.match(refusal.headers, { 'retry-after': '1', 'content-type': /^application\/problem\+json/ })
  t.match(refusal.data, { status: 429, limit: PER_SECOND, detail: /^key:\w+ has sent more than 5 requests/ })
  const refusedAt = performance.now()
  await until(async () => (await service.get(url, headers)).statusCode === 404, { what: 'the next second' })
  const waitedMs = performance.now() - refusedAt
  t.ok(waitedMs < 3000, `after ${Math.round(waitedMs)} ms`)
})

t.test('whoever sends again as soon as there is a refusal gets few of them', async (t) => {
  const {
    service,
    keys: [headers]
  } = await limited(t)
  const [CLIENTS, WINDOWS] = [20, 3]
  const startedAt = performance.now()
  let [refusals, answered] = [0, 0]
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      while (performance.now() - startedAt < WINDOWS * 1000) {
        const { statusCode } = await service.get(url, headers!)
        if (statusCode === 429) refusals++
        else answered++
      }
    })
  )
  t.ok(refusals >= CLIENTS, `${refusals} refusals`)
  // Each is held until the window ends, or for 0.8 s of it.
  t.ok(refusals <= CLIENTS * WINDOWS * 2, `${refusals} refusals`)
  t.ok(answered >= PER_SECOND * WINDOWS, `${answered} answers`)
})

t.test('keys are counted apart; what is not let in, and operations, not at all', async (t) => {
  const { service, keys } = await limited(t, { keys: 2 })
  t.equal(refusalsOf(await askAtOnce(service, keys[0]!, PER_SECOND + 1)), 1)
  t.equal(refusalsOf(await askAtOnce(service, keys[1]!, PER_SECOND)), 0)
  const stranger = { authorization: 'Bearer nobody' }
  const strangers = await askAtOnce(service, stranger, 3 * PER_SECOND)
  t.ok(strangers.every((answer) => verdict(answer) === '401 UNAUTHENTICATED'))
  for (const path of ['/livez', '/readyz', '/metrics?x=1']) {
    const answers = await Promise.all(
      Array.from({ length: 3 * PER_SECOND }, () => service.get(path, bearing(ADMIN_KEY)))
    )
    t.ok(
      answers.every(({ statusCode, headers }) => statusCode === 200 && headers['ratelimit-limit'] === undefined),
      path
    )
  }
})

t.test('without the setting nobody is counted', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const answers = await askAtOnce(service, await keyOf(service, ['state:read']), 100)
  t.equal(refusalsOf(answers), 0)
  t.notOk('ratelimit-limit' in answers[0]!.headers)
})

t.test('where nobody has to say who they are, all are one', async (t) => {
  const service = await testService(t, { env: { RATE_LIMIT_PER_SECOND: '5' } })
  const answers = await Promise.all(Array.from({ length: 6 }, () => service.get(url)))
  t.equal(refusalsOf(answers), 1)
})

t.test('instances count together where they share a Redis, and each for itself where they do not', async (t) => {
  const redis = await testRedis(t)
  for (const [env, most] of [
    [{ REDIS_URL: redis.url }, PER_SECOND],
    [{}, 2 * PER_SECOND]
  ] as [Record<string, string>, number][]) {
    const { services, keys } = await limited(t, { env, instances: 2, keys: 3 })
    const [first, second] = services as [TestService, TestService]
    const warming = keys.pop()!
    if (env.REDIS_URL) for (const service of services) await untilShared(service, warming, redis.command)
    for (const [count, refusals] of [
      [most, 0],
      [most + 1, 1]
    ] as const) {
      const headers = keys.pop()!
      const half = Math.floor(count / 2)
      const answers = await Promise.all([askAtOnce(first, headers, half), askAtOnce(second, headers, count - half)])
      t.equal(refusalsOf(answers.flat()), refusals, `${count} requests${env.REDIS_URL ? ' with' : ' without'} Redis`)
    }
  }
})

t.test('when Redis is killed or silent no request fails, and counting goes on in the process', async (t) => {
  const redis = await testRedis(t)
  const { service, keys } = await limited(t, { env: { REDIS_URL: redis.url }, keys: 7 })
  const warming = keys.pop()!
  await untilShared(service, warming, redis.command)
  for (const end of [redis.kill, redis.freeze]) {
    const before = await metricOf(service, 'event_rate_counted_alone_total')
    await end()
    for (let round = 0; round < 3; round++) {
      const headers = keys.pop()!
      const startedAt = performance.now()
      let ms = Number.NaN
      const asked = Array.from({ length: PER_SECOND + 1 }, async () => {
        const answer = await service.get(url, headers)
        // A refusal is held back.
        if (answer.statusCode === 404) ms = performance.now() - startedAt
        return answer
      })
      const answers = await Promise.all(asked)
      t.equal(refusalsOf(answers), 1, 'the limit holds')
      t.equal(answers.filter(({ statusCode }) => statusCode === 404).length, PER_SECOND, 'the others have their answer')
      t.ok(ms < 5000, `and soon: ${Math.round(ms)} ms`)
    }
    t.ok((await metricOf(service, 'event_rate_counted_alone_total')) >= before + 3 * PER_SECOND)
    if (end === redis.kill) await redis.start()
    else redis.resume()
    await untilShared(service, warming, redis.command)
  }
})

/** Waits until what is counted here is in Redis. */
async function untilShared(
  service: TestService,
  headers: Headers,
  command: (...words: string[]) => Promise<unknown>
): Promise<void> {
  await until(
    async () => {
      await service.get(url, headers)
      const keys = (await command('KEYS', 'user-events-rate:*')) as string[]
      return keys.length > 0
    },
    { what: 'a count in Redis' }
  )
}
