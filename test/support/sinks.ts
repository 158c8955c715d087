/** Events to publish, what arrived of them, and what every sink of a broker must do, whichever it is. */
import { randomUUID } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import type { StoredEvent } from '../../src/domain/event.js'
import type { Outcome, Sink } from '../../src/domain/sink.js'
import { type Random, randomOf, seedOf } from './random.js'
import type { TestServer } from './server.js'
import { storedEvent } from './stored-events.js'
import { traceparent } from './traces.js'
import { until } from './wait.js'

/** A message as a consumer found it. */
export type Arrival = { to: string; headers: Record<string, string>; body: string }

export const EVENT_TYPES = ['UserCreated', 'UserUpdated', 'LoginInfoUpdated']

/** A signal that nobody aborts. */
export const never = (): AbortSignal => new AbortController().signal

/** `count` events of `users` users as a log holds them: drawn at random, versions of each from 1 and without gaps. */
export function logOf(random: Random, { users, count }: { users: number; count: number }): StoredEvent[] {
  const ids = Array.from({ length: users }, () => randomUUID())
  const versions = new Map<string, number>()
  return Array.from({ length: count }, (_, i) => {
    const aggregateId = random.pick(ids)
    const version = (versions.get(aggregateId) ?? 0) + 1
    versions.set(aggregateId, version)
    const metadata = random.below(2) === 0 ? null : { $traceparent: traceparent() }
    return storedEvent({ aggregateId, version, position: i + 1, eventType: random.pick(EVENT_TYPES), metadata })
  })
}

