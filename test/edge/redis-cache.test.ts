/** The shared cache against a real Redis that is cold, down, killed, silent, flushed and full of garbage: answers stay right, and soon. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { compose } from '../../src/compose.js'
import { loadConfig } from '../../src/config.js'
import { fold, type KnownState, nothingFolded, type StateKey } from '../../src/domain/replay.js'
import { openRedisCache, type RedisCache, type RedisCacheOptions, VALUE_BYTES_MAX } from '../../src/edge/redis-cache.js'
import { SLICE_EVENTS, TAIL_EVENTS } from '../../src/store/replay.js'
import { instance, isLoad } from '../services/instance.js'
import { logins, newKey as newUser, testParts } from '../services/parts.js'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { startProxy } from '../support/proxy.js'
import { testRedis } from '../support/redis.js'
import { type TestService, testService } from '../support/service.js'
import { until } from '../support/wait.js'

const parts = await testParts(t)
const redis = await testRedis(t)
const { fingerprint } = parts.catalog

const newKey = (): StateKey => ({ ...newUser(), fingerprint })

const nameOf = ({ tenantId, userId }: StateKey): string => `user-state:${tenantId}:${userId}:${fingerprint}`

/** What an instance knows of a user with so many logins. */
function knownState(key: StateKey, version: number, attributes: Record<string, string> = {}): KnownState {
  const { state, asOf } = fold(parts.catalog, key, nothingFolded, logins(version))
  const more = { ...state!, attributes }
  return { version, asOf, state: more, text: JSON.stringify(more) }
}

/** Stores a state of a user and waits until it is there. */
async function store(cache: RedisCache, key: StateKey, known: KnownState): Promise<void> {
  await until(
    async () => {
      cache.put(key, known)
      return (await redis.command('GETRANGE', nameOf(key), '0', '10'))?.toString().startsWith(`${known.version}\n`)
    },
    { what: `version ${known.version} in Redis` }
  )
}

async function untilConnected(cache: RedisCache): Promise<void> {
  const key = newKey()
  const known = knownState(key, 1)
  await until(
    async () => {
      cache.put(key, known)
      return await cache.get(key)
    },
    { what: 'an answer of Redis' }
  )
}

/** A cache and what it complained of. It is patient: a busy machine must not look like a slow Redis. */
async function testCache(t: Test, options: Partial<RedisCacheOptions> = {}) {
  const trouble = { poisoned: 0, failed: 0 }
  const onTrouble = (kind: keyof typeof trouble) => trouble[kind]++
  const cache = openRedisCache({
    url: redis.url,
    onTrouble,
    timeoutMs: 5000,
    ...options
  })
  t.teardown(() => cache.close())
  await untilConnected(cache)
  trouble.failed = 0
  return { cache, trouble }
}

/** An instance that is connected and has nothing cached. */
async function coldInstance(t: Test) {
  const { shared, ...rest } = instance(t, parts, { redisUrl: redis.url })
  await untilConnected(shared!)
  rest.trouble.failed = 0
  return { ...rest, shared: shared! }
}

async function seeded(count: number): Promise<StateKey> {
  const key = newKey()
  await parts.seed(key, logins(count))
  return key
}

/** Sum of the values of a metric that have these labels. */
async function metric({ get }: TestService, name: string, labels = ''): Promise<number> {
  const lines = (await get('/metrics')).body.split('\n').filter((line) => line.startsWith(`${name}{`))
  return lines.filter((line) => line.includes(labels)).reduce((sum, line) => sum + Number(line.split(' ')[1]), 0)
}
const sharedHits = (service: TestService) => metric(service, 'event_cache_requests_total', 'tier="shared",result="hit"')
const failures = (service: TestService) => metric(service, 'event_cache_trouble_total', 'kind="failed"')

