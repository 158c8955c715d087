/** All that is measured. */
import { randomUUID } from 'node:crypto'
import type { Database, Machine } from '../machine.js'
import { bulkUsers, seedEvents, seedUser } from '../seed.js'
import { appends } from './appends.js'
import { delivery } from './delivery.js'
import { directory } from './directory.js'
import { growth } from './growth.js'
import { histories } from './histories.js'
import { imports } from './imports.js'
import { memory } from './memory.js'
import { rebuilds } from './rebuilds.js'
import { replays } from './replays.js'
import { appendTo, snapshot } from './requests.js'
import type { Plan, Scenario } from './scenario.js'
import { states } from './states.js'

const SMALL_EVENTS = 10_000

/** Fills databases, starts what is needed and lists the scenarios. */
export async function prepare(machine: Machine, plan: Plan, note: (text: string) => void): Promise<Scenario[]> {
  note('filling the small database')
  const small = await machine.createDatabase('small')
  await seedEvents(small.sql, SMALL_EVENTS)
  const lengths = plan.quick ? [100, 5000] : [100, 1000, 5000, 50_000]
  const replayed = new Map<number, string>()
  for (const events of lengths) {
    const userId = randomUUID()
    await seedUser(small.sql, userId, events)
    replayed.set(events, userId)
  }
  const snapshotted = await seedSnapshotted(small)
  const service = await machine.startService(small)
  const cold = await machine.startService(small, { CACHE_MAX_USERS: '1' })
  const nothing = await machine.startNothing()
  const users = await bulkUsers(small.sql, SMALL_EVENTS / 20)
  for (const userId of [...snapshotted, ...replayed.values()]) await snapshot(service, userId, 'bench')
  await appendTo(service, snapshotted, 50)

  /** What takes long to prepare is left out where nobody asks for it. */
  const wanted = (name: string): boolean =>
    !plan.quick && (!plan.only || name.includes(plan.only) || plan.only.includes(name))

  return [
    ...appends(machine, service, nothing, small, users, plan),
    ...states(machine, service, cold, nothing, small, users, snapshotted, plan),
    ...replays(machine, service, small, replayed, plan),
    ...histories(machine, service, small, replayed, plan),
    ...(wanted('import') ? await imports(machine) : []),
    ...(plan.growTo > 0 ? await growth(machine, service, users, plan, note) : []),
    ...(wanted('memory') ? await memory(machine, note) : []),
    ...(wanted('find users') ? await directory(machine, plan, note) : []),
    ...(wanted('rebuild of') ? await rebuilds(machine, plan, note) : []),
    ...(wanted('deliver to NATS') ? await delivery(machine, note) : [])
  ]
}

async function seedSnapshotted({ sql }: Database): Promise<string[]> {
  const ids = Array.from({ length: 100 }, () => randomUUID())
  for (const id of ids) await seedUser(sql, id, 200)
  return ids
}
