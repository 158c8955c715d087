/**
 * Random commands of a tenant: everything that a client can ask for, drawn by lot beforehand, so that the same commands can be carried out
 * in another store, or by another tenant. What they ask for depends on what the tenant was answered before, and on nothing else.
 *
 * Tenants share all names: event ids, idempotency keys, usernames, names of event types and of subscriptions. Users cannot be shared:
 * their ids belong to who comes first. So each creates its own, and asks for those of the other as well.
 */
import { importedEvent, textOf } from './import.js'
import { type Random, randomOf } from './random.js'
import { type Asked, chosenId, type Tenant } from './twin.js'
import { until } from './wait.js'

export type Command = { name: string; asOperator: boolean; run(tenant: Tenant): Promise<void> }

/** A user of both tenants' users together, by number; and whose commands are drawn. */
type Draw = Random & { user(whose?: 'own' | 'other'): UserOf; chance(of: number): boolean }
/** Names the same user to either tenant. */
type UserOf = (tenant: Tenant) => string

export type Side = 'A' | 'B'

/** Users of each tenant. */
export const USERS = 4
/** Events past its newest snapshot after which a user gets another. */
export const THRESHOLD = 5

const [NAMES, EVENT_IDS, KEYS, SUBSCRIPTIONS, TYPES] = [9, 60, 12, 3, 2]
/** Kinds in which the operator would be answered other than the tenant: it has no limits and may see the other one. */
const OWN = ['burst', 'ask as another', 'tenant statistics', 'register event type']

const RANGE = 'from=2020-01-01&to=2040-01-01&interval=month'

/** The same in every run: what tenants have in common. */
const ids = Array.from(
  { length: EVENT_IDS },
  (
    (random) => () =>
      chosenId(random)
  )(randomOf(1))
)

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
const nameOf = (n: number): string => `u${n}`
const typeOf = (n: number): string => `Moved${n}`
const subscriptionOf = (n: number): string => `s${n}`

/** Commands of any kind, those that matter most the most often, after some that make users; at least one of each kind if there is room. */
export function drawCommands(random: Random, side: Side, count: number): Command[] {
  const kinds = Object.keys(KINDS)
  const likely = kinds.flatMap((kind) => Array<string>(KINDS[kind]!.weight).fill(kind))
  const names = numbers(count).map((i) => (i < USERS ? 'create' : random.pick(likely)))
  for (const kind of kinds.slice(0, count - USERS)) {
    if (names.includes(kind)) continue
    const others = numbers(count).filter((i) => i >= USERS && names.filter((name) => name === names[i]).length > 1)
    names[random.pick(others)] = kind
  }
  return names.map((name) => drawCommand(random, side, name))
}

function drawCommand(random: Random, side: Side, name: string): Command {
  const chance = (of: number): boolean => random.next() < of
  const draw: Draw = {
    ...random,
    chance,
    user(whose = chance(0.75) ? 'own' : 'other') {
      const [n, of] = [random.below(USERS), whose === 'own' ? side : side === 'A' ? 'B' : 'A']
      return (tenant) => usersOf(tenant, of)[n]!
    }
  }
  return { name, asOperator: !OWN.includes(name) && chance(0.1), run: KINDS[name]!.draw(draw) }
}

const usersOf = (tenant: Tenant, side: Side): readonly string[] => (tenant.side === side ? tenant.users : tenant.others)

type Run = (tenant: Tenant) => Promise<void>
type Kind = { weight: number; draw: (draw: Draw) => Run }

/** Of a kind that only asks once. */
const asks = (weight: number, draw: (draw: Draw) => (tenant: Tenant) => [...Parameters<Tenant['ask']>]): Kind => ({
  weight,
  draw: (lots) => {
    const question = draw(lots)
    return async (tenant) => void (await tenant.ask(...question(tenant)))
  }
})

/** Asks for a list to its end, or for some pages of it. */
async function follow(tenant: Tenant, url: string, pages = 12): Promise<void> {
  for (let next = '', page = 0; page < pages; page++) {
    const { data } = await tenant.get(next === '' ? url : `${url}&cursor=${encodeURIComponent(next)}`)
    if (!data?.next) return
    next = data.next
  }
}

const query = (parts: (string | false | undefined)[]): string => parts.filter((part) => part).join('&')