t.test('a state comes back as it was stored, under a key of its own that goes after a day', async (t) => {
  const { cache, trouble } = await testCache(t)
  const key = newKey()
  t.equal(await cache.get(key), null)
  const known = knownState(key, 3, { odd: 'é\u2028\n\\"\u0000😀', size: 'x'.repeat(10_000) })
  await store(cache, key, known)
  t.strictSame(await cache.get(key), known)
  const [ttl, ...others] = await Promise.all([
    redis.command('TTL', nameOf(key)),
    cache.get({ ...key, tenantId: newKey().userId }),
    cache.get({ ...key, userId: newKey().userId }),
    cache.get({ ...key, fingerprint: 'other rules' })
  ])
  t.ok(Number(ttl) > 86_000 && Number(ttl) <= 86_400)
  t.strictSame(others, [null, null, null], 'of another tenant, of another user, under other rules')
  t.strictSame(trouble, { poisoned: 0, failed: 0 })
})

t.test('states go up in version only, whoever comes first', async (t) => {
  const [one, other] = [(await testCache(t)).cache, (await testCache(t)).cache]
  const key = newKey()
  const versions = [3, 9, 1, 12, 10, 11, 2, 100, 99, 13]
  for (const [i, version] of versions.entries()) [one, other][i % 2]!.put(key, knownState(key, version))
  await until(async () => (await one.get(key))?.version === 100)
  t.equal((await other.get(key))?.version, 100)
  other.put(key, knownState(key, 100, { changed: 'yes' }))
  one.put(key, knownState(key, 99))
  await untilConnected(one) // Commands of a connection are answered in order.
  await untilConnected(other)
  t.strictSame(await one.get(key), knownState(key, 100), 'nor is a version stored twice')
})

t.test('what stands where a state belongs is overwritten unless it is a version as new', async (t) => {
  const { cache, trouble } = await testCache(t)
  for (const command of ['SET', 'APPEND', 'RPUSH', 'SADD', 'PFADD']) {
    const key = newKey()
    await redis.command(command, nameOf(key), 'garbage')
    cache.put(key, knownState(key, 3))
    await until(async () => (await redis.command('TYPE', nameOf(key))) === 'string', { what: command })
    await until(async () => String(await redis.command('GET', nameOf(key))).startsWith('3\n'), { what: command })
  }
  t.strictSame(trouble, { poisoned: 0, failed: 0 })
})

t.test('the largest value that is stored, and one that is larger', async (t) => {
  const { cache, trouble } = await testCache(t)
  const [key, other] = [newKey(), newKey()]
  const bytes = async (of: StateKey) => Number(await redis.command('STRLEN', nameOf(of)))
  await store(cache, other, knownState(other, 2, { size: '' }))
  const room = VALUE_BYTES_MAX - (await bytes(other))
  const largest = knownState(key, 2, { size: 'x'.repeat(room) })
  await store(cache, key, largest)
  t.equal(await bytes(key), VALUE_BYTES_MAX)
  t.strictSame(await cache.get(key), largest)
  cache.put(key, { ...knownState(key, 3, { size: 'x'.repeat(room + 1) }) })
  await untilConnected(cache)
  t.strictSame(await cache.get(key), largest)
  t.strictSame(trouble, { poisoned: 0, failed: 0 })
})

t.test('a process that just started needs one look into the log, and no load', async (t) => {
  const key = await seeded(50)
  const first = await coldInstance(t)
  t.match(await first.replay.stateAt(key), { version: 50, replay: { source: 'events' } })
  await until(() => redis.command('EXISTS', nameOf(key)))

  const second = await coldInstance(t)
  const [again, ...joined] = await Promise.all(Array.from({ length: 20 }, () => second.replay.stateAt(key)))
  t.strictSame(again!.state, (await first.replay.stateAt(key)).state)
  t.strictSame(again!.replay, { source: 'cache', snapshotVersion: null, eventsApplied: 0 })
  for (const { version } of joined) t.equal(version, 50)
  t.strictSame(second.sent.map(isLoad), [false, false], 'who came later looks for what came after it began')

  await parts.seed(key, logins(5, 51))
  const third = await coldInstance(t)
  t.match(await third.replay.stateAt(key), { version: 55, state: { totalLogins: 54 }, replay: { eventsApplied: 5 } })
  t.strictSame(third.sent.map(isLoad), [false])
  await until(async () => (await third.shared.get(key))?.version === 55)
  t.strictSame(third.trouble, { poisoned: 0, failed: 0 })
})

