import { randomUUID } from 'node:crypto'
import t from 'tap'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import type { KnownState, StateKey } from '../../src/domain/replay.js'
import type { User } from '../../src/domain/user.js'
import { type CacheMetrics, createStateCache, ENTRY_BYTES, type SharedCache } from '../../src/services/state-cache.js'

const newKey = (): StateKey => ({ tenantId: DEFAULT_TENANT, userId: randomUUID(), fingerprint: 'rules' })

/** A state of no particular shape: the cache looks at none. */
const stateOf = (text: string) => ({ fullName: text, attributes: { deep: { list: [{ a: 1 }] } } }) as unknown as User
const known = (version: number, text = 'Ada') => ({ version, asOf: `moment ${version}`, state: stateOf(text) })
const bytesOf = (text: string): number => ENTRY_BYTES + 2 * JSON.stringify(stateOf(text)).length

function count() {
  const counts = { hit: 0, miss: 0, sharedHit: 0, sharedMiss: 0, evicted: 0 }
  const metrics: CacheMetrics = {
    cacheRead(tier, result) {
      if (tier === 'process') counts[result]++
      else counts[result === 'hit' ? 'sharedHit' : 'sharedMiss']++
    },
    cacheEvicted(tier) {
      if (tier === 'process') counts.evicted++
    }
  }
  return { counts, metrics }
}

function testCache({ usersMax = 100, bytesMax = 1_000_000, shared = null as SharedCache | null } = {}) {
  const { counts, metrics } = count()
  return { counts, cache: createStateCache({ usersMax, bytesMax, shared, metrics }) }
}

t.test('as many users as CACHE_MAX_USERS stay; one more puts out the one that was not asked for longest', async (t) => {
  const { counts, cache } = testCache({ usersMax: 3 })
  const [a, b, c, d] = [newKey(), newKey(), newKey(), newKey()]
  for (const key of [a, b, c]) cache.put(key, known(1), 0)
  t.equal(counts.evicted, 0)
  for (const key of [a, b, c]) t.ok(cache.get(key))
  cache.get(a)
  cache.put(d, known(1), 0)
  t.equal(counts.evicted, 1)
  t.notOk(cache.get(b))
  for (const key of [a, c, d]) t.ok(cache.get(key))
  t.hasStrict(counts, { hit: 7, miss: 1 })
})

t.test('states stay while they weigh CACHE_BYTES_MAX, and a byte less puts one out', async (t) => {
  const texts = ['one', 'three', 'seventeen']
  const bytes = texts.reduce((sum, text) => sum + bytesOf(text), 0)
  for (const [bytesMax, evicted] of [
    [bytes, 0],
    [bytes - 1, 1]
  ] as const) {
    const { counts, cache } = testCache({ bytesMax })
    const keys = texts.map((text) => {
      const key = newKey()
      cache.put(key, known(1, text), 0)
      return key
    })
    t.equal(counts.evicted, evicted)
    t.equal(keys.filter((key) => cache.get(key)).length, 3 - evicted)
  }
})

t.test(
  'a state that alone weighs more than CACHE_BYTES_MAX is given back but not kept, and puts nobody out',
  async (t) => {
    const { counts, cache } = testCache({ bytesMax: bytesOf('x'.repeat(1000)) })
    const [small, large] = [newKey(), newKey()]
    cache.put(small, known(1), 0)
    t.equal(cache.put(large, known(1, 'x'.repeat(1001)), 0).version, 1)
    t.notOk(cache.get(large))
    t.ok(cache.get(small))
    cache.put(small, known(2, 'x'.repeat(1001)), 0)
    t.notOk(cache.get(small), 'nor does the older one of that user stay')
    t.equal(counts.evicted, 0)
  }
)

t.test('memory for CACHE_MAX_USERS is not taken where CACHE_BYTES_MAX leaves no room for them', async (t) => {
  const before = process.memoryUsage().rss
  const { cache } = testCache({ usersMax: 10_000_000, bytesMax: 1_000_000 })
  t.ok(process.memoryUsage().rss - before < 50_000_000)
  cache.put(newKey(), known(1), 0)
})

t.test('what is kept is frozen at every depth', async (t) => {
  const { cache } = testCache()
  const given = stateOf('Ada')
  const { state } = cache.put(newKey(), { ...known(1), state: given }, 0)
  t.equal(state, given, 'without a copy')
  const { attributes } = state as unknown as { attributes: { deep: { list: { a: number }[] } } }
  for (const part of [state, attributes, attributes.deep, attributes.deep.list, attributes.deep.list[0]])
    t.ok(Object.isFrozen(part), JSON.stringify(part))
  t.throws(() => Object.assign(state, { fullName: 'Eve' }), TypeError)
})

t.test('an entry goes up in version only, and who comes late still gets what it found', async (t) => {
  const { cache } = testCache()
  const key = newKey()
  cache.put(key, known(5, 'five'), 10)
  const late = cache.put(key, known(4, 'four'), 20)
  t.hasStrict(late, {
    version: 4,
    asOf: 'moment 4',
    state: { fullName: 'four' },
    text: JSON.stringify(stateOf('four'))
  })
  t.hasStrict(cache.get(key), { version: 5, checkedAt: 10 }, 'which says nothing of the newest state')
  cache.put(key, known(6, 'six'), 15)
  t.hasStrict(cache.get(key), { version: 6, state: { fullName: 'six' }, checkedAt: 15 })
})

t.test('a version found again is the entry that is there, known to be the newest at the later moment', async (t) => {
  const { cache } = testCache()
  const key = newKey()
  const first = cache.put(key, known(5), 10)
  t.equal(cache.put(key, known(5), 20), first)
  t.equal(cache.get(key)?.checkedAt, 20)
  cache.put(key, known(5), 15)
  t.equal(cache.get(key)?.checkedAt, 20)
})

t.test('the same user id under another tenant is another entry', async (t) => {
  const { cache } = testCache()
  const key = newKey()
  cache.put(key, known(5), 0)
  t.notOk(cache.get({ ...key, tenantId: randomUUID() }))
})

t.test('the shared cache gets what is newer than what it is known to have, and nothing twice', async (t) => {
  const stored: KnownState[] = []
  const shared: SharedCache = {
    get: async () => stored.at(-1) ?? null,
    put: (_key, one) => stored.push(one),
    drop() {}
  }
  const { counts, cache } = testCache({ shared })
  const key = newKey()
  t.equal(await cache.fetch(key), null)
  cache.put(key, known(3), 0)
  cache.put(key, known(3), 1)
  cache.put(key, known(2), 1)
  t.hasStrict(await cache.fetch(key), { version: 3, text: JSON.stringify(stateOf('Ada')) })
  cache.put(newKey(), { ...known(7), text: 'as it came' }, 1, 7)
  t.strictSame(
    stored.map(({ version }) => version),
    [3]
  )
  t.equal(cache.put(newKey(), { ...known(8), text: 'as it came' }, 1, 7).text, 'as it came')
  t.strictSame(
    stored.map(({ version }) => version),
    [3, 8]
  )
  t.hasStrict(counts, { sharedHit: 1, sharedMiss: 1 })
})
