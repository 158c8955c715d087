/**
 * Tenants that are to be compared in two stores: each asks as itself, keeps what a client would keep of the answers, and has every answer
 * noted with all that may differ between two stores made alike. Ids that a server made are named in the order in which they come up, and
 * the moments at which events were recorded by user and version, so that what is the same id or moment in one must be in the other.
 */
import type { StoredEvent } from '../../src/domain/event.js'
import { bearing } from './access.js'
import { type Random, uuidOf } from './random.js'
import type { Answer, TestService } from './service.js'
import { until } from './wait.js'

/** An id of lots that no server makes. */
export const chosenId = (random: Random): string => uuidOf(random).replace(/(?<=^[^-]+-[^-]+-)4/, '8')

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'
export type Asked = { headers?: Record<string, string>; payload?: object | string }

/** What was asked, and the answer without what may differ. */
export type Noted = { command: string; question: string; status: number; answer: string }

export type Tenant = ReturnType<typeof createTenant>

/** Longest time that a store of the test lives, ms; what clients send is far from that. */
const DAY_MS = 86_400_000

/** `id` and all its users are the client's own; `others` are the users of its twin, whom it can ask for and never creates. */
export function createTenant(
  { ask }: Pick<TestService, 'ask'>,
  {
    side,
    id,
    key,
    operatorKey,
    users,
    others,
    otherId,
    mayCreate
  }: {
    side: 'A' | 'B'
    id: string
    /** of the tenant, with all scopes but tenants:all */
    key: string
    operatorKey: string
    users: readonly string[]
    others: readonly string[]
    otherId: string
    /** whether a user of `others` may be tried to be created: it must be there */
    mayCreate: (userId: string) => boolean
  }
) {
  const noted: Noted[] = []
  const mask = createMask()
  const own = bearing(key)
  const operator = { ...bearing(operatorKey), 'x-tenant-id': id }
  let headers: Record<string, string> = own
  let command = ''

  const note = (question: string, status: number, answer: unknown) =>
    noted.push({ command, question: mask.text(question), status, answer: mask.value(answer) })

  /** Unlike ask of a service, asks again while that is too busy, and what changes something is alone in its millisecond. */
  async function send(method: Method, url: string, { headers: more, payload }: Asked = {}): Promise<Answer> {
    const options = { method, url, headers: { ...headers, ...more }, ...(payload === undefined ? {} : { payload }) }
    const answer = await until(async () => {
      const found = await ask(options)
      return found.statusCode === 503 && found.data?.code === 'OVERLOADED' ? null : found
    })
    if (method !== 'GET') {
      const answeredAt = Date.now()
      await until(() => Date.now() > answeredAt + 1, { everyMs: 1 })
    }
    return answer
  }

  const tenant = {
    side,
    id,
    otherId,
    users,
    others,
    mayCreate: (userId: string): boolean => users.includes(userId) || mayCreate(userId),
    noted,
    note,
    send,

    /** What a client knows of its users: the newest version, its ETag and the moments of all versions. */
    versions: new Map<string, number>(),
    etags: new Map<string, string>(),
    moments: new Map<string, string[]>(),
    /** appends as they were sent, the position after the newest, the place in the feed, ids of API keys */
    sent: [] as { userId: string; payload: { events: object[] }; headers: Record<string, string> }[],
    position: 0,
    cursor: '',
    keys: [] as string[],
    /** when it last sent as much as it may, and more (performance.now) */
    burstAt: Number.NEGATIVE_INFINITY,
    /** newest versions of event types that were registered */
    types: new Map<string, number>(),
    /** newest version of users whose history was imported */
    imported: new Map<string, number>(),
    /** bodies of imports as they were sent */
    lines: [] as string[],

    /** Runs a command under its name; `asOperator` has the operator act for the tenant. */
    async carryOut(name: string, asOperator: boolean, run: () => Promise<void>): Promise<void> {
      command = name
      headers = asOperator ? operator : own
      await run()
    },

    /** Notes the answer and returns it. */
    async ask(method: Method, url: string, asked: Asked = {}): Promise<Answer> {
      const answer = await send(method, url, asked)
      tenant.learn(url, answer)
      note(`${method} ${url}`, answer.statusCode, shownOf(answer))
      return answer
    },

    /** The same as the operator, for the tenant. */
    async asOperator(method: Method, url: string, asked: Asked = {}): Promise<void> {
      const answer = await send(method, url, { ...asked, headers: { ...operator, ...asked.headers } })
      note(`${method} ${url}`, answer.statusCode, shownOf(answer))
    },

    get: (url: string, headers: Record<string, string> = {}): Promise<Answer> => tenant.ask('GET', url, { headers }),

    /** Keeps of an answer to an append what a client needs to go on, and has the moments of events recognized. */
    learn(url: string, { statusCode, data, headers }: Answer): void {
      const [, userId] = /^\/users\/([\w-]+)\/events$/.exec(url) ?? []
      if (!userId || statusCode > 201 || !Array.isArray(data?.events) || data.duplicate === undefined) return
      const moments = tenant.moments.get(userId) ?? []
      tenant.moments.set(userId, moments)
      for (const { version, createdAt, position } of data.events) {
        moments[version - 1] = createdAt
        mask.knowMoment(createdAt, `${userId}/${version}`)
        tenant.position = Math.max(tenant.position, position)
      }
      if (data.version <= (tenant.versions.get(userId) ?? 0)) return
      tenant.versions.set(userId, data.version)
      tenant.etags.set(userId, String(headers.etag))
    },

    /** Notes what a subscription of the tenant was sent. */
    received: (subscription: string, event: StoredEvent): void => void note(`delivered to ${subscription}`, 0, event)
  }
  return tenant
}

