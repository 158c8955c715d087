import { createHash } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import t from 'tap'
import { builtInTypes, createCatalog } from '../../src/domain/catalog.js'
import type { FoldEvent, JsonObject } from '../../src/domain/event.js'
import type { EventType } from '../../src/domain/event-type.js'
import { fold, nothingFolded } from '../../src/domain/replay.js'
import { STATE_VERSION, type User } from '../../src/domain/user.js'

const key = { tenantId: '00000000-0000-0000-0000-000000000000', userId: '0191d5a0-7c1e-7000-8000-000000000001' }

/** Version 1 has a name in one piece, version 2 in two, version 3 requires a title as well. */
const renamed: EventType = {
  name: 'Renamed',
  summary: 'for tests',
  versions: [
    { schema: Type.Object({ name: Type.String() }, { additionalProperties: false }) },
    {
      schema: Type.Object({ first: Type.String(), last: Type.String() }, { additionalProperties: false }),
      upcast: ({ name }) => {
        const [first = '', last = ''] = String(name).split(' ')
        return { first, last }
      }
    },
    {
      schema: Type.Object(
        { first: Type.String(), last: Type.String(), title: Type.String({ minLength: 2 }) },
        { additionalProperties: false }
      ),
      upcast: (data) => ({ ...data, title: 'none' })
    }
  ],
  example: { first: 'Ada', last: 'Lovelace', title: 'Countess' },
  effectVersion: 1,
  personalData: [],
  apply: (state, { eventData: { title, first, last } }) => ({ ...state, fullName: `${title} ${first} ${last}` })
}
const created = builtInTypes.find(({ creates }) => creates)!
const types = [created, renamed]
const catalog = createCatalog(types)

const asked = (eventData: JsonObject, schemaVersion?: number) =>
  catalog.schemaVersionOf(
    { eventType: 'Renamed', eventData, ...(schemaVersion === undefined ? {} : { schemaVersion }) },
    '/events/7'
  )

const event = (schemaVersion: number, eventData: JsonObject): FoldEvent => ({
  version: 2,
  eventType: 'Renamed',
  schemaVersion,
  eventData,
  createdAt: '2026-11-22T08:00:00.000Z'
})

t.test('without a schemaVersion the newest that accepts the data is taken', async (t) => {
  t.equal(asked({ first: 'Ada', last: 'L', title: 'Dr' }), 3)
  t.equal(asked({ first: 'Ada', last: 'L' }), 2)
  t.equal(asked({ name: 'Ada L' }), 1)
})

t.test('a schemaVersion that is asked for is the only one tried', async (t) => {
  t.equal(asked({ first: 'Ada', last: 'L' }, 2), 2)
  t.throws(() => asked({ first: 'Ada', last: 'L' }, 3), {
    code: 'INVALID_EVENT_DATA',
    facts: { pointer: '/events/7/eventData/title' }
  })
  t.throws(() => asked({ first: 'Ada', last: 'L' }, 1), {
    code: 'INVALID_EVENT_DATA',
    facts: { pointer: '/events/7/eventData/name' }
  })
})

t.test('data that no version accepts is refused with what the newest says', async (t) => {
  t.throws(() => asked({ first: 'Ada', last: 'L', title: 'x' }), {
    code: 'INVALID_EVENT_DATA',
    facts: { pointer: '/events/7/eventData/title', reason: 'expected string length greater or equal to 2' }
  })
  t.throws(() => asked({ name: 5 }), {
    code: 'INVALID_EVENT_DATA',
    facts: { pointer: '/events/7/eventData/first', reason: 'expected required property' }
  })
})

t.test('a schemaVersion that the type does not have is refused with the newest', async (t) => {
  for (const version of [0, -1, 4]) {
    t.throws(() => asked({ name: 'Ada L' }, version), {
      code: 'UNKNOWN_SCHEMA_VERSION',
      facts: { pointer: '/events/7/schemaVersion', newestSchemaVersion: 3 }
    })
  }
})