/** A moment at which an event of the user was recorded; of who is not known, a fixed one. */
const momentOf = (tenant: Tenant, userId: string, share: number): string => {
  const moments = tenant.moments.get(userId) ?? []
  return moments[Math.floor(share * moments.length)] ?? '2021-06-01T00:00:00.000Z'
}

function drawContent(draw: Draw): { eventType: string; eventData: object } {
  const { pick, below } = draw
  return pick([
    () => ({ eventType: 'UserUpdated', eventData: { fullName: `Anna ${nameOf(below(NAMES))}` } }),
    () => ({ eventType: 'UserUpdated', eventData: { username: nameOf(below(NAMES)) } }),
    () => ({ eventType: 'UserUpdated', eventData: { email: `${nameOf(below(NAMES))}@example.com`, phone: null } }),
    () => ({ eventType: 'UserUpdated', eventData: { status: pick(['active', 'inactive', 'suspended']) } }),
    () => ({
      eventType: 'UserUpdated',
      eventData: { attributes: { [pick(['a', 'b'])]: pick([null, 1, 'x', { c: 2 }]) } }
    }),
    () => ({
      eventType: 'LoginInfoUpdated',
      eventData: { ipAddress: '203.0.113.7', loginAt: '2020-11-22T08:00:00.000Z' }
    }),
    () => ({ eventType: 'RolesAssigned', eventData: { roleIds: [pick(['admin', 'clerk'])], assignedBy: 'root' } }),
    () => ({ eventType: 'PasswordChanged', eventData: { changedBy: 'self' } }),
    () => ({
      eventType: 'AccountLocked',
      eventData: {
        reason: 'r',
        loginAttempts: 3,
        lockedUntil: pick(['2020-01-01T00:00:00.000Z', '2999-01-01T00:00:00.000Z'])
      }
    }),
    () => ({ eventType: 'AccountUnlocked', eventData: { unlockedBy: 'support' } }),
    () => ({ eventType: typeOf(below(TYPES)), eventData: { [pick(['city', 'town'])]: 'Kyiv' } })
  ])()
}

function drawEvent(draw: Draw, content = drawContent(draw)): { id?: string; eventType: string; eventData: object } {
  const { chance, pick, below } = draw
  return {
    ...(chance(0.4) && { id: pick(ids) }),
    ...content,
    ...(chance(0.3) && { metadata: { correlationId: `c${below(5)}` } }),
    ...(chance(0.2) && { occurredAt: `2020-02-0${1 + below(9)}T00:00:00.000Z` })
  }
}

function drawCreation({ below, chance, pick }: Draw) {
  const name = nameOf(below(NAMES))
  return {
    eventType: 'UserCreated',
    eventData: {
      username: name,
      email: `${name}@example.com`,
      ...(chance(0.5) && { fullName: pick(['Anna', 'Otto']) })
    }
  }
}

/** What the tenant expects of a user's version; right more often than not. */
function drawExpectation({
  pick
}: Draw): (version: number, etag: string) => { body?: object; headers?: Record<string, string> } {
  return pick([
    () => ({}),
    () => ({}),
    () => ({ body: { expectedVersion: 'any' } }),
    () => ({ body: { expectedVersion: 'exists' } }),
    () => ({ body: { expectedVersion: 'none' } }),
    (version: number) => ({ body: { expectedVersion: version } }),
    (version: number) => ({ body: { expectedVersion: version } }),
    (version: number) => ({ body: { expectedVersion: version + 1 } }),
    (version: number) => ({ headers: { 'if-match': `"${version}"` } }),
    (_: number, etag: string) => ({ headers: { 'if-match': etag } }),
    () => ({ headers: { 'if-match': '*' } }),
    () => ({ headers: { 'if-none-match': '*' } }),
    () => ({ body: { expectedVersion: 'none' }, headers: { 'if-match': '*' } })
  ])
}

async function send(tenant: Tenant, userId: string, payload: { events: object[] }, headers: Record<string, string>) {
  tenant.sent.push({ userId, payload, headers })
  await tenant.ask('POST', `/users/${userId}/events`, { payload, headers })
}

