/**
 * Requests by chance, out of the OpenAPI document: whatever is sent, the answer is one that the operation declares, with a body
 * that its schema allows, never a failure of the service; and what is refused changed nothing.
 */
import { randomUUID } from 'node:crypto'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { testDatabase } from '../support/db.js'
import { updates, userCreated } from '../support/events.js'
import { createInputs, type Input, type OpenApi } from '../support/fuzz-inputs.js'
import { importedEvent } from '../support/import.js'
import { randomOf, seedOf } from '../support/random.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

/** Requests in all; more take longer than a file of tests may: FUZZ_INPUTS=200000 asks for them. */
const INPUTS = Number(process.env.FUZZ_INPUTS ?? 40_000)
/** Refused ones of those that could change something, which are sent again to look whether they do, so many between two looks. */
const REPEATED = INPUTS / 10
const DRAWN = INPUTS - REPEATED
const LOT = 50
/** Requests on their way at once. */
const AT_ONCE = 32
/** Failures that are shown. */
const SHOWN = 10

type Response = { content?: Record<string, { schema: object }> }
type Declared = { responses: Record<string, Response> }

const database = await testDatabase(t)
const random = randomOf(seedOf(t))
const env = { ...GUARDED, WEBHOOK_PRIVATE_ADDRESSES: 'true', REQUEST_TIMEOUT_MS: '3000', DATABASE_POOL_MAX: '10' }

// Users in every state, the read model filled; then nothing works in the background, so that requests alone change the database.
const filling = await testService(t, { env, database, background: true })
const admin = bearing(ADMIN_KEY)
const users = Array.from({ length: 6 }, () => randomUUID())
for (const [i, userId] of users.entries())
  await filling.append(userId, [userCreated(`user${i}`), ...updates(3)], { headers: admin })
const webhook = { kind: 'webhook', url: 'http://127.0.0.1:1/' }
for (const name of ['crm', 'erp']) await filling.post('/admin/subscriptions', { name, sink: webhook }, admin)
await until(async () => (await filling.get('/users/count?atLeast=24', admin)).statusCode === 200)
const reader = await keyOf(filling, ['events:read', 'state:read'])
const keys = await Promise.all(
  users.map(async () => (await filling.post('/admin/api-keys', { name: 'x', scopes: ['state:read'] }, admin)).data.id)
)
await filling.service.stop()

const { app } = await testService(t, { env, database })
const document = JSON.parse(JSON.stringify(app.swagger())) as OpenApi
const lines = users.map(() => JSON.stringify(importedEvent(randomUUID(), 1, userCreated())))
const nextInput = createInputs(document, random, {
  userId: [...users, randomUUID()],
  aggregateId: users,
  id: keys,
  'x-tenant-id': [DEFAULT_TENANT, DEFAULT_TENANT, DEFAULT_TENANT, randomUUID()],
  name: ['crm', 'erp', 'users', 'nobody'],
  type: ['UserCreated', 'Moved', 'Nothing'],
  eventType: ['UserCreated', 'UserUpdated', 'UserDeleted', 'AccountLocked', 'LoginInfoUpdated', 'Moved', 'Nothing'],
  version: [1, 2, 3, 4, 5],
  fromVersion: [0, 1, 4],
  toVersion: [1, 4, 5],
  // Limits that bind would hide what comes behind them.
  tenantId: [randomUUID()],
  requestsPerSecond: [1_000_000],
  requestsPerSecondPerKey: [1_000_000],
  // A longer wait would be one for the test.
  waitMs: [0, 1, 20, -1],
  importEvents: lines,
  'idempotency-key': ['again', 'once more'],
  expectedVersion: ['any', 'none', 'exists', 4, 5, 0],
  effect: [{ kind: 'none' }, { kind: 'merge', namespace: 'address' }],
  schema: [{ type: 'object' }, { type: 'object', properties: { city: { type: 'string' } } }],
  sink: [webhook]
})

const ajv = new Ajv2020({ strict: false, allErrors: false })
formats.default(ajv)
// The contract's own: an address of either kind.
ajv.addFormat('ip', true)
ajv.addSchema(document, 'contract')
const validators = new Map<string, ValidateFunction>()

/** The validator of a body, or null where the operation declares no such answer. */
function validatorOf({ path, method }: Input, status: number, type: string): ValidateFunction | null {
  const declared = document.paths[path]![method.toLowerCase()] as unknown as Declared
  if (!declared.responses[status]?.content?.[type]) return null
  const place = ['paths', path, method.toLowerCase(), 'responses', String(status), 'content', type, 'schema']
  const pointer = place.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')
  const known = validators.get(pointer) ?? ajv.compile({ $ref: `contract#/${pointer}` })
  validators.set(pointer, known)
  return known
}

/** What is wrong with an answer; null when nothing is. */
function faultOf(input: Input, { statusCode, headers, body }: LightMyRequestResponse): string | null {
  const [type = ''] = String(headers['content-type'] ?? '').split(';')
  if (statusCode >= 500 && statusCode !== 503) return `status ${statusCode}`
  if (input.astray && statusCode >= 400) return problemFault(type, body)
  const declared = document.paths[input.path]![input.method.toLowerCase()] as unknown as Declared
  const response = declared.responses[statusCode]
  if (!response) return `status ${statusCode} is not declared`
  if (!response.content) return body === '' ? null : `a body where none is declared: ${body.slice(0, 200)}`
  const validate = validatorOf(input, statusCode, type)
  if (!validate) return `content type ${type} is not declared for ${statusCode}`
  const value = type === 'application/x-ndjson' ? body : parsed(body)
  return validate(value) ? null : `the body is not as declared: ${ajv.errorsText(validate.errors)}`
}