t.test('an event type that is not known is refused with those that are', async (t) => {
  for (const eventType of ['Nope', 'renamed', '', 'toString', '__proto__', 'x'.repeat(1000)]) {
    t.throws(() => catalog.schemaVersionOf({ eventType, eventData: {} }, '/events/0'), {
      code: 'UNKNOWN_EVENT_TYPE',
      message: /Use one of UserCreated, Renamed\.$/,
      facts: { pointer: '/events/0/eventType' }
    })
  }
})

t.test('old data is lifted step by step, new data is left alone', async (t) => {
  const stored = Object.freeze(event(1, Object.freeze({ name: 'Ada Lovelace' })))
  t.strictSame(catalog.upcast(stored), event(3, { first: 'Ada', last: 'Lovelace', title: 'none' }))
  t.strictSame(catalog.upcast(event(2, { first: 'A', last: 'B' })), event(3, { first: 'A', last: 'B', title: 'none' }))
  const newest = event(3, { first: 'A', last: 'B', title: 'Dr' })
  t.equal(catalog.upcast(newest), newest, 'the same object')
  t.strictSame(stored, event(1, { name: 'Ada Lovelace' }), 'what was stored is untouched')
})

t.test('the reducer sees data of the newest version, whichever it was stored in', async (t) => {
  const first: FoldEvent = { ...event(1, { username: 'ada', email: 'a@b' }), version: 1, eventType: 'UserCreated' }
  const nameAfter = (second: FoldEvent) => fold(catalog, key, nothingFolded, [first, second]).state!.fullName
  t.equal(nameAfter(event(1, { name: 'Ada Lovelace' })), 'none Ada Lovelace')
  t.equal(nameAfter(event(3, { first: 'Ada', last: 'Lovelace', title: 'Dr' })), 'Dr Ada Lovelace')
})

t.test('a stored event of a type that is gone is an error that names it', async (t) => {
  const gone = { ...event(1, {}), eventType: 'Gone' }
  t.throws(() => catalog.upcast(gone), /holds an event of type Gone/)
  t.throws(() => catalog.evolve(key, {} as User, gone), /holds an event of type Gone/)
})

t.test('a type with a hole in its chain, or without a schema, stops the start', async (t) => {
  const [v1, v2, v3] = renamed.versions
  const holes: [EventType['versions'], RegExp][] = [
    [[v1!, { schema: v2!.schema }, v3!], /Renamed has no upcaster from version 1 to 2/],
    [[v1!, v2!, { schema: v3!.schema }], /Renamed has no upcaster from version 2 to 3/],
    [[], /Renamed has no schema/],
    [[{ schema: Type.Object({ a: Type.Ref('missing') }) }], /A schema of event type Renamed does not compile/]
  ]
  for (const [versions, message] of holes)
    t.throws(() => createCatalog([created, { ...renamed, versions }]), { message })
})

t.test('the fingerprint changes with the rules and with nothing else', async (t) => {
  const { fingerprint } = catalog
  t.match(fingerprint, /^[0-9a-f]{12}$/)
  t.equal(createCatalog([...types].reverse()).fingerprint, fingerprint, 'not with the order')
  t.equal(createCatalog([created, { ...renamed, summary: 'other', personalData: ['first'] }]).fingerprint, fingerprint)
  const changed = {
    effect: [created, { ...renamed, effectVersion: 2 }],
    'number of versions': [created, { ...renamed, versions: renamed.versions.slice(0, 2) }],
    'a type more': [...types, { ...renamed, name: 'Other' }],
    'a type less': [created],
    name: [created, { ...renamed, name: 'Other' }]
  }
  const others = Object.values(changed).map((types) => createCatalog(types).fingerprint)
  t.equal(new Set([fingerprint, ...others]).size, others.length + 1, `with ${Object.keys(changed).join(', ')}`)
})

t.test('the fingerprint includes the version of the rules that all types share', async (t) => {
  const expected = createHash('sha256').update(`state:${STATE_VERSION};`).digest('hex').slice(0, 12)
  t.equal(createCatalog([]).fingerprint, expected)
})
