/** One sequential writer: appends of every kind to a set of users, over HTTP, and a note of everything it was told. */
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Test } from 'tap'
import { userCreated, userUpdated } from './events.js'
import { appendTo, type HttpAnswer } from './http.js'
import { type Acknowledged, acknowledgedOf } from './log.js'
import type { Random } from './random.js'
import { until } from './wait.js'

type Request = { userId: string; events: (object & { id: string })[]; expectedVersion: number | string }

export type Client = {
  /** Sends one append and checks the answer against what was asked. */
  step(): Promise<void>
  /** Steps until `enough` says so, and then on until every request has its answer; throws if that takes over a minute. */
  run(enough: () => boolean): Promise<void>
  /** every event this client was told of, in the order it was told */
  acknowledged: Acknowledged[]
  /** ids of events whose request got no clean answer */
  doubtful: Set<string>
  /** answers by code; requests that got none count under `none` */
  answers: Map<string, number>
  /** answers that contradict the contract */
  surprises: string[]
}

/** `url` is asked before every request: the service may have moved. */
export function createClient(parts: {
  url: () => string
  users: readonly string[]
  random: Random
  timeoutMs?: number
}): Client {
  const { url, users, random, timeoutMs = 30_000 } = parts
  const heads = new Map<string, number>()
  const stored: { request: Request; answer: Acknowledged[] }[] = []
  const unsettled: Request[] = []
  const client: Client = { step, run, acknowledged: [], doubtful: new Set(), answers: new Map(), surprises: [] }

  async function step(): Promise<void> {
    const lot = random.next()
    if (unsettled.length > 0) await send(unsettled.shift()!)
    else if (lot < 0.15 && stored.length > 0) await repeat(random.pick(stored))
    else await send(draw())
  }

  async function run(enough: () => boolean): Promise<void> {
    while (!enough()) await step()
    await until(
      async () => {
        if (unsettled.length > 0) await step()
        return unsettled.length === 0
      },
      { what: 'an answer to every append' }
    )
  }

  function draw(): Request {
    const userId = random.pick(users)
    const head = heads.get(userId)
    const events = Array.from({ length: 1 + random.below(4) }, (_, i) => ({
      id: randomUUID(),
      ...(head === undefined && i === 0
        ? userCreated(`user${i}`)
        : userUpdated({ fullName: `Name ${random.below(1e6)}` }))
    }))
    const expectedVersion = head === undefined ? random.pick(['none', 0]) : random.pick(['any', 'exists', head])
    return { userId, events, expectedVersion }
  }

  async function send(request: Request): Promise<void> {
    const answer = await ask(request)
    const ids = request.events.map(({ id }) => id)
    if (!answer || answer.status === 503) {
      unsettled.push(request)
      for (const id of ids) client.doubtful.add(id)
      return
    }
    for (const id of ids) client.doubtful.delete(id)
    const { status, data } = answer
    if (status === 201 || status === 200) {
      const events = acknowledgedOf(data)
      if (!isRight(request, events)) surprise(request, answer)
      client.acknowledged.push(...events)
      stored.push({ request, answer: events })
      learn(request.userId, data.version)
    } else if (status === 409 && data.code === 'VERSION_CONFLICT') {
      if (normal(request.expectedVersion) === data.currentVersion || request.expectedVersion === 'any')
        surprise(request, answer)
      learn(request.userId, data.currentVersion)
    } else surprise(request, answer)
  }

  async function repeat({ request, answer: first }: { request: Request; answer: Acknowledged[] }): Promise<void> {
    const answer = await ask(request)
    if (!answer || answer.status === 503) return
    const same = answer.status === 200 && JSON.stringify(acknowledgedOf(answer.data)) === JSON.stringify(first)
    if (!same) surprise(request, answer)
  }

  async function ask({ userId, events, expectedVersion }: Request): Promise<HttpAnswer | null> {
    const answer = await appendTo(url(), userId, events, { expectedVersion, timeoutMs }).catch((err: Error) => {
      if (err.name === 'TimeoutError') client.surprises.push(`no answer to an append within ${timeoutMs} ms`)
      return null
    })
    // A client that asks again at once would take the processor from the service it waits for.
    if (!answer || answer.status === 503) await pause(20)
    const code = answer ? (answer.data.code ?? String(answer.status)) : 'none'
    client.answers.set(code, (client.answers.get(code) ?? 0) + 1)
    return answer
  }

  const learn = (userId: string, version: number): void => {
    if (version > 0) heads.set(userId, Math.max(version, heads.get(userId) ?? 0))
  }

  function surprise({ expectedVersion }: Request, { status, data }: HttpAnswer): void {
    client.surprises.push(`expected version ${expectedVersion}: ${status} ${JSON.stringify(data).slice(0, 300)}`)
  }

  return client
}

const normal = (expected: number | string): number | string => (expected === 'none' ? 0 : expected)

/** Consecutive versions and positions, the ids asked for, and directly after a version that was named. */
function isRight({ events, expectedVersion }: Request, placed: Acknowledged[]): boolean {
  const expected = normal(expectedVersion)
  return (
    placed.length === events.length &&
    placed.every(
      ({ id, version, position }, i) =>
        id === events[i]!.id && version === placed[0]!.version + i && position === placed[0]!.position + i
    ) &&
    (typeof expected === 'string' || placed[0]!.version === expected + 1)
  )
}

/** True after `steps` calls, or `ms` after it was made: enough work, also on a machine that is busy with other things. */
export function stepsOrTime(steps: number, ms: number): () => boolean {
  const startedAt = performance.now()
  let taken = 0
  return () => taken++ >= steps || performance.now() - startedAt > ms
}

/** Fails the test if a client was told what contradicts the contract; returns how often each answer came. */
export function assertHonest(t: Test, clients: readonly Client[]): Record<string, number> {
  const sum: Record<string, number> = {}
  for (const { answers } of clients) for (const [code, count] of answers) sum[code] = (sum[code] ?? 0) + count
  t.comment(`answers ${JSON.stringify(sum)}`)
  const surprises = clients.flatMap((client) => client.surprises)
  t.strictSame(surprises.slice(0, 3), [], 'no answer contradicts the contract')
  return sum
}