t.test('a shared state far behind is brought up to the newest event, over however many slices', async (t) => {
  const { cache } = await testCache(t)
  for (const behind of [TAIL_EVENTS - 2, TAIL_EVENTS - 1, TAIL_EVENTS, TAIL_EVENTS + SLICE_EVENTS + 1]) {
    const key = await seeded(2 + behind)
    await store(cache, key, knownState(key, 2))
    const { replay, sent } = await coldInstance(t)
    const { version, state, replay: how } = await replay.stateAt(key)
    t.strictSame([version, state.totalLogins, how.eventsApplied], [2 + behind, 1 + behind, behind])
    t.equal(sent.filter(isLoad).length, 0)
  }
})

t.test('garbage is dropped and counted, the answer is right, and the right state takes its place', async (t) => {
  const { replay, shared, trouble } = await coldInstance(t)
  const [model, other] = [newKey(), newKey()]
  await store(shared, other, knownState(other, 3))

  /** Writes what stands for a user, with its good value at hand. */
  type Write = (name: string, good: string) => Promise<unknown>
  const set =
    (change: (good: string) => string): Write =>
    (name, good) =>
      redis.command('SET', name, change(good))
  const kinds: Record<string, Write> = {
    'a word': set(() => 'garbage'),
    JSON: set(() => '{"version":3,"state":{}}'),
    'empty lines': set(() => '\n\n\n\n'),
    'no state': set((good) => good.split('\n').slice(0, 3).join('\n')),
    'its end cut off': set((good) => good.slice(0, -1)),
    'a letter changed': set((good) => good.replace('ada@example.com', 'eve@example.com')),
    'a number changed': set((good) => good.replace('"totalLogins":2', '"totalLogins":3')),
    'its version raised': set((good) => good.replace('3\n', '4\n')),
    'its version lowered': set((good) => good.replace('3\n', '2\n')),
    'version 0': set((good) => good.replace('3\n', '0\n')),
    'a version of no integer': set((good) => good.replace('3\n', '3000000000\n')),
    'another time': set((good) => good.replace('.003Z', '.004Z')),
    'the value of another user': async (name) => redis.command('COPY', nameOf(other), name, 'REPLACE'),
    'as long as may be': set(() => 'x'.repeat(VALUE_BYTES_MAX)),
    '32 MiB': (name) => redis.command('SETRANGE', name, String(32 * 1024 * 1024), 'x'),
    bytes: (name) => redis.command('SETBIT', name, '100', '1'),
    'a list': (name) => redis.command('RPUSH', name, '3', '4'),
    'a hash': (name) => redis.command('HSET', name, 'version', '3'),
    'a set': (name) => redis.command('SADD', name, '3'),
    'a sorted set': (name) => redis.command('ZADD', name, '3', '3'),
    'a stream': (name) => redis.command('XADD', name, '*', 'version', '3')
  }
  for (const [kind, write] of Object.entries(kinds)) {
    const key = await seeded(3)
    await store(shared, key, knownState(key, 3))
    const good = String(await redis.command('GET', nameOf(key)))
    await redis.command('DEL', nameOf(key))
    await write(nameOf(key), good)
    trouble.poisoned = 0
    const { version, state, replay: how } = await replay.stateAt(key)
    t.strictSame([version, state.totalLogins, how.source], [3, 2, 'events'], kind)
    t.equal(trouble.poisoned, 1, `${kind}: counted`)
    await until(async () => (await redis.command('TYPE', nameOf(key))) === 'string')
    await until(async () => (await redis.command('GET', nameOf(key))) === good, { what: `a good value after ${kind}` })
  }
  t.equal(trouble.failed, 0)
  t.equal(await shared.get(model), null)
})

