/** Cursors over HTTP, on every list that has them: they hold for their tenant, on all instances, and for nobody else. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { manyUsers } from '../support/directory.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

type Described = { operationId: string; parameters?: { name: string; schema: { pattern?: string } }[] }

/** A list with more than two entries for a tenant: its path, and the parameter that takes the cursor. */
type List = { path: string; parameter: 'cursor' | 'after' }

const { app, append, ask, get, database } = await testService(t, {
  env: { WEBHOOK_PRIVATE_ADDRESSES: 'true' },
  background: true
})
const [one, other] = [randomUUID(), randomUUID()]
const as = (tenantId: string) => ({ 'x-tenant-id': tenantId })

let from = 1
/** Gives a tenant three of everything, and returns its lists by operation. */
async function fill(tenantId: string): Promise<Record<string, List>> {
  const headers = as(tenantId)
  const userId = newUserId()
  await append(userId, [userCreated(), ...updates(2)], { headers })
  await database.run(manyUsers(tenantId, from, 3))
  from += 3
  const sink = { kind: 'webhook', url: 'http://127.0.0.1:1/' }
  for (const name of ['crm', 'erp', 'shop'])
    await ask({ method: 'POST', url: '/admin/subscriptions', headers, payload: { name, sink } })
  await database.run(`
    INSERT INTO event_outbox (bucket, "subscriptionId", position, "aggregateId", version, status, attempts)
    SELECT 0, s.id, n, gen_random_uuid(), 1, 'dead', 3 FROM subscriptions s, generate_series(1, 3) n
    WHERE s.name = 'crm' AND s."tenantId" = '${tenantId}'`)
  return {
    readEvents: { path: `/users/${userId}/events`, parameter: 'cursor' },
    readFeed: { path: '/events', parameter: 'after' },
    streamFeed: { path: '/events/stream', parameter: 'after' },
    listUsers: { path: '/users', parameter: 'cursor' },
    listOwedEvents: { path: '/admin/subscriptions/crm/outbox', parameter: 'cursor' },
    readAudit: { path: '/admin/audit', parameter: 'cursor' }
  }
}

await until(async () => (await get('/users')).statusCode === 200, { what: 'the read model' })
const lists = { [one]: await fill(one), [other]: await fill(other) }
/** All but the stream, which does not end and takes the cursors of the feed. */
const pages = Object.entries(lists[one]!).filter(([id]) => id !== 'streamFeed')

/** Cursor behind the first two entries. */
const cursorOf = async ({ path }: List, tenantId: string): Promise<string> =>
  (await get(`${path}?limit=2`, as(tenantId))).data.next

t.test('these are all the lists that take cursors', async (t) => {
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Described>> }
  const taking = Object.values(paths)
    .flatMap((methods) => Object.values(methods))
    .filter(({ parameters = [] }) =>
      // An id after which to go on is no cursor.
      parameters.some(({ name, schema }) => name === 'cursor' || (name === 'after' && schema.pattern === undefined))
    )
  t.strictSame(taking.map(({ operationId }) => operationId).sort(), Object.keys(lists[one]!).sort())
})

t.test('a cursor goes on here, on another instance and after a restart, for its tenant only', async (t) => {
  const second = await testService(t, { database })
  for (const [id, list] of pages) {
    const cursor = await cursorOf(list, one)
    const url = `${list.path}?limit=2&${list.parameter}=${cursor}`
    const here = await get(url, as(one))
    t.equal(here.statusCode, 200, id)
    t.strictSame((await second.get(url, as(one))).data, here.data, `${id} on another instance`)
    refused(t, await get(url, as(other)), '400 CURSOR_MALFORMED')
    const theirs = lists[other]![id]!
    refused(t, await get(`${theirs.path}?limit=2&${list.parameter}=${cursor}`, as(other)), '400 CURSOR_MALFORMED')
    for (const [otherId, { path, parameter }] of pages)
      if (otherId !== id)
        t.equal(
          verdict(await get(`${path}?${parameter}=${cursor}`, as(one))),
          '400 CURSOR_MALFORMED',
          `${id} → ${otherId}`
        )
  }
})

t.test('another tenant learns nothing from the answer to a cursor: it is that to a made-up one', async (t) => {
  const masked = (text: string, cursor: string) => text.replaceAll(cursor, '<cursor>')
  for (const [id, list] of Object.entries(lists[one]!)) {
    const cursor = await cursorOf(id === 'streamFeed' ? lists[one]!.readFeed! : list, one)
    const made = Buffer.from(randomUUID()).toString('base64url')
    const { path, parameter } = lists[other]![id]!
    const [theirs, madeUp] = await Promise.all(
      [cursor, made].map(async (text) => masked((await get(`${path}?${parameter}=${text}`, as(other))).body, text))
    )
    t.equal(theirs, madeUp, id)
    t.match(JSON.parse(theirs!), { code: 'CURSOR_MALFORMED', status: 400 })
  }
})
