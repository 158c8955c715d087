/** New rules make snapshots useless: only those of the users whom the rules concern, and they are made anew, slowly. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { EventTypeDefinition } from '../../src/domain/custom-type.js'
import type { FoldEvent } from '../../src/domain/event.js'
import { instance } from './instance.js'
import type { Parts } from './parts.js'
import { logins, newKey, testParts } from './parts.js'

const schema = { type: 'object', properties: { city: { type: 'string' } } }
const definition: EventTypeDefinition = {
  summary: '',
  schema,
  effect: { kind: 'merge', namespace: 'address' },
  personalData: []
}
const second: EventTypeDefinition = { ...definition, upcast: [] }
const withCountry: EventTypeDefinition = { ...definition, upcast: [{ op: 'add', path: '/country', value: 'FR' }] }
/** A registered event of the first version. */
const moved = (version: number): FoldEvent => ({
  version,
  eventType: 'Moved',
  schemaVersion: 1,
  createdAt: new Date().toISOString(),
  eventData: { city: 'Paris' }
})
const walk = { limit: 2, turnMs: 60_000, pauseMs: 0, signal: new AbortController().signal }

/** Users with a snapshot each. */
async function users(parts: Parts, tenantId: string, count: number) {
  const keys = Array.from({ length: count }, () => newKey(tenantId))
  for (const key of keys) {
    await parts.seed(key, logins(3))
    await parts.snapshots.take(key, 'manual', 'test')
  }
  return keys
}

async function refreshAll({ snapshots }: Parts): Promise<number> {
  let sum = 0
  let after: Parameters<typeof snapshots.refreshStale>[0] = null
  do {
    const { made, next } = await snapshots.refreshStale(after, walk)
    sum += made
    after = next
  } while (after)
  return sum
}

const usable = async ({ snapshots }: Parts, keys: Awaited<ReturnType<typeof users>>) =>
  (await Promise.all(keys.map((key) => snapshots.list(key)))).filter((list) => list.some((each) => each.usable)).length

t.test('a first version changes no fingerprint, a second one only those of its scope', async (t) => {
  const parts = await testParts(t)
  const [mine, other] = [randomUUID(), randomUUID()]
  const own = await users(parts, mine, 5)
  const others = await users(parts, other, 3)
  const { register } = parts.eventTypes
  await register(mine, 'Moved', 1, definition, { dryRun: false })
  await register(null, 'Seen', 1, definition, { dryRun: false })
  t.equal(await usable(parts, own), 5)
  t.equal(await usable(parts, others), 3)
  t.equal(await refreshAll(parts), 0)

  await register(mine, 'Moved', 2, second, { dryRun: false })
  t.equal(await usable(parts, own), 0)
  t.equal(await usable(parts, others), 3)
  t.equal((await parts.replay.stateAt(own[0]!, { useCache: false })).replay.source, 'events')
  t.equal(await refreshAll(parts), 5)
  t.equal(await usable(parts, own), 5)
  t.equal((await parts.replay.stateAt(own[0]!, { useCache: false })).replay.source, 'snapshot')
  t.equal(await refreshAll(parts), 0, 'once is enough')

  await register(null, 'Seen', 2, second, { dryRun: false })
  t.equal(await usable(parts, [...own, ...others]), 0)
  t.equal(await refreshAll(parts), 8)
})

t.test('a type without effect changes nothing, however many versions it has', async (t) => {
  const parts = await testParts(t)
  const keys = await users(parts, randomUUID(), 2)
  const none = { ...definition, effect: { kind: 'none' } } as const
  await parts.eventTypes.register(null, 'Noted', 1, none, { dryRun: false })
  await parts.eventTypes.register(null, 'Noted', 2, { ...none, upcast: [] }, { dryRun: false })
  t.equal(await usable(parts, keys), 2)
})

t.test('a state in memory from before a new version is not served after it', async (t) => {
  const parts = await testParts(t)
  const key = newKey()
  const { register } = parts.eventTypes
  await register(null, 'Moved', 1, definition, { dryRun: false })
  await parts.seed(key, [...logins(1), moved(2)])
  t.strictSame((await parts.replay.stateAt(key)).state.attributes, { address: { city: 'Paris' } })
  await register(null, 'Moved', 2, withCountry, { dryRun: false })
  t.strictSame((await parts.replay.stateAt(key)).state.attributes, { address: { city: 'Paris', country: 'FR' } })
})

t.test(
  'a state whose events were read before a new version came is kept under the rules it was folded by',
  async (t) => {
    const parts = await testParts(t)
    const { replay, holdNext } = instance(t, parts)
    const key = newKey()
    const { register } = parts.eventTypes
    await register(null, 'Moved', 1, definition, { dryRun: false })
    const older = parts.eventTypes.of(key.tenantId).fingerprint
    await parts.seed(key, [...logins(1), moved(2)])
    const { taken, release } = holdNext()
    const before = replay.stateAt(key)
    await taken
    await register(null, 'Moved', 2, withCountry, { dryRun: false })
    release()
    t.match(await before, { fingerprint: older, state: { attributes: { address: { city: 'Paris' } } } })
    const after = await replay.stateAt(key)
    t.equal(after.fingerprint, parts.eventTypes.of(key.tenantId).fingerprint)
    t.strictSame(after.state.attributes, { address: { city: 'Paris', country: 'FR' } })
  }
)

t.test('snapshots that expire are judged by the rules of their tenant', async (t) => {
  const parts = await testParts(t)
  const mine = randomUUID()
  await parts.eventTypes.register(mine, 'Moved', 1, definition, { dryRun: false })
  await parts.eventTypes.register(mine, 'Moved', 2, second, { dryRun: false })
  const fingerprint = parts.eventTypes.of(mine).fingerprint
  t.not(fingerprint, parts.catalog.fingerprint)
  const key = newKey(mine)
  await parts.seed(key, logins(3))
  const old = { createdAt: '2020-01-01T00:00:00.000Z', state: {} }
  await parts.putSnapshot(key, { ...old, version: 1, fingerprint })
  await parts.putSnapshot(key, { ...old, version: 2, fingerprint })
  await parts.putSnapshot(key, { ...old, version: 3, fingerprint: parts.catalog.fingerprint })
  t.equal(await parts.snapshots.expire(90), 2)
  t.match(await parts.snapshots.list(key), [{ version: 2, usable: true }])
})