function append(draw: Draw, drawEvents: () => object[], creates: boolean): Run {
  const { below, chance } = draw
  const [user, own, events, expects] = [draw.user(), below(USERS), drawEvents(), drawExpectation(draw)]
  const key: Record<string, string> = chance(0.3) ? { 'idempotency-key': `key-${below(KEYS)}` } : {}
  return async (tenant) => {
    const asked = user(tenant)
    const userId = !creates || tenant.mayCreate(asked) ? asked : tenant.users[own]!
    const { body, headers } = expects(tenant.versions.get(userId) ?? 0, tenant.etags.get(userId) ?? '"0"')
    await send(tenant, userId, { ...body, events }, { ...headers, ...key })
  }
}

/** Appends that are refused before anything is looked up. */
const BAD_EVENTS = [
  [],
  [{ eventType: 'NoSuchType', eventData: {} }],
  [{ eventType: 'UserUpdated', eventData: { fullName: 7 } }],
  [{ eventType: 'UserUpdated', eventData: { fullName: 'x' }, metadata: { $principal: 'me' } }],
  [{ eventType: 'PasswordChanged', eventData: { changedBy: 'me', password: 'x' } }],
  [
    { eventType: 'UserDeleted', eventData: { deletedBy: 'me' } },
    { eventType: 'UserUpdated', eventData: { phone: '1' } }
  ],
  [0, 1].map(() => ({ id: ids[0], eventType: 'UserUpdated', eventData: { phone: '1' } })),
  [{ eventType: 'UserUpdated', schemaVersion: 9, eventData: { phone: '1' } }]
]

function retry({ next, pick, chance }: Draw): Run {
  const [nth, expects, other] = [next(), chance(0.3), pick([undefined, undefined, { fullName: 'Other' }])]
  return async (tenant) => {
    const found = tenant.sent[Math.floor(nth * tenant.sent.length)]
    if (!found) return
    const { userId, payload, headers } = found
    const events = other
      ? payload.events.map((event) => ({ ...event, eventType: 'UserUpdated', eventData: other }))
      : payload.events
    await send(tenant, userId, expects ? { ...payload, events } : { events }, expects ? headers : pickKey(headers))
  }
}

const pickKey = ({ 'idempotency-key': key }: Record<string, string>): Record<string, string> =>
  key === undefined ? {} : { 'idempotency-key': key }

/** Lines of the history of an own user; of another's a later part alone, which nobody can create it by. */
function importLines(draw: Draw): Run {
  const { below, pick, chance, next } = draw
  const [user, count, shift] = [draw.user(chance(0.5) ? 'other' : 'own'), 1 + below(4), pick([0, 0, 1, -1])]
  const [creation, rest] = [drawCreation(draw), numbers(4).map(() => drawContent(draw))]
  const later = 2 + below(3)
  const renaming = { eventType: 'UserUpdated', eventData: { username: nameOf(below(NAMES)) } }
  const [at, eventIds, again, nth] = [below(10), numbers(5).map(() => pick(ids)), chance(0.3), next()]
  return async (tenant) => {
    const userId = user(tenant)
    const foreign = !tenant.users.includes(userId)
    const from = foreign ? later : Math.max(1, (tenant.imported.get(userId) ?? 0) + 1 + shift)
    const lines = numbers(count).map((i) => {
      const version = from + i
      const content = version === 1 ? creation : foreign ? renaming : rest[i % rest.length]!
      const createdAt = new Date(Date.UTC(2020, at, 1) + version).toISOString()
      return importedEvent(userId, version, content, { id: eventIds[i]!, createdAt })
    })
    const earlier = again ? tenant.lines[Math.floor(nth * tenant.lines.length)] : undefined
    const payload = earlier ?? textOf(lines)
    tenant.lines.push(payload)
    const headers = { 'content-type': 'application/x-ndjson' }
    const { statusCode } = await tenant.ask('POST', '/events/import', { headers, payload })
    if (statusCode === 200 && !earlier) tenant.imported.set(userId, from + count - 1)
  }
}

