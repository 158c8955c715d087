/** The sink for Redis Streams against a real redis-server. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openRedisStreamsSink } from '../../src/edge/redis-streams-sink.js'
import { testRedis } from '../support/redis.js'
import { freePort } from '../support/server.js'
import { type Arrival, claimSink, countOf, never } from '../support/sinks.js'
import { storedEvent } from '../support/stored-events.js'

const dir = await mkdtemp(join(tmpdir(), 'redis-'))
t.teardown(() => rm(dir, { recursive: true, force: true }))
// What it said it took survives a kill.
const redis = await testRedis(t, { dir, appendonly: 'yes', appendfsync: 'always' })

/** The entries of a stream, with the fields told as the headers that other brokers have. */
async function arrivals(stream: string): Promise<Arrival[]> {
  const entries = (await redis.command('XRANGE', stream, '-', '+')) as [string, string[]][]
  return entries.map(([, list]) => {
    const fields = new Map(list.flatMap((name, i) => (i % 2 ? [] : [[name, list[i + 1]!]])))
    const field = (name: string): string => fields.get(name)!
    const headers = {
      'content-type': 'application/json',
      'event-id': field('id'),
      'event-type': field('eventType'),
      'user-id': field('userId'),
      version: field('version'),
      position: field('position'),
      ...(fields.has('traceparent') ? { traceparent: field('traceparent') } : {})
    }
    return { to: stream, headers, body: field('event') }
  })
}

claimSink(t, {
  server: redis,
  open: async (place) => openRedisStreamsSink({ stream: place, url: redis.url }),
  openNowhere: async () =>
    openRedisStreamsSink({ stream: 'x', url: `redis://ada:hunter2@127.0.0.1:${await freePort()}` }),
  arrivals
})

t.test('a stream keeps about maxLength entries, and all without it', async (t) => {
  const events = Array.from({ length: 2000 }, (_, i) => storedEvent({ position: i + 1 }))
  for (const [stream, maxLength] of [
    ['trimmed', 500],
    ['untrimmed', undefined]
  ] as const) {
    const sink = openRedisStreamsSink({ stream, maxLength, url: redis.url })
    t.strictSame(countOf(await sink.publish(events, never())), { delivered: 2000 })
    await sink.close()
  }
  const length = Number(await redis.command('XLEN', 'trimmed'))
  t.ok(length >= 500 && length < 700, `${length} entries`)
  t.equal(Number(await redis.command('XLEN', 'untrimmed')), 2000)
})

t.test('a key that is no stream takes nothing, and the reason says so', async (t) => {
  await redis.command('SET', 'text', 'x')
  const sink = openRedisStreamsSink({ stream: 'text', url: redis.url })
  const event = storedEvent()
  const later = storedEvent({ aggregateId: event.aggregateId, version: 2 })
  const reason =
    'The key "text" of Redis is not a stream. Delete or rename it, or give the subscription another stream.'
  t.strictSame(await sink.publish([event, later], never()), [{ kind: 'unavailable', reason }, { kind: 'held' }])
  await redis.command('DEL', 'text')
  t.strictSame(countOf(await sink.publish([event, later], never())), { delivered: 2 })
  await sink.close()
})

t.test('a Redis that is out of memory, or a replica, takes nothing until it is neither', async (t) => {
  const sink = openRedisStreamsSink({ stream: 'troubled', url: redis.url })
  const event = storedEvent()
  const later = storedEvent({ aggregateId: event.aggregateId, version: 2 })
  for (const [error, command, remedy] of [
    ['OOM', ['CONFIG', 'SET', 'maxmemory', '1'], ['CONFIG', 'SET', 'maxmemory', '0']],
    ['READONLY', ['REPLICAOF', '127.0.0.1', '1'], ['REPLICAOF', 'NO', 'ONE']]
  ] as const) {
    await redis.command(...command)
    const [first, second] = await sink.publish([event, later], never())
    t.match(first, { kind: 'unavailable', reason: new RegExp(`^Redis takes nothing: ${error} `) })
    t.match(second, { kind: 'held' })
    await redis.command(...remedy)
    t.strictSame(countOf(await sink.publish([event, later], never())), { delivered: 2 })
  }
  await sink.close()
})

t.test('a connection that the server ended while nothing was published costs nothing', async (t) => {
  const sink = openRedisStreamsSink({ stream: 'idle', url: redis.url })
  t.strictSame(await sink.publish([storedEvent()], never()), [{ kind: 'delivered' }])
  await redis.kill()
  await redis.start()
  t.strictSame(await sink.publish([storedEvent()], never()), [{ kind: 'delivered' }])
  await sink.close()
})