t.test('a state that can be read but is not what the log says is dropped and counted', async (t) => {
  const { replay, shared, trouble } = await coldInstance(t)
  const kinds: Record<string, (key: StateKey) => KnownState> = {
    'a version that the log has not come to': (key) => knownState(key, 4),
    'a version far ahead': (key) => ({ ...knownState(key, 4), version: 2_147_483_647 }),
    'the newest version, of another history': (key) => ({ ...knownState(key, 3), asOf: '2026-01-01T00:00:00.004Z' }),
    'an older version, of another history': (key) => ({ ...knownState(key, 2), asOf: '2025-01-01T00:00:00.002Z' }),
    'no time at all': (key) => ({ ...knownState(key, 3), asOf: 'yesterday' }),
    'the state of another user': (key) => ({ ...knownState(key, 3), text: knownState(newKey(), 3).text }),
    'half a state': (key) => ({ ...knownState(key, 3), text: `{"id":"${key.userId}"}` })
  }
  for (const [kind, make] of Object.entries(kinds)) {
    const key = await seeded(3)
    await store(shared, key, make(key))
    trouble.poisoned = 0
    const { version, state, replay: how } = await replay.stateAt(key)
    t.strictSame([version, state.totalLogins, how.source], [3, 2, 'events'], kind)
    t.equal(trouble.poisoned, 1, `${kind}: counted`)
    await until(async () => (await shared.get(key))?.version === 3, { what: `a good value after ${kind}` })
    t.strictSame(await shared.get(key), knownState(key, 3))
  }
})

t.test('nor is the state of a user that the log does not have', async (t) => {
  const { replay, shared, trouble } = await coldInstance(t)
  const key = newKey()
  await store(shared, key, knownState(key, 3))
  await t.rejects(replay.stateAt(key), { code: 'USER_NOT_FOUND' })
  t.equal(trouble.poisoned, 1)
  await until(async () => (await redis.command('EXISTS', nameOf(key))) === 0)
})

t.test(
  'a silent Redis is waited for a few times and then left alone; when it speaks again it is used again',
  async (t) => {
    const { cache, trouble } = await testCache(t, { timeoutMs: 50 })
    const key = newKey()
    await store(cache, key, knownState(key, 3))
    await until(() => cache.get(key)) // The commands before it have been answered.
    trouble.failed = 0
    redis.freeze()
    const startedAt = performance.now()
    const found = new Set<unknown>()
    for (let i = 0; i < 1000; i++) found.add(await cache.get(key))
    const waitedMs = performance.now() - startedAt
    t.strictSame([...found], [null])
    t.ok(waitedMs >= 3 * 49 && waitedMs < 10_000, `1000 reads waited ${waitedMs.toFixed()} ms`)
    t.ok(trouble.failed >= 3 && trouble.failed <= 4)
    redis.resume()
    await until(() => cache.get(key))
    t.equal(trouble.poisoned, 0, 'replies that came too late are nobody else’s')
  }
)

t.test('after a while one command tries, and the others do not wait for it', async (t) => {
  const { cache, trouble } = await testCache(t, { timeoutMs: 50, aloneMs: 200 })
  const key = newKey()
  await store(cache, key, knownState(key, 3))
  await until(() => cache.get(key)) // The commands before it have been answered.
  trouble.failed = 0
  redis.freeze()
  await until(async () => (await cache.get(key)) === null && trouble.failed === 3)
  await until(async () => {
    await Promise.all(Array.from({ length: 100 }, () => cache.get(key)))
    return trouble.failed > 3
  })
  t.equal(trouble.failed, 4)
  redis.resume()
  await until(() => cache.get(key))
})

