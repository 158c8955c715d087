/**
 * Twins: what a tenant is answered does not depend on who else is there. One random sequence of commands is carried out for tenant A alone,
 * and in another store with tenant B at work: before or while A's command is carried out, one of B's is, mostly one that uses the same
 * names and ids, and often the very same command. All answers to A must be the same, but for positions, moments and ids that were made
 * (twin.ts says how much of these is compared).
 *
 * FC_SEED (printed) runs one again, TWIN_COMMANDS sets how many commands there are.
 */
import t, { type Test } from 'tap'
import type { Outcome } from '../../src/domain/sink.js'
import { ADMIN_KEY, GUARDED, keyOf, operationsOf } from '../support/access.js'
import { backgroundSteps } from '../support/background-steps.js'
import { type Random, randomOf, seedOf } from '../support/random.js'
import { type TestService, testService } from '../support/service.js'
import { type Command, drawCommands, type Side, THRESHOLD, USERS } from '../support/tenant-commands.js'
import { chosenId, createTenant, type Noted, type Tenant } from '../support/twin.js'

const COMMANDS = Number(process.env.TWIN_COMMANDS ?? 250)
const SCOPES = ['events:write', 'events:read', 'state:read', 'snapshots:admin', 'events:admin'] as const

/** A stream does not end; what it sends is what the feed shows. */
const UNASKED = ['streamFeed']

type Step = { mine: Command; theirs: Command; atOnce: boolean }
type Ids = Record<Side, { id: string; users: string[] }>
type Plan = { ids: Ids; steps: Step[] }

function drawPlan(random: Random): Plan {
  const idsOf = () => ({ id: chosenId(random), users: Array.from({ length: USERS }, () => chosenId(random)) })
  const ids = { A: idsOf(), B: idsOf() }
  const [mine, theirs] = [drawCommands(random, 'A', COMMANDS), drawCommands(random, 'B', COMMANDS)]
  const steps = mine.map((command, i) => {
    // What both send is counted in the same second.
    const same = command.name === 'burst'
    return {
      mine: command,
      theirs: same || random.next() < 0.4 ? command : theirs[i]!,
      atOnce: same || random.next() < 0.5
    }
  })
  return { ids, steps }
}

type Settings = { name: string; rowSecurity: boolean; env: Record<string, string> }
type Played = {
  noted: Noted[]
  /** how many answers there were after each step */
  ends: number[]
  ofTwin: Noted[]
  /** operations of the contract that were not asked for */
  missing: string[]
}

/** Carries the plan out on a store of its own. */
async function play(t: Test, { ids, steps }: Plan, { rowSecurity, env }: Settings, twin: boolean): Promise<Played> {
  const service = await testService(t, {
    env: { ...GUARDED, WEBHOOK_PRIVATE_ADDRESSES: 'true', RETAIN_SNAPSHOTS: '2', ...env }
  })
  const made = new Map<string, Tenant>()
  async function enter(side: Side): Promise<Tenant> {
    const other = side === 'A' ? 'B' : 'A'
    const { authorization } = await keyOf(service, SCOPES, { tenantId: ids[side].id })
    const tenant = createTenant(service, {
      side,
      ...ids[side],
      key: authorization.replace('Bearer ', ''),
      operatorKey: ADMIN_KEY,
      others: ids[other].users,
      otherId: ids[other].id,
      mayCreate: (userId) => side === 'B' && a.versions.has(userId)
    })
    made.set(tenant.id, tenant)
    return tenant
  }
  const a = await enter('A')
  const b = twin ? await enter('B') : null

  // A receiver that takes an account that is locked at the second try only.
  const tries = new Map<string, number>()
  const steppers = await backgroundSteps(t, service.database, {
    rowSecurity,
    threshold: THRESHOLD,
    retain: 2,
    receive(subscription, event): Outcome {
      const name = `${subscription.id} ${event.id}`
      tries.set(name, (tries.get(name) ?? 0) + 1)
      if (event.eventType === 'AccountLocked' && tries.get(name)! < 2) return { kind: 'failed', reason: 'not now' }
      made.get(subscription.tenantId!)!.received(subscription.name, event)
      return { kind: 'delivered' }
    }
  })

  const carryOut = (tenant: Tenant, { name, asOperator, run }: Command) =>
    tenant.carryOut(name, asOperator, () => run(tenant))
  const ends: number[] = []
  for (const [i, { mine, theirs, atOnce }] of steps.entries()) {
    if (b && !atOnce) await carryOut(b, theirs)
    await Promise.all([carryOut(a, mine), b && atOnce && carryOut(b, theirs)])
    await steppers.all()
    if (i % 20 === 10) await steppers.count()
    ends.push(a.noted.length)
  }
  const missing = unasked(service, a.noted)
  await service.service.stop()
  return { noted: a.noted, ends, ofTwin: b?.noted ?? [], missing }
}

/** Operations for a tenant that none of the questions asked for. */
function unasked({ app }: Pick<TestService, 'app'>, noted: readonly Noted[]): string[] {
  const asked = noted.map(({ question }) => question.replace(/[?,].*/, ''))
  return operationsOf(app)
    .filter(({ scopes }) => scopes && !scopes.includes('tenants:all'))
    .filter(({ method, path }) => {
      const pattern = new RegExp(`^${method} ${path.replaceAll(/\{\w+\}/g, '[^/]+')}( |$)`)
      return !asked.some((question) => pattern.test(question))
    })
    .map(({ id }) => id)
}

const shown = ({ command, question, status, answer }: Noted): string => `${command}\n${question}\n${status} ${answer}`

/** How many of each. */
function tally(noted: readonly Noted[]): string {
  const counts = new Map<string, number>()
  for (const { status } of noted) counts.set(`${status}`, (counts.get(`${status}`) ?? 0) + 1)
  return [...counts]
    .sort()
    .map(([status, count]) => `${count} × ${status}`)
    .join(', ')
}

const MODES: Settings[] = [
  { name: 'with row-level security and unique names', rowSecurity: true, env: { UNIQUE_CLAIMS: 'username,email' } },
  { name: 'without row-level security', rowSecurity: false, env: { ROW_LEVEL_SECURITY: 'false' } }
]

for (const mode of MODES) {
  t.test(`${mode.name}: a tenant is answered the same alone and with another one at work`, async (t) => {
    const plan = drawPlan(randomOf(seedOf(t)))
    const [alone, together] = [await play(t, plan, mode, false), await play(t, plan, mode, true)]
    t.comment(`A: ${alone.noted.length} answers, ${tally(alone.noted)}; B: ${tally(together.ofTwin)}`)
    const at = alone.noted.findIndex((noted, i) => {
      const other = together.noted[i]
      return !other || shown(noted) !== shown(other)
    })
    if (at >= 0) {
      const step = together.ends.findIndex((end) => end > at)
      const { theirs, atOnce } = plan.steps[step] ?? {}
      t.comment(`step ${step}: ${atOnce ? 'at once with' : 'after'} "${theirs?.name}" of B`)
      const other = together.noted[at]
      t.equal(other && shown(other), shown(alone.noted[at]!), `answer ${at}`)
    }
    t.equal(together.noted.length, alone.noted.length)
    const failures = [...alone.noted, ...together.noted, ...together.ofTwin].filter(({ status }) => status >= 500)
    t.strictSame(failures.map(shown), [], 'nothing fails')
    t.strictSame(together.missing, UNASKED, 'every operation for a tenant is asked for')
  })
}
