/** Data of every version of every built-in type, lifted to the newest; and what lifting does to a fold: nothing, and quickly. */
import { isIP } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import type { TObject } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { builtInTypes, createCatalog } from '../../src/domain/catalog.js'
import type { FoldEvent, JsonObject } from '../../src/domain/event.js'
import { fold, nothingFolded, type Replay } from '../../src/domain/replay.js'
import { deepFreeze } from '../support/freeze.js'
import { type Random, randomOf, seedOf } from '../support/random.js'
import { dataUnder } from '../support/schema-data.js'

const catalog = createCatalog()
const key = { tenantId: '00000000-0000-0000-0000-000000000000', userId: '0191d5a0-7c1e-7000-8000-000000000001' }

/** Name and schemas of each type; place 0 is version 1. */
const types = builtInTypes.map(({ name, versions }) => ({
  name,
  schemas: versions.map(({ schema }) => schema as TObject)
}))

const eventOf = (eventType: string, schemaVersion: number, eventData: JsonObject, version = 1): FoldEvent => ({
  version,
  eventType,
  schemaVersion,
  eventData,
  createdAt: '2026-11-22T08:00:00.000Z'
})

for (const { name, schemas } of types) {
  const newest = TypeCompiler.Compile(schemas.at(-1)!)
  for (const [i, schema] of schemas.entries()) {
    const own = TypeCompiler.Compile(schema)
    t.test(
      `${name}: any data of version ${i + 1} is lifted to valid data of the newest, once and for all`,
      async (t) => {
        const seed = seedOf(t)
        const property = fc.property(dataUnder(schema), (eventData) => {
          if (!own.Check(eventData)) throw new Error('The generator made data that the schema refuses.')
          const before = JSON.stringify(eventData)
          const stored = deepFreeze(eventOf(name, i + 1, eventData))
          const lifted = catalog.upcast(stored)
          return (
            lifted.schemaVersion === schemas.length &&
            newest.Check(lifted.eventData) &&
            isDeepStrictEqual(catalog.upcast(lifted), lifted) &&
            JSON.stringify(stored.eventData) === before
          )
        })
        t.doesNotThrow(() => fc.assert(property, { seed, numRuns: 500 }))
      }
    )
  }
}

t.test('the family of an old login is the one that its address has', async (t) => {
  const property = fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (ipAddress) => {
    const { eventData } = catalog.upcast(eventOf('LoginInfoUpdated', 1, { ipAddress, loginAt: '2026-11-22T08:00:00Z' }))
    return isDeepStrictEqual(eventData.ipAddress, { address: ipAddress, family: isIP(ipAddress) })
  })
  t.doesNotThrow(() => fc.assert(property, { seed: seedOf(t), numRuns: 1000 }))
})

/** The data a client of an older version would have sent for data of the newest; place 0 gives version 1. Not by the upcasters. */
const olderForms: Record<string, ((newest: any) => JsonObject)[]> = {
  UserCreated: [({ phoneVerified: _, ...rest }) => rest],
  LoginInfoUpdated: [({ ipAddress: { address }, ...rest }) => ({ ...rest, ipAddress: address })]
}

/** Data as it is read from the text that is stored: objects made otherwise have other speeds. */
const read = (data: JsonObject): JsonObject => JSON.parse(JSON.stringify(data))

/** UserCreated and then events of every type that can follow it, at the newest schema version; `count` in all. */
function newestEvents(count: number, seed: number, random: Random): FoldEvent[] {
  const drawn = types.map(({ name, schemas }) => {
    const data = fc.sample(dataUnder(schemas.at(-1)!), { seed, numRuns: 300 })
    return { name, newest: schemas.length, data: data.map(read) }
  })
  const first = drawn.find(({ name }) => name === 'UserCreated')!
  const later = drawn.filter(({ name }) => name !== 'UserCreated' && name !== 'UserDeleted')
  return Array.from({ length: count }, (_, i) => {
    const { name, newest, data } = i === 0 ? first : random.pick(later)
    return eventOf(name, newest, random.pick(data), i + 1)
  })
}

/** The event as it would have been stored under `schemaVersion`. */
function asStoredUnder(event: FoldEvent, schemaVersion: number): FoldEvent {
  if (event.schemaVersion === schemaVersion) return event
  const older = olderForms[event.eventType]![schemaVersion - 1]!
  return eventOf(event.eventType, schemaVersion, read(older(event.eventData)), event.version)
}

t.test('10,000 events of mixed versions fold to the state of the same events at the newest version', async (t) => {
  for (const { name, schemas } of types)
    t.equal(olderForms[name]?.length ?? 0, schemas.length - 1, `${name} has its older forms here`)
  const seed = seedOf(t)
  const random = randomOf(seed)
  const newest = newestEvents(10_000, seed, random)
  const mixed = newest.map((event) => asStoredUnder(event, 1 + random.below(event.schemaVersion)))
  t.ok(mixed.filter((event, i) => event !== newest[i]).length > 500, 'many are old')
  let one: Replay = nothingFolded
  let other: Replay = nothingFolded
  for (let i = 0; i < newest.length; i += 250) {
    one = fold(catalog, key, one, newest.slice(i, i + 250))
    other = fold(catalog, key, other, mixed.slice(i, i + 250))
    if (!isDeepStrictEqual(one, other)) break
  }
  t.equal(other.version, 10_000)
  t.strictSame(other, one)
})

/** Median time to fold `older` over that of `newest`, in rounds that take turns. */
function ratioOf(older: FoldEvent[], newest: FoldEvent[]): number {
  const timeOf = (events: FoldEvent[]) => {
    const startedAt = performance.now()
    fold(catalog, key, nothingFolded, events)
    return performance.now() - startedAt
  }
  const rounds = Array.from({ length: 41 }, () => [timeOf(older), timeOf(newest)] as const)
  const median = (times: number[]) => times.sort((a, b) => a - b)[times.length >> 1]!
  return median(rounds.map(([time]) => time)) / median(rounds.map(([, time]) => time))
}

/** The least ratio of several tries: what else the machine does can only make one larger by chance. */
function quickEnough(t: Test, older: FoldEvent[], newest: FoldEvent[], most: number): void {
  let ratio = ratioOf(older, newest)
  for (let tries = 1; tries < 20 && ratio > most; tries++) ratio = Math.min(ratio, ratioOf(older, newest))
  t.comment(`${ratio.toFixed(2)} times`)
  t.ok(ratio <= most, `at most ${most} times`)
}

/** Without attributes: to merge large ones takes so long that nothing else would show. */
function withoutAttributes(event: FoldEvent): FoldEvent {
  const { attributes: _, ...rest } = event.eventData
  return eventOf(event.eventType, event.schemaVersion, read(rest), event.version)
}

t.test('to fold 5,000 events of version 1 takes at most 1.3 times what the same at the newest takes', async (t) => {
  const seed = seedOf(t)
  const newest = newestEvents(5000, seed, randomOf(seed)).map(withoutAttributes)
  const older = newest.map((event) => asStoredUnder(event, 1))
  quickEnough(t, older, newest, 1.3)
})