/** The feed in one direction to its end, from the beginning or (forward) from where the tenant was before, as one answer. */
function followFeed(draw: Draw): Run {
  const { chance, pick, below } = draw
  const [user, goesOn, waits] = [draw.user(), chance(0.5), chance(0.4)]
  const direction = pick(['forward', 'forward', 'backward'])
  const filters = [
    chance(0.3) && `eventType=${pick(['UserCreated', 'UserUpdated', typeOf(below(TYPES))])}`,
    chance(0.2) && 'upcast=false',
    `limit=${pick([1, 3, 10, 100])}`
  ]
  const ofUser = chance(0.3)
  return async (tenant) => {
    const url = `/events?${query([...filters, ofUser && `userId=${user(tenant)}`])}`
    const forward = direction === 'forward'
    const events: unknown[] = []
    const statuses: number[] = []
    let after = goesOn && forward ? tenant.cursor : ''
    for (;;) {
      const { statusCode, data } = await tenant.send(
        'GET',
        `${url}&${query([forward ? waits && 'waitMs=10' : 'direction=backward', after !== '' && `after=${after}`])}`
      )
      if (!statuses.includes(statusCode)) statuses.push(statusCode)
      if (statusCode !== 200) break
      events.push(...data.events)
      after = data.next ?? ''
      if (data.next === null || (data.events.length === 0 && (forward ? data.position >= data.head : false))) break
    }
    if (forward && statuses[0] === 200) tenant.cursor = after
    tenant.note(`GET ${url} ${direction}, to the end`, statuses.at(-1)!, events)
  }
}

/** Versions of a type that two tenants may have defined differently. */
const definitionOf = (variant: number, version: number): object => {
  const member = (variant + version) % 2 === 0 ? 'city' : 'town'
  const other = member === 'city' ? 'town' : 'city'
  return {
    summary: `Variant ${variant}`,
    schema: {
      type: 'object',
      properties: { [member]: { type: 'string' } },
      required: [member],
      additionalProperties: false
    },
    effect: { kind: 'merge', namespace: `home${variant}` },
    ...(version > 1 && { upcast: [{ op: 'move', from: `/${other}`, path: `/${member}` }] })
  }
}

const sink = { kind: 'webhook', url: 'http://127.0.0.1:9/' }
const SLOW = { baseDelayMs: 3_600_000, maxDelayMs: 3_600_000 }

function createSubscription({ pick, below, chance }: Draw): Run {
  const name = subscriptionOf(below(SUBSCRIPTIONS))
  const [start, deadLetters] = [pick(['beginning', 'now', 'here']), pick(['wait', 'pass'])]
  const [maxAttempts, eventTypes] = [pick([1, 2]), chance(0.4) ? ['UserUpdated', 'AccountLocked', typeOf(0)] : null]
  return async (tenant) => {
    const retry = { ...SLOW, maxAttempts }
    const payload = { name, sink, eventTypes, retry, deadLetters, start: start === 'here' ? tenant.position : start }
    await tenant.ask('POST', '/admin/subscriptions', { payload })
  }
}

/** What a tenant that may send three requests in a second is told of six. */
function burst({ pick }: Draw): Run {
  const [max, ofKey] = [3, pick([true, false, false])]
  return async (tenant) => {
    const path = `/admin/tenants/${tenant.id}/limits`
    const payload = { [ofKey ? 'requestsPerSecondPerKey' : 'requestsPerSecond']: max }
    await tenant.asOperator('PUT', path, { payload })
    const told = await until(async () => {
      // A window that was begun before is over.
      await until(() => performance.now() > tenant.burstAt + 1100, { everyMs: 20 })
      const startedAt = performance.now()
      let admittedAt = startedAt
      const answers = await Promise.all(
        numbers(2 * max).map(async () => {
          const answer = await tenant.send('GET', '/event-types')
          // A refusal is held back.
          if (answer.statusCode === 200) admittedAt = performance.now()
          return answer
        })
      )
      tenant.burstAt = performance.now()
      // It must have been one window, which is a second.
      if (admittedAt - startedAt > 700) return null
      const shown = answers.map(({ statusCode, headers }) => [
        statusCode,
        headers['ratelimit-remaining'] ?? null,
        headers['retry-after'] ?? null
      ])
      return shown.map((each) => each.join(' ')).sort()
    })
    tenant.note(`GET /event-types, ${2 * max} times at once`, 0, told)
    await tenant.asOperator('GET', path)
    await tenant.asOperator('DELETE', path)
    await tenant.asOperator('GET', path)
  }
}

