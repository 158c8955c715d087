/**
 * Streams as they were stored, each with the state that was worked out for it by hand. These files never change: a new version
 * of an event type is a new file, and a change of the rules that gives another state here does so for the users of every store.
 */
import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import { builtInTypes, createCatalog } from '../src/domain/catalog.js'
import type { FoldEvent } from '../src/domain/event.js'
import { fold, nothingFolded } from '../src/domain/replay.js'
import type { User } from '../src/domain/user.js'
import { deepFreeze } from './support/freeze.js'

type Golden = { events: FoldEvent[]; state: User }

const DIRECTORY = new URL('golden/', import.meta.url)

/** The streams that are replayed here. */
const names = ['locked-twice', 'newest-versions', 'old-and-new-mixed', 'removals-and-merges', 'whole-life-v1']

const catalog = createCatalog()
const streams = await Promise.all(
  names.map(async (name) => {
    const golden: Golden = JSON.parse(await readFile(new URL(`${name}.json`, DIRECTORY), 'utf8'))
    return { name, ...deepFreeze(golden) }
  })
)

t.test('the streams are all the files there are', async (t) => {
  t.strictSame(
    (await readdir(DIRECTORY)).sort(),
    names.map((name) => `${name}.json`)
  )
})

t.test('every stream still folds to its state, whole and event by event', async (t) => {
  for (const { name, events, state } of streams) {
    const key = { tenantId: state.tenantId, userId: state.id }
    const whole = fold(catalog, key, nothingFolded, events)
    t.strictSame(whole, { version: events.length, asOf: events.at(-1)?.createdAt, state }, name)
    const steps = events.reduce((from, event) => fold(catalog, key, deepFreeze(from), [event]), nothingFolded)
    t.strictSame(steps, whole, `${name}, event by event`)
  }
})

t.test('every event is one that the service would store under its schema version', async (t) => {
  for (const { name, events } of streams) {
    for (const { version, ...event } of events)
      t.equal(catalog.schemaVersionOf(event, ''), event.schemaVersion, `${name} ${version}`)
  }
})

t.test('every version of every built-in type is in some stream', async (t) => {
  const covered = new Set(
    streams.flatMap(({ events }) => events.map((event) => `${event.eventType} ${event.schemaVersion}`))
  )
  for (const { name, versions } of builtInTypes)
    for (const i of versions.keys()) t.ok(covered.has(`${name} ${i + 1}`), `${name} ${i + 1}`)
})