t.test('a connection that went dead without a word is made anew', async (t) => {
  const proxy = await startProxy(t, redis.url)
  const { cache, trouble } = await testCache(t, { url: proxy.url, aloneMs: 5, timeoutMs: 50 })
  const key = newKey()
  await store(cache, key, knownState(key, 3))
  proxy.silence()
  const before = proxy.accepted()
  await until(async () => {
    t.equal(await cache.get(key), null)
    return proxy.accepted() > before + 1
  })
  proxy.pass()
  await until(() => cache.get(key))
  t.ok(trouble.failed > 3)
  t.equal(trouble.poisoned, 0)
})

t.test('with Redis down, a call takes no time, and a connection is made when it is up', async (t) => {
  const elsewhere = await testRedis(t)
  await elsewhere.kill()
  const trouble = { poisoned: 0, failed: 0 }
  const onTrouble = (kind: keyof typeof trouble) => trouble[kind]++
  const cache = openRedisCache({
    url: elsewhere.url,
    onTrouble,
    timeoutMs: 5000,
    aloneMs: 3_600_000
  })
  t.teardown(() => cache.close())
  const startedAt = performance.now()
  for (let i = 0; i < 1000; i++) await cache.get(newKey())
  t.ok(performance.now() - startedAt < 500)
  t.equal(trouble.failed, 3)
  await elsewhere.start()
  await untilConnected(cache) // long before it would have tried by itself
})

t.test('a close leaves no connection, at whatever moment', async (t) => {
  const elsewhere = await testRedis(t)
  let trouble = 0
  const open = () => openRedisCache({ url: elsewhere.url, onTrouble: () => trouble++ })
  const connections = async () =>
    String(await elsewhere.command('CLIENT', 'LIST'))
      .trim()
      .split('\n').length
  const hurried = open()
  hurried.close()
  hurried.close()
  t.equal(await hurried.get(newKey()), null)
  for (let turns = 0; turns < 20; turns++) {
    const cache = open()
    for (let turn = 0; turn < turns; turn++) await nextTurn()
    cache.close()
  }
  const used = open()
  await untilConnected(used)
  trouble = 0
  const pending = used.get(newKey())
  used.put(newKey(), knownState(newKey(), 1))
  used.close()
  t.equal(await pending, null)
  t.equal(trouble, 0, 'what a close cuts off is no trouble')
  await until(async () => (await connections()) === 1, { what: 'nobody but who asks' })
  await elsewhere.kill()
  const without = open()
  await nextTurn()
  without.close()
})

t.test('an address that is none stops the start with a sentence, and nothing stays open', async (t) => {
  const { url, run } = parts.database
  const connections = async () => {
    const [row] = await run<{ count: string }>(
      `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'user-event-store'`
    )
    return Number(row!.count)
  }
  const before = await connections()
  for (const address of ['redis://user:secret@host:99999', 'redis://user:secret@host/database', 'redis://%zz@host']) {
    await t.rejects(compose(loadConfig({ REDIS_URL: address }), url, false), {
      name: 'StartError',
      message: 'REDIS_URL is no address of a Redis: expected redis://user:password@host:port/number.'
    })
  }
  await until(async () => (await connections()) <= before)
})

/** Keeps next to nothing itself, so that it has to ask Redis. */
const forgetful = (url: string) => ({ REDIS_URL: url, CACHE_MAX_USERS: '1' })

t.test('a service starts without its Redis, works, says so, and uses it once it is there', async (t) => {
  const elsewhere = await testRedis(t)
  await elsewhere.kill()
  const service = await testService(t, { env: forgetful(elsewhere.url) })
  const users = [newUserId(), newUserId()]
  for (const userId of users) await service.append(userId, [userCreated()])
  const readAll = async () => {
    for (const userId of users) t.equal((await service.get(`/users/${userId}/state`)).data.version, 1)
  }
  await readAll()
  t.equal((await service.get('/readyz')).statusCode, 200)
  t.ok((await failures(service)) > 0)
  t.equal(await sharedHits(service), 0)
  await elsewhere.start()
  await until(async () => {
    await readAll()
    return (await sharedHits(service)) > 0
  })
})

