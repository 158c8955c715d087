/**
 * Random histories of the whole service against a model of a few lines. FC_SEED (and FC_PATH, both printed on failure) runs
 * one again.
 */
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { compose } from '../../src/compose.js'
import { loadConfig } from '../../src/config.js'
import { createCatalog } from '../../src/domain/catalog.js'
import { DEFAULT_TENANT, type StoredEvent } from '../../src/domain/event.js'
import { fold, nothingFolded } from '../../src/domain/replay.js'
import { type TestDatabase, testDatabase } from '../support/db.js'
import { seedOf } from '../support/random.js'
import { until } from '../support/wait.js'

const USERS = 3
const TIME_MS = 10_000
const catalog = createCatalog()

type Sent = { id: string; eventType: string; eventData: Record<string, unknown> }
type Answer = { status: number; data: Record<string, any> }
type Request = { user: number; expectedVersion: number | string; events: Sent[] }

/** What the model knows: the events of each user, every request that was stored, and how many snapshots there can be. */
type Model = { streams: Sent[][]; stored: Request[] }

type Real = {
  userIds: string[]
  ask(method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object): Promise<Answer>
  restart(): Promise<void>
}

type Command = fc.AsyncCommand<Model, Real>

/** The rules of an append, once more and independently: what must be answered, given the events so far. */
function expected({ expectedVersion, events }: Request, stream: Sent[]): { status: number; code?: string } {
  const places = events.map(({ id }) => stream.findIndex((old) => old.id === id))
  if (places.some((place) => place >= 0)) {
    const same = places.every(
      (place, i) => place === places[0]! + i && JSON.stringify(stream[place]) === JSON.stringify(events[i])
    )
    return same && places[0]! >= 0 ? { status: 200 } : { status: 409, code: 'EVENT_ID_REUSED' }
  }
  const version = stream.length
  const wanted = expectedVersion === 'none' ? 0 : expectedVersion
  if (typeof wanted === 'number' ? wanted !== version : wanted === 'exists' && version === 0)
    return { status: 409, code: 'VERSION_CONFLICT' }
  const creates = events[0]!.eventType === 'UserCreated'
  if (version === 0) return creates ? { status: 201 } : { status: 422, code: 'USER_NOT_CREATED' }
  if (stream.at(-1)!.eventType === 'UserDeleted') return { status: 422, code: 'USER_DELETED' }
  return creates ? { status: 422, code: 'USER_ALREADY_CREATED' } : { status: 201 }
}

async function appendAndCheck(model: Model, real: Real, request: Request): Promise<void> {
  const { user, expectedVersion, events } = request
  const stream = model.streams[user]!
  const wanted = expected(request, stream)
  const before = stream.length
  const { status, data } = await real.ask('POST', `/users/${real.userIds[user]}/events`, { expectedVersion, events })
  equal({ status, code: data.code }, { status: wanted.status, code: wanted.code }, JSON.stringify(data))
  if (wanted.code === 'VERSION_CONFLICT') equal(data.currentVersion, before)
  if (status === 201) {
    stream.push(...events)
    model.stored.push(request)
  }
  if (status === 201 || status === 200) {
    const first = stream.findIndex(({ id }) => id === events[0]!.id) + 1
    equal(
      data.events.map(({ id, version }: { id: string; version: number }) => [id, version]),
      events.map(({ id }, i) => [id, first + i])
    )
    equal(data.version, first + events.length - 1)
  }
}

const command = (
  name: string,
  check: (model: Model) => boolean,
  run: (model: Model, real: Real) => Promise<void>
): Command => ({
  check,
  run,
  toString: () => name
})

const always = () => true
const user = fc.nat(USERS - 1)
const name = fc.string({ minLength: 1, maxLength: 20 })

