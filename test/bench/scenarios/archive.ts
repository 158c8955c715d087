/** What a run of the archive costs those who append and read meanwhile, and what it frees. */
import { until } from '../../support/wait.js'
import { lazily } from '../lazily.js'
import type { Database, Server } from '../machine.js'
import { bulkUser, EVENTS_PER_USER, seedEvents } from '../seed.js'
import { bodyOf, eventsPath, JSON_BODY, statePath, succeeded } from './requests.js'
import type { Bench, Measure, Scenario } from './scenario.js'

const EVENTS = 2_000_000
const OLD_EVENTS = 1_500_000
const OLD = `date_trunc('day', clock_timestamp()) - interval '3 years' + u % 300 * interval '1 day' + v * interval '1 second'`
const HOT_USERS = 250
const CONNECTIONS = 64
const MB = 1024 * 1024

type Sizes = { table: number; indexes: number }

/** Two stores that are the same; one archives. */
export function archive({ bring, plan, note }: Bench): Scenario[] {
  const { durationMs } = plan
  const prepare = lazily(async () => {
    const machine = await bring()
    const fill = async (name: string): Promise<{ database: Database; server: Server }> => {
      const database = await machine.createDatabase(name)
      const onProgress = (done: number) => note(`filling: ${done} of ${EVENTS} events`)
      await seedEvents(database.sql, OLD_EVENTS, onProgress, OLD)
      await seedEvents(database.sql, EVENTS, onProgress)
      return { database, server: await machine.startService(database, { ARCHIVE_AFTER_DAYS: '0' }) }
    }
    const [moving, still] = [await fill('archiving'), await fill('not_archiving')]
    for (const { server } of [moving, still])
      await until(async () => (await archiveOf(server)).heldBackBy.length === 0, {
        timeoutMs: 3_600_000,
        everyMs: 2000,
        what: 'the followers of the log'
      })
    for (const { database } of [moving, still]) await database.sql.unsafe('VACUUM ANALYZE user_events')
    const before = await sizesOf(moving.database)
    const asked = await fetch(`${moving.server.url}/admin/archive/runs`, {
      method: 'POST',
      headers: JSON_BODY,
      body: JSON.stringify({ olderThanDays: 365 })
    })
    if (asked.status !== 202) throw new Error(await asked.text())
    await until(async () => (await archiveOf(moving.server)).runs[0]!.status !== 'waiting', {
      timeoutMs: 60_000,
      what: 'the run to begin'
    })
    return { machine, moving, still, before }
  })

  const hotUsers = Array.from({ length: HOT_USERS }, (_, i) => bulkUser(OLD_EVENTS / EVENTS_PER_USER + i))
  const append =
    (store: 'moving' | 'still'): Measure =>
    async () => {
      const { machine, ...stores } = await prepare()
      const { server } = stores[store]
      if (store === 'moving' && (await archiveOf(server)).runs[0]!.status !== 'running')
        throw new Error('The run ended before it was measured; give it more events.')
      const paths = hotUsers.map(eventsPath)
      const body = { method: 'POST', headers: JSON_BODY, body: bodyOf(1) } as const
      const found = await machine.load({
        url: server.url,
        connections: CONNECTIONS,
        amount: { durationMs },
        paths,
        ...body
      })
      return succeeded(found).perSecond
    }

  /** The run, to its end; then the space that it freed is given back. */
  const ended = lazily(async () => {
    const { moving, before } = await prepare()
    const startedAt = performance.now()
    const run = await until(
      async () => {
        const [newest] = (await archiveOf(moving.server)).runs
        return newest !== undefined && ['done', 'failed'].includes(newest.status) ? newest : null
      },
      { timeoutMs: 3_600_000, everyMs: 1000, what: 'the end of the run' }
    )
    const seconds = (Date.parse(run.finishedAt) - Date.parse(run.startedAt)) / 1000
    note(
      `${run.status}: ${run.events} events in ${run.windows} windows and ${seconds} s (${Math.round((performance.now() - startedAt) / 1000)} s waited)`
    )
    const moved = await sizesOf(moving.database)
    await moving.database.sql.unsafe('VACUUM ANALYZE user_events')
    const vacuumed = await sizesOf(moving.database)
    await moving.database.sql.unsafe('REINDEX TABLE CONCURRENTLY user_events')
    const reindexed = await sizesOf(moving.database)
    await moving.database.sql.unsafe('VACUUM FULL user_events')
    const full = await sizesOf(moving.database)
    const text = ({ table, indexes }: Sizes) =>
      `table ${Math.round(table / MB)} MB, indexes ${Math.round(indexes / MB)} MB`
    note(
      `before: ${text(before)}; after the run: ${text(moved)}; vacuum: ${text(vacuumed)}; reindex: ${text(reindexed)}; vacuum full: ${text(full)}`
    )
    return { before, full }
  })
  const total = ({ table, indexes }: Sizes): number => (table + indexes) / MB

  const read =
    (store: 'moving' | 'still'): Measure =>
    async () => {
      const { machine, ...stores } = await prepare()
      const paths = hotUsers.map((user) => `${statePath(user)}?useSnapshot=false`)
      const { url } = stores[store].server
      return succeeded(
        await machine.load({ url, connections: CONNECTIONS, amount: { durationMs }, method: 'GET', paths })
      ).perSecond
    }

  const common = { prepare, slow: true } as const
  return [
    {
      ...common,
      name: 'append while 1.4 M of 2 M events are archived',
      unit: 'rate',
      measure: append('moving'),
      limits: [{ name: 'no run', measure: append('still'), bar: 0.9 }]
    },
    {
      ...common,
      name: 'replay of a user of today, meanwhile',
      unit: 'rate',
      measure: read('moving'),
      limits: [{ name: 'no run', measure: read('still'), bar: 0.9 }]
    },
    {
      ...common,
      name: 'user_events after that, REINDEX and VACUUM FULL',
      unit: 'MB',
      lastly: true,
      measure: async () => total((await ended()).full),
      limits: [{ name: 'before', measure: async () => total((await ended()).before), bar: 0.4 }]
    }
  ]
}

type ArchiveView = {
  heldBackBy: object[]
  runs: { status: string; events: number; windows: number; startedAt: string; finishedAt: string }[]
}

const archiveOf = async ({ url }: Server): Promise<ArchiveView> =>
  (await (await fetch(`${url}/admin/archive`)).json()) as ArchiveView

async function sizesOf({ sql }: Database): Promise<Sizes> {
  const [row] = await sql.unsafe<{ table: string; indexes: string }[]>(
    `SELECT pg_table_size('user_events') AS table, pg_indexes_size('user_events') AS indexes`
  )
  return { table: Number(row!.table), indexes: Number(row!.indexes) }
}