/** How many of each kind of outcome. */
export function countOf(outcomes: readonly Outcome[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { kind } of outcomes) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

/** The events that arrived, in order, with repetitions. */
const eventsOf = (arrivals: readonly Arrival[]): StoredEvent[] =>
  arrivals.map(({ body }) => JSON.parse(body) as StoredEvent)

/**
 * Claims that exactly `log` arrived, events first arrived in the order of versions of their users, and no more than
 * `duplicatesMax` arrived again. Returns how many did.
 */
export function checkArrivals(t: Test, arrivals: readonly Arrival[], log: readonly StoredEvent[], duplicatesMax = 0) {
  const firsts = new Map<string, StoredEvent>()
  for (const event of eventsOf(arrivals)) if (!firsts.has(event.id)) firsts.set(event.id, event)
  t.strictSame(new Set(firsts.keys()), new Set(log.map(({ id }) => id)), 'all arrived, and nothing else')
  const byId = new Map(log.map((event) => [event.id, event]))
  const altered = [...firsts.values()].filter((event) => JSON.stringify(event) !== JSON.stringify(byId.get(event.id)))
  t.strictSame(altered, [], 'as they were')
  const versions = new Map<string, number>()
  let outOfOrder = 0
  for (const { aggregateId, version } of firsts.values()) {
    if (version !== (versions.get(aggregateId) ?? 0) + 1) outOfOrder++
    versions.set(aggregateId, version)
  }
  t.equal(outOfOrder, 0, 'in the order of each user')
  const duplicates = arrivals.length - firsts.size
  t.ok(duplicates <= duplicatesMax, `${duplicates} duplicates, at most ${duplicatesMax}`)
  return duplicates
}

/** The headers that every sink sends with an event. */
export const headersOfEvent = (event: StoredEvent) => ({
  'content-type': 'application/json',
  'event-id': event.id,
  'event-type': event.eventType,
  'user-id': event.aggregateId,
  version: String(event.version),
  position: String(event.position),
  traceparent: event.metadata?.$traceparent
})

/**
 * Publishes a log in batches as a relay does: what was not delivered is published again, first of all. Tells of every publish
 * that failed, and returns how many did.
 */
export async function relay(sink: Sink, log: readonly StoredEvent[], batchSize: number, onFault = () => {}) {
  let faults = 0
  for (let from = 0; from < log.length; ) {
    const batch = log.slice(from, from + batchSize)
    const outcomes = await sink.publish(batch, never())
    if (outcomes.every(({ kind }) => kind === 'delivered')) {
      from += batch.length
      continue
    }
    faults++
    onFault()
    await pause(20) // The pace of a relay that backs off.
  }
  return faults
}

export async function timed<T>(work: Promise<T>): Promise<{ result: T; ms: number }> {
  const start = performance.now()
  return { result: await work, ms: performance.now() - start }
}

export type SinkUnderTest = {
  server: TestServer
  /** A sink to a place of that name, which is made. */
  open(place: string): Promise<Sink>
  /** A sink to an address where nothing listens. */
  openNowhere(): Promise<Sink>
  /** What is there, in the order in which a consumer gets it. */
  arrivals(place: string): Promise<Arrival[]>
  /** How many are there, if that is known sooner than what they are. */
  count?: (place: string) => Promise<number>
  /** so many events in one publish that it takes a while */
  many?: number
}

/** The claims that hold for every sink of a broker. The server keeps what it acknowledged when it is killed. */
export function claimSink(t: Test, { server, open, openNowhere, arrivals, ...rest }: SinkUnderTest): void {
  const { count = async (place) => (await arrivals(place)).length, many = 2000 } = rest

  t.test('events of many users arrive complete, in the order of each user, with their headers', async (t) => {
    const log = logOf(randomOf(seedOf(t)), { users: 60, count: 1000 })
    const sink = await open('complete')
    t.equal(await relay(sink, log, 500), 0)
    await sink.close()
    const found = await arrivals('complete')
    checkArrivals(t, found, log)
    const byId = new Map(log.map((event) => [event.id, event]))
    for (const { headers } of found) t.match(headers, headersOfEvent(byId.get(headers['event-id']!)!))
  })

  t.test(
    'a server that is killed between and amid batches, and comes back, gets all of them from the same sink',
    async (t) => {
      const random = randomOf(seedOf(t))
      const log = logOf(random, { users: 100, count: 6000 })
      const sink = await open('killed')
      let kills = 0
      let faults = 0
      let running = true
      const relayed = relay(sink, log, 300, () => void faults++).finally(() => (running = false))
      for (; kills < 2 && running; kills++) {
        const [arrived, more, failed] = [await count('killed'), random.below(500), faults]
        await until(async () => !running || (await count('killed')) > arrived + more)
        await server.kill()
        await until(() => faults > failed, { what: 'a publish that fails' })
        await server.start()
      }
      await relayed
      await sink.close()
      t.equal(kills, 2, 'killed in mid-stream')
      const duplicates = checkArrivals(t, await arrivals('killed'), log, 300 * kills)
      t.comment(`${faults} failed publishes, ${duplicates} duplicates`)
    }
  )

  t.test(
    'a server that says nothing is unavailable within seconds, and gets the events when it speaks again',
    async (t) => {
      const log = logOf(randomOf(seedOf(t)), { users: 5, count: 50 })
      const sink = await open('silent')
      const other = await open('silent again')
      t.strictSame(countOf(await sink.publish(log.slice(0, 10), never())), { delivered: 10 })
      server.freeze()
      const [connected, fresh] = await Promise.all([
        timed(sink.publish(log.slice(10), never())),
        timed(other.publish(log, never()))
      ])
      const closed = await timed(other.close())
      server.resume()
      t.ok(connected.ms < 6000, `${connected.ms} ms`)
      // What was sent while the signal was on its way may have arrived.
      const unavailable = connected.result.filter(({ kind }) => kind === 'unavailable')
      t.match(unavailable[0], { kind: 'unavailable', reason: /no answer|timed? ?out/i })
      t.ok(fresh.ms < 6000, `${fresh.ms} ms without a connection`)
      t.match(fresh.result[0], { kind: 'unavailable', reason: /no answer|timed? ?out/i })
      t.ok(closed.ms < 2000, `closed in ${closed.ms} ms`)
      await relay(sink, log.slice(10), 40)
      await sink.close()
      checkArrivals(t, await arrivals('silent'), log, 40)
    }
  )

  t.test('an address where nothing listens makes everything unavailable, at once and with a reason', async (t) => {
    const sink = await openNowhere()
    const { result, ms } = await timed(sink.publish([storedEvent(), storedEvent()], never()))
    t.match(result, [
      { kind: 'unavailable', reason: /ECONNREFUSED|refused|failed/i },
      { kind: 'unavailable', reason: /\w/ }
    ])
    t.notMatch(result[0], { reason: /hunter2/ }, 'without the password')
    t.ok(ms < 5500, `${ms} ms`)
    await sink.close()
  })

  t.test('closed amid a publish, it says what is not known to have arrived, and sends nothing any more', async (t) => {
    const log = logOf(randomOf(seedOf(t)), { users: 3, count: many })
    const sink = await open('closed')
    const publishing = sink.publish(log, never())
    await until(async () => (await count('closed')) > 0)
    await sink.close()
    const outcomes = await publishing
    const found = await arrivals('closed')
    t.equal(outcomes.length, log.length)
    t.ok(countOf(outcomes).unavailable, 'it was closed amid the publish')
    const arrived = new Set(eventsOf(found).map(({ id }) => id))
    t.ok(
      log.every(({ id }, i) => outcomes[i]!.kind !== 'delivered' || arrived.has(id)),
      'what it calls delivered is there'
    )
    t.match(await sink.publish(log.slice(0, 1), never()), [{ kind: 'unavailable', reason: /closed/ }])
    t.equal((await arrivals('closed')).length, found.length)
  })

  t.test('told to stop, it sends no further event', async (t) => {
    const log = logOf(randomOf(seedOf(t)), { users: 3, count: many })
    const sink = await open('stopped')
    t.strictSame(countOf(await sink.publish(log, AbortSignal.abort())), { held: log.length })
    const stop = new AbortController()
    const publishing = sink.publish(log, stop.signal)
    await until(async () => (await count('stopped')) > 0)
    stop.abort()
    const counts = countOf(await publishing)
    t.ok(counts.delivered! < log.length, `${counts.delivered} delivered`)
    t.equal((await arrivals('stopped')).length, counts.delivered, 'and all that was sent is known to have arrived')
    await sink.close()
  })
}