const change: fc.Arbitrary<Omit<Sent, 'id'>> = fc.oneof(
  fc.record({ eventType: fc.constant('UserUpdated'), eventData: fc.record({ fullName: name }) }),
  fc.record({
    eventType: fc.constant('UserUpdated'),
    eventData: fc.record({
      attributes: fc.dictionary(
        fc.stringMatching(/^[a-z]{1,3}$/),
        fc.oneof(fc.integer(), name, fc.constant(null), fc.boolean())
      )
    })
  }),
  fc.constant({
    eventType: 'LoginInfoUpdated',
    eventData: { ipAddress: '203.0.113.7', loginAt: '2026-11-22T08:00:00.000Z' }
  }),
  fc.constant({
    eventType: 'LoginInfoUpdated',
    eventData: { ipAddress: { address: '2001:db8::1', family: 6 }, loginAt: '2026-11-22T08:00:00.000Z' }
  }),
  fc.record({
    eventType: fc.constant('RolesAssigned'),
    eventData: fc.record({
      roleIds: fc.uniqueArray(fc.stringMatching(/^[a-z]{1,5}$/)),
      assignedBy: fc.constant('root')
    })
  }),
  fc.constant({
    eventType: 'AccountLocked',
    eventData: { reason: 'too many', loginAttempts: 5, lockedUntil: '2026-11-22T09:00:00.000Z' }
  }),
  fc.constant({ eventType: 'AccountUnlocked', eventData: { unlockedBy: 'support' } })
)
const creation = fc.constant({ eventType: 'UserCreated', eventData: { username: 'ada', email: 'ada@example.com' } })
const deletion = fc.constant({ eventType: 'UserDeleted', eventData: { deletedBy: 'support' } })

const events = fc
  .tuple(
    fc.array(change, { minLength: 1, maxLength: 6 }),
    fc.option(creation, { freq: 3 }),
    fc.option(deletion, { freq: 40 })
  )
  .map(([middle, first, last]) => [...(first ? [first] : []), ...middle, ...(last ? [last] : [])])

const withIds = (drawn: Omit<Sent, 'id'>[]): Sent[] => drawn.map((event) => ({ id: randomUUID(), ...event }))

/** An expectation that is right more often than not: `offset` is from the version the user has. */
const expectation = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('any', 'exists') },
  { weight: 1, arbitrary: fc.constant('none') },
  { weight: 4, arbitrary: fc.constantFrom(0, 0, 0, 1, -1) }
)

const appends = fc.tuple(user, expectation, events).map(([of, expects, drawn]) =>
  command(`append(user ${of}, ${expects}, ${drawn.map(({ eventType }) => eventType)})`, always, async (model, real) => {
    const version = model.streams[of]!.length
    // A user comes into being more often than by chance, or most histories would be of nobody.
    const list =
      version === 0 && drawn[0]!.eventType !== 'UserCreated' && expects === 'any' ? [CREATED, ...drawn] : drawn
    const expectedVersion = typeof expects === 'number' ? Math.max(0, version + expects) : expects
    await appendAndCheck(model, real, { user: of, expectedVersion, events: withIds(list) })
  })
)
const CREATED = { eventType: 'UserCreated', eventData: { username: 'eve', email: 'eve@example.com' } }

const retries = fc.tuple(fc.nat(), expectation).map(([nth, expects]) =>
  command(
    `retry(${nth}, ${expects})`,
    ({ stored }) => stored.length > 0,
    async (model, real) => {
      const request = model.stored[nth % model.stored.length]!
      await appendAndCheck(model, real, { ...request, expectedVersion: typeof expects === 'number' ? 12_345 : expects })
    }
  )
)

const reuses = fc.tuple(fc.nat(), fc.constantFrom('content', 'part', 'order')).map(([nth, how]) =>
  command(
    `reuse(${nth}, ${how})`,
    ({ stored }) => stored.length > 0,
    async (model, real) => {
      const request = model.stored[nth % model.stored.length]!
      const [first, ...rest] = request.events as [Sent, ...Sent[]]
      const fresh = { id: randomUUID(), eventType: 'AccountUnlocked', eventData: { unlockedBy: 'other' } }
      if (first.eventType === 'UserCreated' && how === 'order') return
      const list = {
        content: [{ ...first, eventType: 'UserUpdated', eventData: { fullName: 'somebody else' } }, ...rest],
        part: [...(first.eventType === 'UserCreated' ? [first] : [fresh, first]), fresh].slice(0, 2),
        order: rest.length > 0 ? [rest[0]!, first] : [fresh, first]
      }[how as 'content' | 'part' | 'order']
      // A deletion may only stand last; the service says so before it looks at ids.
      if (list.slice(0, -1).some(({ eventType }) => eventType === 'UserDeleted')) return
      await appendAndCheck(model, real, { ...request, expectedVersion: 'any', events: list })
    }
  )
)

