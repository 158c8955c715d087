/** The same at a large database as at a small one, both of which nothing else is done with. */
import { lazily } from '../lazily.js'
import type { LoadPlan } from '../load.js'
import type { Machine, Server } from '../machine.js'
import { bulkUser, EVENTS_PER_USER, seedEvents } from '../seed.js'
import { bodyOf, eventsPath, JSON_BODY, statePath, succeeded } from './requests.js'
import type { Bench, Measure, Scenario } from './scenario.js'
import { settle } from './settle.js'

const SMALL_EVENTS = 10_000
/** Users that are appended to and read again and again; all others are read cold. */
const HOT_USERS = 250
const COLD_USERS_MAX = 20_000
const CONNECTIONS = 64

/** Fewer events leave too few users to read each of them once. */
export const GROWTH_EVENTS_MIN = 20_000

type Store = {
  /** keeps what it has read, as a service does */
  hot: Server
  /** keeps but one state */
  cold: Server
}

export function growth({ bring, plan, note }: Bench): Scenario[] {
  const { durationMs, growTo, rounds } = plan
  if (growTo === 0) return []
  const prepare = lazily(async () => {
    const machine = await bring()
    const fill = async (name: string, events: number): Promise<Store> => {
      const database = await machine.createDatabase(name)
      await seedEvents(database.sql, events, (done) => note(`filling: ${done} of ${events} events`))
      const hot = await machine.startService(database)
      await settle(database, hot, note)
      return { hot, cold: await machine.startService(database, { CACHE_MAX_USERS: '1' }) }
    }
    return { machine, small: await fill('grown_from', SMALL_EVENTS), large: await fill('grown_to', growTo) }
  })

  const hotUsers = Array.from({ length: HOT_USERS }, (_, number) => bulkUser(number))
  const load = async (machine: Machine, server: Server, rest: Omit<LoadPlan, 'url' | 'connections'>) =>
    succeeded(await machine.load({ url: server.url, connections: CONNECTIONS, ...rest })).perSecond
  const post =
    (size: 'small' | 'large'): Measure =>
    async () => {
      const { machine, ...stores } = await prepare()
      const paths = hotUsers.map(eventsPath)
      const body = { method: 'POST', headers: JSON_BODY, body: bodyOf(1) } as const
      return await load(machine, stores[size].hot, { ...body, amount: { durationMs }, paths })
    }
  const get =
    (size: 'small' | 'large'): Measure =>
    async () => {
      const { machine, ...stores } = await prepare()
      return await load(machine, stores[size].hot, {
        method: 'GET',
        amount: { durationMs },
        paths: hotUsers.map(statePath)
      })
    }

  /** Users of the large store that were not read before, from all over it, each once. */
  const coldOnes = coldUsers(growTo / EVENTS_PER_USER, rounds + 1)
  const coldGet: Measure = async () => {
    const { machine, large } = await prepare()
    const paths = coldOnes.next().value!.map(statePath)
    return await load(machine, large.cold, { method: 'GET', amount: { requests: paths.length }, paths })
  }
  /** The few that the small store has, again and again: rows that are surely in memory make the stricter limit. */
  const coldGetOfSmall: Measure = async () => {
    const { machine, small } = await prepare()
    const users = Array.from({ length: SMALL_EVENTS / EVENTS_PER_USER - HOT_USERS }, (_, i) => bulkUser(HOT_USERS + i))
    return await load(machine, small.cold, { method: 'GET', amount: { durationMs }, paths: users.map(statePath) })
  }
  const statistics =
    (size: 'small' | 'large'): Measure =>
    async () => {
      const { machine, ...stores } = await prepare()
      const { url } = stores[size].hot
      const paths = ['/stats/events']
      return succeeded(await machine.load({ url, connections: 1, amount: { durationMs }, method: 'GET', paths })).p50Ms
    }

  const at = `at ${growTo} stored events`
  const limit = (measure: Measure, bar?: number) => ({
    name: `at ${SMALL_EVENTS}`,
    measure,
    ...(bar === undefined ? {} : { bar })
  })
  const common = { prepare, slow: true } as const
  return [
    {
      ...common,
      name: `append ${at}`,
      unit: 'rate',
      measure: post('large'),
      limits: [limit(post('small'), 0.85)]
    },
    {
      ...common,
      name: `state ${at}, hot`,
      unit: 'rate',
      measure: get('large'),
      limits: [limit(get('small'), 0.85)]
    },
    {
      ...common,
      name: `state ${at}, users not read before`,
      unit: 'rate',
      measure: coldGet,
      limits: [limit(coldGetOfSmall, 0.85)]
    },
    {
      ...common,
      name: `statistics ${at}`,
      unit: 'ms',
      measure: statistics('large'),
      atMost: 50,
      limits: [limit(statistics('small'))]
    }
  ]
}

/** Ids for one measurement after the other: no user comes twice, and each time they are from all over the store. */
function* coldUsers(users: number, times: number): Generator<string[], never> {
  const count = Math.min(COLD_USERS_MAX, Math.floor((users - HOT_USERS) / times))
  const step = Math.floor((users - HOT_USERS) / count)
  for (let turn = 0; turn < step; turn++)
    yield Array.from({ length: count }, (_, i) => bulkUser(HOT_USERS + i * step + turn))
  throw new Error('All users have been read.')
}
