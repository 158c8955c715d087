/** Who appended an event stands in its metadata, and nobody else can write it there. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { refused } from '../support/problem.js'
import { testService } from '../support/service.js'

t.test('the key that appended an event stands in its metadata, beside what the client said', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const { append, get } = service
  const headers = await keyOf(service, ['events:write', 'events:read'])
  const user = newUserId()
  const metadatas = [undefined, {}, { correlationId: 'c-1', nested: { $principal: 'mine' } }]
  await append(user, [{ ...userCreated() }], { headers })
  for (const metadata of metadatas)
    await append(user, [{ ...userUpdated(), ...(metadata && { metadata }) }], { headers })
  const { data } = await get(`/users/${user}/events`, headers)
  const { data: listed } = await get('/admin/api-keys', bearing(ADMIN_KEY))
  const $principal = `key:${listed.keys.find(({ name }: { name: string }) => name === 'test').id}`
  t.strictSame(
    data.events.map(({ metadata }: { metadata: object }) => metadata),
    [undefined, ...metadatas].map((metadata) => ({ ...metadata, $principal }))
  )
})

t.test('a client that names an author is refused, also where nobody has to say who they are', async (t) => {
  for (const env of [GUARDED, {}]) {
    const { append, get } = await testService(t, { env })
    const headers = env === GUARDED ? bearing(ADMIN_KEY) : {}
    const user = newUserId()
    for (const $principal of ['key:0123456789ab', null, {}]) {
      const answer = await append(user, [userCreated(), { ...userUpdated(), metadata: { $principal } }], { headers })
      refused(t, answer, '422 METADATA_RESERVED', { pointer: '/events/1/metadata/$principal' })
    }
    t.equal((await get(`/users/${user}/state`, headers)).statusCode, 404, 'nothing is stored')
  }
})

t.test('without authentication metadata are as the client sent them', async (t) => {
  const { append, get } = await testService(t)
  const user = newUserId()
  await append(user, [userCreated(), { ...userUpdated(), metadata: { a: 1 } }])
  const { data } = await get(`/users/${user}/events`)
  t.strictSame(
    data.events.map(({ metadata }: { metadata: object }) => metadata),
    [null, { a: 1 }]
  )
})

t.test('a request that is repeated with another key is the same request; other metadata make it another', async (t) => {
  const service = await testService(t, { env: GUARDED })
  const { append } = service
  const [first, second] = [await keyOf(service, ['events:write']), await keyOf(service, ['events:write'])]
  for (const metadata of [undefined, {}, { correlationId: 'c-1' }]) {
    const user = newUserId()
    const events = [{ id: randomUUID(), ...userCreated(), ...(metadata && { metadata }) }]
    t.equal((await append(user, events, { headers: first })).statusCode, 201)
    const again = await append(user, events, { headers: second })
    t.equal(again.statusCode, 200)
    t.equal(again.data.duplicate, true)
    const other = [{ ...events[0]!, metadata: { correlationId: 'c-2' } }]
    refused(t, await append(user, other, { headers: second }), '409 EVENT_ID_REUSED')
  }
})

t.test('what is exported is imported with its authors', async (t) => {
  const from = await testService(t, { env: GUARDED })
  const to = await testService(t, { env: GUARDED })
  const admin = bearing(ADMIN_KEY)
  const user = newUserId()
  await from.append(user, [userCreated(), { ...userUpdated(), metadata: { a: 1 } }], { headers: admin })
  const lines = (await from.get('/events/export?upcast=false', admin)).body
  t.match(lines, '"$principal"')
  const bring = () =>
    to.ask({
      method: 'POST',
      url: '/events/import',
      headers: { ...admin, 'content-type': 'application/x-ndjson' },
      payload: lines
    })
  t.hasStrict((await bring()).data, { imported: 2 })
  t.equal((await to.get('/events/export?upcast=false', admin)).body, lines)
  t.hasStrict((await bring()).data, { imported: 0, duplicates: 2 })
})