const states = fc
  .tuple(user, fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean())
  .map(([of, share, useSnapshot]) =>
    command(`state(user ${of}, ${share.toFixed(2)}, ${useSnapshot})`, always, async (model, real) => {
      const head = model.streams[of]!.length
      const version = Math.ceil(share * (head + 1))
      if (version === 0) return
      const { status, data } = await real.ask(
        'GET',
        `/users/${real.userIds[of]}/state?version=${version}&useSnapshot=${useSnapshot}`
      )
      if (head === 0) equal([status, data.code], [404, 'USER_NOT_FOUND'])
      else if (version > head) equal([status, data.code, data.currentVersion], [404, 'VERSION_NOT_FOUND', head])
      else checkState(data, model.streams[of]!.slice(0, version), useSnapshot)
    })
  )

/** The parts of the state that can be told at a glance, without the reducer. */
function checkState({ version, state, replay }: Record<string, any>, stream: Sent[], useSnapshot: boolean): void {
  const logins = stream.filter(({ eventType }) => eventType === 'LoginInfoUpdated').length
  const named = stream.findLast(({ eventData }) => 'fullName' in eventData)
  equal(
    [version, state.totalLogins, state.fullName, state.status],
    [
      stream.length,
      logins,
      named?.eventData.fullName ?? null,
      stream.at(-1)!.eventType === 'UserDeleted' ? 'deleted' : 'active'
    ]
  )
  if (replay.source !== 'cache') equal((replay.snapshotVersion ?? 0) + replay.eventsApplied, version)
  if (!useSnapshot) equal(replay.source, 'events')
}

const pages = fc
  .tuple(user, fc.integer({ min: 1, max: 7 }), fc.constantFrom('forward', 'backward'))
  .map(([of, limit, direction]) =>
    command(
      `pages(user ${of}, ${limit}, ${direction})`,
      ({ streams }) => streams[of]!.length > 0,
      async (model, real) => {
        const ids = model.streams[of]!.map(({ id }) => id)
        const read = (await readPages(real, real.userIds[of]!, limit, direction)).map(({ id }) => id)
        equal(read, direction === 'forward' ? ids : ids.reverse())
      }
    )
  )

/** All events of a user as they were stored, page by page. */
async function readPages(real: Real, userId: string, limit: number, direction: string): Promise<StoredEvent[]> {
  const read: StoredEvent[] = []
  let cursor: string | null = null
  do {
    const { status, data }: Answer = await real.ask(
      'GET',
      `/users/${userId}/events?limit=${limit}&direction=${direction}&upcast=false${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`
    )
    equal(status, 200)
    read.push(...data.events)
    cursor = data.next
  } while (cursor)
  return read
}

const snapshots = user.map((of) =>
  command(`snapshot(user ${of})`, always, async (model, real) => {
    const head = model.streams[of]!.length
    const { status, data } = await real.ask('POST', `/admin/users/${real.userIds[of]}/snapshots`, {})
    if (head === 0) equal(status, 404)
    else equal([status === 201 || status === 200, data.version], [true, head])
  })
)

const cleanUps = fc.tuple(user, fc.nat(3)).map(([of, retain]) =>
  command(
    `cleanUp(user ${of}, ${retain})`,
    ({ streams }) => streams[of]!.length > 0,
    async (_model, real) => {
      const path = `/users/${real.userIds[of]}/snapshots`
      const before = (await real.ask('GET', path)).data.snapshots
      const { data } = await real.ask('POST', `/admin${path}/cleanup`, { retain })
      const after = (await real.ask('GET', path)).data.snapshots
      equal([data.deleted, after], [Math.max(0, before.length - retain), before.slice(0, retain)])
    }
  )
)

const deletions = user.map((of) =>
  command(
    `deleteSnapshots(user ${of})`,
    ({ streams }) => streams[of]!.length > 0,
    async (_model, real) => {
      equal((await real.ask('DELETE', `/admin/users/${real.userIds[of]}/snapshots`)).status, 200)
      equal((await real.ask('GET', `/users/${real.userIds[of]}/snapshots`)).data.snapshots, [])
    }
  )
)

