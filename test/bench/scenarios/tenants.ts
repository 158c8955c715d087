/** How long appends of a tenant take while another one sends all it can, by what that is. */
import { randomUUID } from 'node:crypto'
import { lazily } from '../lazily.js'
import type { LoadPlan } from '../load.js'
import { seedUsers } from '../seed.js'
import { bodyOf, eventsPath, JSON_BODY, statePath, succeeded, succeededText } from './requests.js'
import type { Bench, Scenario } from './scenario.js'

const ADMIN_KEY = 'bench-admin-key-0123456789-abcdefghij'
const CLIENTS = 2
const NOISY_CLIENTS = 64
const NOISY_EVENTS = 100
/** The noise begins so long before what is measured, and ends as long after it, ms. */
const MARGIN_MS = 300
/** Requests in a second that a tenant with a limit may send. */
const LIMIT = 200

type Noise = Pick<LoadPlan, 'method' | 'paths' | 'body'>

export function tenants({ bring, plan }: Bench): Scenario[] {
  const prepare = lazily(async () => {
    const machine = await bring()
    const database = await machine.createDatabase('tenants')
    const users = Array.from({ length: NOISY_CLIENTS }, () => randomUUID())
    await seedUsers(database.sql, users, NOISY_EVENTS)
    const { url } = await machine.startService(database, { BOOTSTRAP_ADMIN_KEY: ADMIN_KEY })
    async function send(method: string, path: string, body: object, tenantId?: string) {
      const headers = {
        authorization: `Bearer ${ADMIN_KEY}`,
        ...JSON_BODY,
        ...(tenantId && { 'x-tenant-id': tenantId })
      }
      return JSON.parse(await succeededText(await fetch(url + path, { method, headers, body: JSON.stringify(body) })))
    }
    const makeKey = async (tenantId?: string) => {
      const body = { name: 'bench', scopes: ['events:write', 'events:read', 'state:read'] }
      const { key, ...made } = await send('POST', '/admin/api-keys', body, tenantId)
      return { headers: { authorization: `Bearer ${key}`, ...JSON_BODY }, tenantId: made.tenantId as string }
    }
    const quiet = await makeKey(randomUUID())
    const own = Array.from({ length: CLIENTS }, () => randomUUID())
    const created = { eventType: 'UserCreated', eventData: { username: 'quiet', email: 'quiet@example.com' } }
    for (const id of own) await send('POST', eventsPath(id), { events: [created] }, quiet.tenantId)
    return {
      machine,
      url,
      quiet: { ...quiet, users: own },
      noisy: { ...(await makeKey()), users },
      setLimit: (tenantId: string, requestsPerSecond: number) =>
        send('PUT', `/admin/tenants/${tenantId}/limits`, { requestsPerSecond })
    }
  })

  /** p99 of the quiet tenant's appends, ms. */
  async function appendP99(): Promise<number> {
    const { machine, url, quiet } = await prepare()
    const { headers, users } = quiet
    const amount = { durationMs: plan.durationMs }
    const work = { method: 'POST', paths: users.map(eventsPath), body: bodyOf(1) } as const
    return succeeded(await machine.load({ url, connections: CLIENTS, amount, headers, ...work })).p99Ms
  }

  async function appendP99Meanwhile(noise: Noise, limit: number): Promise<number> {
    const { machine, url, noisy, setLimit } = await prepare()
    await setLimit(noisy.tenantId, limit)
    const amount = { durationMs: plan.durationMs + 2 * MARGIN_MS }
    const noising = machine.noise({ url, connections: NOISY_CLIENTS, amount, headers: noisy.headers, ...noise })
    await new Promise((resolve) => setTimeout(resolve, MARGIN_MS))
    const p99 = await appendP99()
    const { failures } = await noising
    if (failures && limit === NO_LIMIT) throw new Error(`The noise failed: ${failures}.`)
    return p99
  }

  const scenario = (what: string, noiseOf: (users: string[]) => Noise, limit = NO_LIMIT): Scenario => ({
    name: `p99 of a tenant's appends while another ${what}`,
    unit: 'ms',
    prepare,
    measure: async () => appendP99Meanwhile(noiseOf((await prepare()).noisy.users), limit),
    limits: [{ name: 'while no other does', measure: appendP99, bar: 2 }]
  })
  const appends = (users: string[]): Noise => ({ method: 'POST', paths: users.map(eventsPath), body: bodyOf(1) })
  return [
    scenario('appends with 64 clients', appends),
    scenario('reads states with 64 clients', (users) => ({ method: 'GET', paths: users.map(statePath) })),
    scenario('reads pages of 100 events with 64 clients', (users) => ({
      method: 'GET',
      paths: users.map((id) => `${eventsPath(id)}?limit=100`)
    })),
    scenario(`sends all it can with 64 clients beyond ${LIMIT}/s that it may`, appends, LIMIT)
  ]
}

/** As high as one can be: a tenant without one would have that of the settings. */
const NO_LIMIT = 1_000_000