function directory(draw: Draw): (tenant: Tenant) => string[] {
  const { chance, pick, below, next } = draw
  const [user, share, filter] = [draw.user(), next(), below(9)]
  const name = nameOf(below(NAMES))
  const statuses = pick([['active'], ['deleted'], ['inactive', 'suspended'], ['active', 'deleted']])
  const [q, role, locked] = [pick(['ann', 'u1', 'example.com', 'otto']), pick(['admin', 'clerk']), chance(0.5)]
  return (tenant) => {
    const moment = momentOf(tenant, user(tenant), share)
    const filters = [
      [],
      [`username=${name.toUpperCase()}`],
      [`email=${name}@example.com`],
      [`q=${q}`],
      statuses.map((status) => `status=${status}`),
      [`role=${role}`],
      [`locked=${locked}`],
      [`createdFrom=${moment}`],
      [`updatedTo=${moment}`]
    ]
    return [...filters[filter]!, ...(statuses.length === 2 ? ['includeDeleted=true'] : [])]
  }
}

const KINDS: Record<string, Kind> = {
  create: {
    weight: 12,
    draw: (draw) => append(draw, () => [drawCreation(draw), ...numbers(draw.below(3)).map(() => drawEvent(draw))], true)
  },
  append: {
    weight: 24,
    draw: (draw) => append(draw, () => numbers(draw.pick([1, 1, 2, 3, 7])).map(() => drawEvent(draw)), false)
  },
  retry: { weight: 10, draw: retry },
  'append what is wrong': { weight: 2, draw: (draw) => append(draw, () => draw.pick(BAD_EVENTS), false) },
  'delete user': {
    weight: 1,
    draw: (draw) => append(draw, () => [{ eventType: 'UserDeleted', eventData: { deletedBy: 'support' } }], false)
  },
  import: { weight: 6, draw: importLines },
  export: asks(3, (draw) => {
    const { chance, next } = draw
    const [user, all, share, stored, from] = [draw.user(), chance(0.4), next(), chance(0.5), chance(0.5)]
    return (tenant) => {
      const userId = user(tenant)
      const moment = momentOf(tenant, userId, share)
      const parts = [!all && `userId=${userId}`, stored && 'upcast=false', !all && `${from ? 'from' : 'to'}=${moment}`]
      return ['GET', `/events/export?${query(parts)}`]
    }
  }),
  'read events': {
    weight: 6,
    draw: (draw) => {
      const { chance, pick, below } = draw
      const user = draw.user()
      const parts = [
        `limit=${pick([1, 2, 5, 100])}`,
        chance(0.4) && 'direction=backward',
        chance(0.3) && 'upcast=false',
        chance(0.3) && `eventType=${pick(['UserUpdated', typeOf(below(TYPES))])}`,
        chance(0.2) && `fromVersion=${1 + below(4)}`
      ]
      return (tenant) => follow(tenant, `/users/${user(tenant)}/events?${query(parts)}`)
    }
  },
  'read events as lines': asks(2, (draw) => {
    const [user, share] = [draw.user(), draw.next()]
    return (tenant) => [
      'GET',
      `/users/${user(tenant)}/events?from=${momentOf(tenant, user(tenant), share)}`,
      { headers: { accept: 'application/x-ndjson' } }
    ]
  }),
  'read event': asks(4, (draw) => {
    const [user, version] = [draw.user(), 1 + draw.below(8)]
    return (tenant) => ['GET', `/users/${user(tenant)}/events/${version}`]
  }),
  'read state': asks(14, (draw) => {
    const { pick, below, next } = draw
    const [user, version, share] = [draw.user(), 1 + below(9), next()]
    const ask = pick([
      () => ({ query: '' }),
      () => ({ query: '' }),
      () => ({ query: '', headers: { 'cache-control': 'max-stale=86400' } }),
      () => ({ query: '', headers: { 'cache-control': 'max-stale=0' } }),
      (tenant: Tenant) => ({ query: '', headers: { 'if-none-match': tenant.etags.get(user(tenant)) ?? '"1"' } }),
      () => ({ query: `?version=${version}` }),
      () => ({ query: `?version=${version}&useSnapshot=false` }),
      (tenant: Tenant) => ({ query: `?at=${momentOf(tenant, user(tenant), share)}` }),
      (tenant: Tenant) => ({ query: `?version=1&at=${momentOf(tenant, user(tenant), share)}` }),
      () => ({ query: '?useSnapshot=false' })
    ])
    return (tenant) => {
      const { query, ...asked } = ask(tenant) as { query: string } & Asked
      return ['GET', `/users/${user(tenant)}/state${query}`, asked]
    }
  }),
  diff: asks(3, (draw) => {
    const [user, from, to] = [draw.user(), draw.below(6), draw.below(8)]
    return (tenant) => ['GET', `/users/${user(tenant)}/diff?fromVersion=${from}&toVersion=${to}`]
  }),
  effects: asks(3, (draw) => {
    const [user, from, snapshot] = [draw.user(), 1 + draw.below(4), draw.chance(0.5)]
    return (tenant) => ['GET', `/users/${user(tenant)}/effects?fromVersion=${from}&limit=3&useSnapshot=${snapshot}`]
  }),
  verify: asks(3, (draw) => {
    const user = draw.user()
    return (tenant) => ['POST', `/admin/users/${user(tenant)}/verify`]
  }),
  'take snapshot': asks(3, (draw) => {
    const [user, payload] = [draw.user(), draw.pick([{}, { reason: 'by hand' }])]
    return (tenant) => ['POST', `/admin/users/${user(tenant)}/snapshots`, { payload }]
  }),
  'list snapshots': asks(4, (draw) => {
    const user = draw.user()
    return (tenant) => ['GET', `/users/${user(tenant)}/snapshots`]
  }),
  'latest snapshot': asks(3, (draw) => {
    const user = draw.user()
    return (tenant) => ['GET', `/users/${user(tenant)}/snapshots/latest`]
  }),
  'clean up snapshots': asks(2, (draw) => {
    const [user, retain] = [draw.user(), draw.below(3)]
    return (tenant) => ['POST', `/admin/users/${user(tenant)}/snapshots/cleanup`, { payload: { retain } }]
  }),
  'delete snapshots': asks(1, (draw) => {
    const user = draw.user()
    return (tenant) => ['DELETE', `/admin/users/${user(tenant)}/snapshots`]
  }),
  'list users': {
    weight: 8,
    draw: (draw) => {
      const { pick } = draw
      const filters = directory(draw)
      const order = [
        `sort=${pick(['createdAt', 'updatedAt', 'username', 'email'])}`,
        `order=${pick(['asc', 'desc'])}`,
        `limit=${pick([1, 2, 100])}`
      ]
      return (tenant) => follow(tenant, `/users?${query([...filters(tenant), ...order])}`)
    }
  },
  'count users': asks(4, (draw) => {
    const filters = directory(draw)
    return (tenant) => ['GET', `/users/count?${query(filters(tenant))}`]
  }),
  'read user': asks(5, (draw) => {
    const user = draw.user()
    return (tenant) => ['GET', `/users/${user(tenant)}`]
  }),
  feed: { weight: 9, draw: followFeed },
  'event statistics': asks(6, () => () => ['GET', '/stats/events']),
  'snapshot statistics': asks(4, ({ below }) => {
    const limit = 1 + below(10)
    return () => ['GET', `/stats/snapshots?limit=${limit}`]
  }),
  activity: asks(3, () => () => ['GET', `/stats/activity?${RANGE}`]),
  'tenant statistics': asks(2, ({ chance }) => {
    const own = chance(0.8)
    return (tenant) => ['GET', `/tenants/${own ? tenant.id : tenant.otherId}/stats`]
  }),
  'register event type': {
    weight: 9,
    draw: ({ below, pick, chance }) => {
      const [name, any, next] = [chance(0.05) ? 'UserUpdated' : typeOf(below(TYPES)), 1 + below(3), chance(0.7)]
      const variant = below(2)
      const query = pick(['', '', '', '?dryRun=true', '?scope=global&dryRun=true'])
      return async (tenant) => {
        const known = tenant.types.get(name) ?? 0
        const version = next ? known + 1 : any
        // Another one of each tenant, also by the same command.
        const payload = definitionOf((variant + (tenant.side === 'A' ? 0 : 1)) % 2, version)
        const { statusCode } = await tenant.ask('PUT', `/event-types/${name}/versions/${version}${query}`, { payload })
        if (statusCode === 201) tenant.types.set(name, version)
      }
    }
  },
  'list event types': asks(3, () => () => ['GET', '/event-types']),
  'read event type': asks(3, ({ below }) => {
    const name = typeOf(below(TYPES))
    return () => ['GET', `/event-types/${name}`]
  }),
  'create subscription': { weight: 6, draw: createSubscription },
  'list subscriptions': asks(3, () => () => ['GET', '/admin/subscriptions']),
  'read subscription': asks(3, ({ below }) => {
    const name = subscriptionOf(below(SUBSCRIPTIONS))
    return () => ['GET', `/admin/subscriptions/${name}`]
  }),
  'pause subscription': asks(2, ({ below }) => {
    const name = subscriptionOf(below(SUBSCRIPTIONS))
    return () => ['POST', `/admin/subscriptions/${name}/pause`]
  }),
  'resume subscription': asks(3, ({ below }) => {
    const name = subscriptionOf(below(SUBSCRIPTIONS))
    return () => ['POST', `/admin/subscriptions/${name}/resume`]
  }),
  'reset subscription': asks(2, ({ below, pick }) => {
    const [name, start] = [subscriptionOf(below(SUBSCRIPTIONS)), pick(['beginning', 'now'])]
    return () => ['POST', `/admin/subscriptions/${name}/reset`, { payload: { start } }]
  }),
  'delete subscription': asks(2, ({ below }) => {
    const name = subscriptionOf(below(SUBSCRIPTIONS))
    return () => ['DELETE', `/admin/subscriptions/${name}`]
  }),
  'list owed events': {
    weight: 4,
    draw: ({ below, pick }) => {
      const [name, status] = [subscriptionOf(below(SUBSCRIPTIONS)), pick(['dead', 'dead', 'pending', 'discarded'])]
      return (tenant) => follow(tenant, `/admin/subscriptions/${name}/outbox?status=${status}&limit=2`)
    }
  },
  'read owed event': asks(2, (draw) => {
    const [user, name, version] = [draw.user(), subscriptionOf(draw.below(SUBSCRIPTIONS)), 1 + draw.below(8)]
    return (tenant) => ['GET', `/admin/subscriptions/${name}/outbox/${user(tenant)}/${version}`]
  }),
  'retry owed events': asks(2, (draw) => {
    const [user, name, all] = [draw.user(), subscriptionOf(draw.below(SUBSCRIPTIONS)), draw.chance(0.5)]
    return (tenant) => [
      'POST',
      `/admin/subscriptions/${name}/outbox/retry`,
      { payload: all ? {} : { userId: user(tenant) } }
    ]
  }),
  'discard owed events': asks(1, (draw) => {
    const [user, name] = [draw.user(), subscriptionOf(draw.below(SUBSCRIPTIONS))]
    return (tenant) => [
      'POST',
      `/admin/subscriptions/${name}/outbox/discard`,
      { payload: { userId: user(tenant), reason: 'test' } }
    ]
  }),
  'create API key': {
    weight: 1,
    draw: ({ pick }) => {
      const payload = {
        name: pick(['one', 'two']),
        scopes: pick([['events:read'], ['state:read', 'events:read'], ['tenants:all']])
      }
      return async (tenant) => {
        const { data, statusCode } = await tenant.ask('POST', '/admin/api-keys', { payload })
        if (statusCode === 201) tenant.keys.push(data.id)
      }
    }
  },
  'who asks': asks(1, () => () => ['GET', '/me']),
  'list API keys': asks(2, () => () => ['GET', '/admin/api-keys']),
  'revoke API key': asks(1, ({ next }) => {
    const nth = next()
    return (tenant) => [
      'DELETE',
      `/admin/api-keys/${tenant.keys[Math.floor(nth * tenant.keys.length)] ?? '0123456789ab'}`
    ]
  }),
  audit: {
    weight: 2,
    draw: ({ pick }) => {
      const action = pick(['', '&action=takeSnapshot', '&action=importEvents', '&action=createSubscription'])
      return (tenant) => follow(tenant, `/admin/audit?limit=7${action}`, 4)
    }
  },
  burst: { weight: 2, draw: burst },
  'ask as another': asks(1, () => (tenant) => ['GET', '/users', { headers: { 'x-tenant-id': tenant.otherId } }])
}
