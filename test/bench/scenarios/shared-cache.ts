/**
 * Whether a shared cache earns its place: a process that has just started reads users that it has not seen, all of whom
 * Redis knows, against the same without Redis. Every measurement is of a process of its own.
 */
import { randomUUID } from 'node:crypto'
import { testRedis } from '../../support/redis.js'
import { until } from '../../support/wait.js'
import { lazily } from '../lazily.js'
import type { Machine, Server } from '../machine.js'
import { seedUsers } from '../seed.js'
import { appendTo, snapshot, statePath, succeeded, succeededText } from './requests.js'
import type { Bench, Measure, Scenario } from './scenario.js'

const USERS = 50
const EVENTS = 5000
const TAIL = 50
/** Snapshots are made by hand, or not at all. */
const SETTINGS = { SNAPSHOT_THRESHOLD: '1000000' }

type Kind = 'replayed' | 'snapshotted'

export function sharedCache({ bring, note }: Bench): Scenario[] {
  const prepare = lazily(async () => {
    const machine = await bring()
    note(`filling the database of the shared cache: ${2 * USERS} users of ${EVENTS} events`)
    const database = await machine.createDatabase('shared_cache')
    const ids = () => Array.from({ length: USERS }, () => randomUUID())
    const users: Record<Kind, string[]> = { replayed: ids(), snapshotted: ids() }
    await seedUsers(database.sql, users.replayed, EVENTS)
    await seedUsers(database.sql, users.snapshotted, EVENTS - TAIL)
    await database.sql.unsafe('VACUUM ANALYZE user_events')
    const redis = await testRedis({ teardown: machine.onStop })
    const withRedis = { ...SETTINGS, REDIS_URL: redis.url }

    const filler = await machine.startService(database, withRedis)
    for (const userId of users.snapshotted) await snapshot(filler, userId)
    await appendTo(filler, users.snapshotted, TAIL)
    await read(machine, filler, [...users.replayed, ...users.snapshotted])
    await until(async () => (await redis.command('DBSIZE')) === 2 * USERS, { what: 'Redis to know all users' })
    await filler.stop()
    return { machine, database, users, withRedis }
  })

  /** Median time of the first read of a user, ms. */
  const firstReads =
    (kind: Kind, shared: boolean): Measure =>
    async () => {
      const { machine, database, users, withRedis } = await prepare()
      const service = await machine.startService(database, shared ? withRedis : SETTINGS)
      const ms = await read(machine, service, users[kind])
      const hits = await sharedHits(service)
      const expected = shared ? USERS : 0
      if (hits !== expected) throw new Error(`${hits} of ${USERS} reads came from Redis; expected ${expected}.`)
      await service.stop()
      return ms
    }
  const common = { unit: 'ms', prepare, slow: true, rounds: 5 } as const
  return [
    {
      ...common,
      name: 'cold process, 5,000 events, from Redis',
      measure: firstReads('replayed', true),
      limits: [{ name: 'full replay, no Redis', measure: firstReads('replayed', false) }]
    },
    {
      ...common,
      name: 'cold process, 5,000 events with a snapshot, from Redis',
      measure: firstReads('snapshotted', true),
      limits: [{ name: `snapshot + ${TAIL} events, no Redis`, measure: firstReads('snapshotted', false) }]
    }
  ]
}

/** One client reads each user once; median, ms. */
async function read(machine: Machine, { url }: Server, users: string[]): Promise<number> {
  const amount = { requests: users.length }
  return succeeded(await machine.load({ url, connections: 1, amount, method: 'GET', paths: users.map(statePath) }))
    .p50Ms
}

async function sharedHits({ url }: Server): Promise<number> {
  const text = await succeededText(await fetch(`${url}/metrics`))
  const [, hits] = /^event_cache_requests_total\{tier="shared",result="hit"\} (\d+)$/m.exec(text) ?? []
  return Number(hits ?? Number.NaN)
}