/** Undefined, which no schema allows, for what is no JSON. */
function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

const isProblem = ajv.compile({ $ref: 'contract#/components/schemas/Problem' })
const problemFault = (type: string, body: string): string | null =>
  type === 'application/problem+json' && isProblem(parsed(body)) ? null : `no problem: ${type} ${body.slice(0, 200)}`

const asText = ({ method, url, headers, payload }: Input): string =>
  `${method} ${url.slice(0, 300)}\n${JSON.stringify(headers).slice(0, 500)}\n${JSON.stringify(payload ?? '').slice(0, 500)}`

const credentials = [...Array(20).fill(admin), reader, {}, { authorization: 'Bearer nonsense' }]

/** A stream that is let in does not end by itself: those are spoilt for certain. (feed-stream.test.ts has good ones.) */
const endless = ({ operationId }: Input): boolean => operationId === 'streamFeed'

/** What would bind all requests after it. */
const binding = ({ operationId, url }: Input): boolean =>
  operationId === 'setTenantLimits' && url.includes(DEFAULT_TENANT)

function draw(): Input {
  const input = nextInput()
  if (binding(input)) return draw()
  const spoilt =
    endless(input) && !input.astray ? { url: `${input.url}${input.url.includes('?') ? '&' : '?'}limit=x` } : {}
  return { ...input, ...spoilt, headers: { ...input.headers, ...random.pick(credentials) } }
}

const failures: string[] = []
const statuses = new Map<string, number>()

async function send(input: Input): Promise<number> {
  const { method, url, headers, payload } = input
  const answer = await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) })
  const fault = faultOf(input, answer)
  if (fault) failures.push(`${fault}\n${asText(input)}\n${answer.body.slice(0, 500)}`)
  const outcome = `${input.operationId} ${answer.statusCode}`
  statuses.set(outcome, (statuses.get(outcome) ?? 0) + 1)
  return answer.statusCode
}

/** All that is stored, in a few numbers. The audit notes requests before they are carried out, and keys when they were used last. */
async function fingerprint(): Promise<string> {
  const tables = await database.run<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'admin_audit' ORDER BY 1`
  )
  const parts = tables.map(
    ({ name }) =>
      `SELECT '${name}' AS name, count(*) AS rows, sum(hashtextextended((to_jsonb(t) - 'lastUsedAt')::text, 0)) AS content FROM "${name}" t`
  )
  return JSON.stringify(await database.run(parts.join(' UNION ALL ')))
}

/** Sends what `next` gives until that is undefined, so many at once, and tells of each answer. */
async function sendAll(next: () => Input | undefined, onAnswer: (input: Input, status: number) => void): Promise<void> {
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let input = next(); input && failures.length < SHOWN; input = next()) onAnswer(input, await send(input))
    })
  )
}

/** A stream that is let in does not end, and what a subscription owes goes with it when chance deletes it. */
const SILENT = ['streamFeed', 'readOwedEvent']

const isRefusal = (status: number): boolean => status >= 400 && status < 500

t.test('whatever is sent, the answer is as declared, and what is refused changes nothing', async (t) => {
  const startedAt = performance.now()
  const refused: Input[] = []
  let left = DRAWN
  await sendAll(
    () => (left-- > 0 ? draw() : undefined),
    (input, status) => {
      if (input.method !== 'GET' && isRefusal(status) && refused.length < REPEATED) refused.push(input)
    }
  )
  // Again, without those between them that change something.
  let compared = 0
  let before = await fingerprint()
  for (let from = 0; from < refused.length && failures.length < SHOWN; from += LOT) {
    const lot = refused.slice(from, from + LOT)
    const inputs = lot.values()
    let refusals = 0
    await sendAll(
      () => inputs.next().value,
      (_input, status) => {
        if (isRefusal(status)) refusals++
      }
    )
    const after = await fingerprint()
    // What was changed meanwhile can have made a request good that was refused before.
    if (refusals === lot.length) {
      compared += lot.length
      if (after !== before)
        failures.push(`One of these was refused and changed something:\n${lot.map(asText).join('\n')}`)
    }
    before = after
  }
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  t.comment(`${DRAWN + refused.length} requests in ${seconds} s; ${compared} refusals were compared`)
  t.strictSame(failures.slice(0, SHOWN), [])
  t.ok(compared >= REPEATED / 10, `${compared} refusals were compared`)
  const answered = [...statuses.keys()]
  const silent = Object.values(document.paths)
    .flatMap((methods) => Object.values(methods))
    .filter(
      ({ operationId }) =>
        !SILENT.includes(operationId) &&
        !answered.some((key) => /^\w+ 2/.test(key) && key.startsWith(`${operationId} `))
    )
  t.strictSame(
    silent.map(({ operationId }) => operationId),
    [],
    'every operation did something now and then'
  )
})