const restarts = fc.constant(command('restart', always, (_model, real) => real.restart()))

/** At every version and at every moment: the state is the fold of the events read, whatever snapshots there are. */
async function checkAll(model: Model, real: Real): Promise<void> {
  for (const [of, stream] of model.streams.entries()) {
    if (stream.length === 0) continue
    const userId = real.userIds[of]!
    const read = await readPages(real, userId, 1000, 'forward')
    equal(
      read.map(({ id, eventType, eventData, version }) => ({ id, eventType, eventData, version })),
      stream.map((event, i) => ({ ...event, version: i + 1 }))
    )
    let replay = nothingFolded
    const folds = read.map((event) => {
      replay = fold(catalog, { tenantId: DEFAULT_TENANT, userId }, replay, [event])
      return { createdAt: event.createdAt, version: event.version, state: replay.state }
    })
    await Promise.all(
      folds.map(async ({ version, createdAt, state }) => {
        const byVersion = await real.ask('GET', `/users/${userId}/state?version=${version}`)
        equal([byVersion.data.version, byVersion.data.asOf, byVersion.data.state], [version, createdAt, state])
        const last = folds.findLast((other) => other.createdAt <= createdAt)!
        const byMoment = await real.ask('GET', `/users/${userId}/state?at=${createdAt}`)
        equal([byMoment.data.version, byMoment.data.asOf, byMoment.data.state], [last.version, createdAt, last.state])
      })
    )
  }
}

/** Equal as JSON, whatever the order of keys: jsonb keeps none. */
function equal(found: unknown, wanted: unknown, why = ''): void {
  const [a, b] = [found, wanted].map((value) => JSON.stringify(value, inOrder))
  if (a !== b) throw new Error(`found ${a}, wanted ${b}. ${why}`)
}

const inOrder = (_key: string, part: unknown): unknown =>
  part && typeof part === 'object' && !Array.isArray(part)
    ? Object.fromEntries(
        Object.keys(part)
          .sort()
          .map((key) => [key, (part as Record<string, unknown>)[key]])
      )
    : part

async function startReal({ url }: TestDatabase) {
  const config = loadConfig({ DATABASE_POOL_MAX: '3', RETAIN_SNAPSHOTS: '3' })
  let service = await compose(config, url, false)
  return {
    async ask(method: 'GET' | 'POST' | 'DELETE', path: string, payload?: object): Promise<Answer> {
      // On a machine that is busy with other things the service may refuse work; it must take it again soon.
      const response = await until(async () => {
        const answer = await service.app.inject({ method, url: path, ...(payload ? { payload } : {}) })
        return answer.statusCode === 503 ? null : answer
      })
      return { status: response.statusCode, data: response.json() }
    },
    async restart() {
      await service.stop()
      service = await compose(config, url, false)
    },
    stop: () => service.stop()
  }
}

t.test('random histories: outcomes, versions, pages and states are those of the model', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const real = await startReal(database)
  t.teardown(() => real.stop())
  let histories = 0
  let steps = 0
  const weighted = [
    appends,
    appends,
    appends,
    retries,
    reuses,
    states,
    states,
    pages,
    snapshots,
    snapshots,
    cleanUps,
    deletions
  ]
  const property = fc.asyncProperty(
    fc.commands([...weighted, restarts], { maxCommands: 60, size: 'max' }),
    async (commands) => {
      const model: Model = { streams: Array.from({ length: USERS }, () => []), stored: [] }
      const userIds = Array.from({ length: USERS }, () => randomUUID())
      await fc.asyncModelRun(() => ({ model, real: { ...real, userIds } }), commands)
      await checkAll(model, { ...real, userIds })
      histories++
      steps += [...commands].length
    }
  )
  const result = await fc.check(property, {
    seed,
    ...(process.env.FC_PATH ? { path: process.env.FC_PATH } : {}),
    numRuns: 500,
    interruptAfterTimeLimit: TIME_MS,
    markInterruptAsFailure: false
  })
  t.notOk(
    result.failed,
    result.failed ? `${result.errorInstance} ${fc.defaultReportMessage(result)}` : 'no history contradicts the model'
  )
  t.comment(`${histories} histories, ${steps} commands`)
  t.ok(histories > 0, 'some histories were run')
})