/** Clients that append and read without a pause, each its own users, at either instance, and check every answer. */
function startLoad(services: readonly TestService[]) {
  const heads = new Map<string, number>()
  const wrong: string[] = []
  const readMs: number[] = []
  let stopped = false

  async function append(userId: string): Promise<void> {
    const version = heads.get(userId)! + 1
    const event =
      version === 1 ? userCreated('ada', { fullName: 'Name 1' }) : userUpdated({ fullName: `Name ${version}` })
    const { statusCode, body } = await services[version % services.length]!.append(userId, [event])
    if (statusCode === 201) heads.set(userId, version)
    else wrong.push(`append: ${statusCode} ${body}`)
  }

  async function read(userId: string): Promise<void> {
    const least = heads.get(userId)!
    const startedAt = performance.now()
    const { statusCode, data, body } = await services[readMs.length % services.length]!.get(`/users/${userId}/state`)
    readMs.push(performance.now() - startedAt)
    if (statusCode !== 200 || data.version < least || data.state.fullName !== `Name ${data.version}`)
      wrong.push(`read after version ${least}: ${statusCode} ${body}`)
  }

  async function client(): Promise<void> {
    const users = Array.from({ length: 5 }, newUserId)
    for (const userId of users) {
      heads.set(userId, 0)
      await append(userId)
    }
    for (let i = 0; !stopped; i++) {
      const userId = users[i % users.length]!
      if (i % 7 === 0) await append(userId)
      await Promise.all([read(userId), read(users[(i * 3 + 1) % users.length]!)])
    }
  }

  const clients = [client(), client(), client(), client()]
  return {
    wrong,
    readMs,
    async stop() {
      stopped = true
      await Promise.all(clients)
    }
  }
}

t.test('answers stay right and soon while Redis is killed, started, flushed, and silent', async (t) => {
  const own = await testRedis(t)
  const one = await testService(t, { env: forgetful(own.url) })
  const two = await testService(t, { env: forgetful(own.url), database: one.database })
  const load = startLoad([one, two])
  t.teardown(load.stop)

  /** What was read meanwhile was right and soon. */
  async function phase(name: string, enough: () => boolean | Promise<boolean>): Promise<void> {
    load.readMs.length = 0
    await until(enough, { what: name })
    const sorted = load.readMs.toSorted((a, b) => a - b)
    const [middle, high] = [0.5, 0.99].map((share) => sorted[Math.floor(share * sorted.length)]!)
    t.strictSame(load.wrong, [], name)
    t.ok(
      high! < 400,
      `${name}: ${sorted.length} reads, half within ${middle!.toFixed(1)} ms, p99 ${high!.toFixed(1)} ms`
    )
  }
  /** Both take states from Redis, most of them stored by the other. */
  const inUse = async () => {
    const before = [await sharedHits(one), await sharedHits(two)] as const
    return async () => (await sharedHits(one)) > before[0] + 10 && (await sharedHits(two)) > before[1] + 10
  }
  const reads = (count: number) => () => load.readMs.length >= count

  await phase('in use', await inUse())
  await own.kill()
  await phase('killed', reads(300))
  await own.start()
  await phase('started again', await inUse())
  await own.command('FLUSHALL')
  await phase('flushed', await inUse())
  own.freeze()
  await phase('silent', reads(300))
  own.resume()
  await phase('speaking again', await inUse())
  await load.stop()
  for (const service of [one, two]) {
    t.ok((await failures(service)) > 0)
    t.ok((await metric(service, 'event_cache_requests_total', 'tier="shared",result="miss"')) > 0)
    t.equal(await metric(service, 'event_cache_trouble_total', 'poisoned'), 0)
  }
})