/** Headers but for those of the moment, of the request, and of what the limits leave, and the body. */
function shownOf({ headers, body, data }: Answer): unknown {
  const {
    date: _date,
    'x-request-id': _id,
    'content-length': _length,
    'event-position': _position,
    'ratelimit-remaining': _remaining,
    'ratelimit-reset': _reset,
    ...rest
  } = headers
  const lines = String(headers['content-type']).startsWith('application/x-ndjson')
  return {
    headers: rest,
    body: lines
      ? body
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line))
      : (data ?? body)
  }
}

/** Members that say something of the whole store, of the moment or of chance. */
const MASKED = new Set([
  ...['position', 'head', 'lastPosition', 'lagEvents', 'lagSeconds', 'storageBytes'],
  ...['key', 'hint', 'secret', 'requestId', 'lastUsedAt']
])
const CURSORS = new Set(['next', 'cursor'])

function createMask() {
  const moments = new Map<string, string>()
  const ids = new Map<string, string>()
  const startedAt = Date.now()

  const nameOf = (id: string): string => {
    const name = ids.get(id) ?? `<id ${ids.size + 1}>`
    ids.set(id, name)
    return name
  }

  function momentOf(found: string): string {
    if (Math.abs(Date.parse(found) - startedAt) > DAY_MS) return found
    return moments.get(found) ?? '<moment>'
  }

  /** Servers make ids of versions 4 and 7; those that clients choose here are of version 8 (chosenId). */
  const text = (found: string): string =>
    found
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, nameOf)
      .replaceAll(/(?<![\w-])[0-9a-f]{12}(?![\w-])/g, nameOf)
      .replaceAll(/\d{4}-\d\d-\d\dT\d\d(:|%3A)\d\d\1\d\d\.\d{3}Z/g, (moment) => momentOf(decodeURIComponent(moment)))
      .replaceAll(/\b(cursor|after)=[\w%-]+/g, '$1=<cursor>')

  function masked(value: unknown, name = ''): unknown {
    if (MASKED.has(name)) return `<${name}>`
    if (typeof value === 'string') return CURSORS.has(name) ? '<cursor>' : text(value)
    if (Array.isArray(value)) return value.map((each) => masked(each))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.keys(value)
        .sort()
        .map((key) => [key, masked((value as Record<string, unknown>)[key], key)])
    )
  }

  return {
    text,
    value: (value: unknown): string => JSON.stringify(masked(value), null, 1),
    knowMoment: (moment: string, name: string): void => void moments.set(moment, `<moment of ${name}>`)
  }
}
