/** GET /events without waiting: pages, filters, directions, tenants, cursors. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { loggedIn, newUserId, updates, userCreated } from '../support/events.js'
import { loseEventsAfter, readFeed } from '../support/feed.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'

const { append, get, ask } = await testService(t)

const [ada, bob] = [newUserId(), newUserId()]

t.test('the feed of an empty log is empty in both directions, and its cursor waits for the first event', async (t) => {
  const empty = await testService(t)
  const page = (await empty.get('/events')).data
  t.match(page, { events: [], head: 0, position: 0 })
  t.strictSame((await empty.get('/events?direction=backward')).data, { events: [], next: null, head: 0, position: 0 })
  await empty.append(ada, [userCreated()])
  const next = (await empty.get(`/events?after=${page.next}`)).data
  t.match(next, { events: [{ aggregateId: ada, version: 1, position: 1 }], head: 1, position: 1 })
})

await append(ada, [userCreated('ada'), ...updates(2)])
await append(bob, [userCreated('bob'), loggedIn(), ...updates(3)])
const HEAD = 8

t.test('a page has the events as they are read one by one, and says where it stands', async (t) => {
  const answer = await get('/events?limit=3')
  t.equal(answer.statusCode, 200)
  t.match(answer.headers['content-type'], /^application\/json/)
  const { events, head, position, next } = answer.data
  t.strictSame([head, position], [HEAD, 3])
  for (const event of events) {
    t.strictSame(event, (await get(`/users/${event.aggregateId}/events/${event.version}`)).data)
  }
  t.equal(answer.headers.link, `</events?limit=3&after=${next}>; rel="next"`)
  const link = /<(.*)>/.exec(String(answer.headers.link))![1]!
  t.strictSame(
    (await get(link)).data.events.map((event: { position: number }) => event.position),
    [4, 5, 6]
  )
})

t.test('pages of any size follow each other without a gap or a repetition, in both directions', async (t) => {
  const all = Array.from({ length: HEAD }, (_, i) => i + 1)
  for (const limit of [1, 2, 7, 8, 9, 1000]) {
    const forward = await readFeed(get, `limit=${limit}`)
    t.strictSame(
      forward.events.map(({ position }) => position),
      all,
      `forward, ${limit} at a time`
    )
    t.ok(forward.pages.every(({ events }) => events.length <= limit))
    const backward = await readFeed(get, `direction=backward&limit=${limit}`)
    t.strictSame(
      backward.events.map(({ position }) => position),
      [...all].reverse(),
      `backward, ${limit} at a time`
    )
    t.equal(backward.pages.at(-1)!.position, 0)
  }
})

t.test('100 events are a page when no limit is given', async (t) => {
  const many = await testService(t)
  const userId = newUserId()
  await many.append(userId, [userCreated(), ...updates(100)])
  t.equal((await many.get('/events')).data.events.length, 100)
  t.match((await many.get('/events?limit=101')).data, { head: 101, position: 101 })
})

t.test('one cursor serves both directions: beyond it forward, before it backward', async (t) => {
  const { next } = (await get('/events?limit=5')).data
  const positions = async (query: string) =>
    (await get(`/events?after=${next}&${query}`)).data.events.map((event: { position: number }) => event.position)
  t.strictSame(await positions('limit=2'), [6, 7])
  t.strictSame(await positions('direction=backward&limit=2'), [5, 4])
})

t.test('only what is asked for is shown, and the position says how far that is known', async (t) => {
  const shown = async (query: string) => {
    const { data } = await get(`/events?${query}`)
    return [data.events.map((event: { position: number }) => event.position), data.position]
  }
  t.strictSame(await shown('eventType=UserCreated'), [[1, 4], HEAD])
  t.strictSame(await shown('eventType=UserCreated&eventType=LoginInfoUpdated'), [[1, 4, 5], HEAD])
  t.strictSame(await shown('eventType=UserCreated&limit=1'), [[1], 1])
  t.strictSame(await shown('eventType=UserDeleted'), [[], HEAD])
  t.strictSame(await shown(`userId=${ada}`), [[1, 2, 3], HEAD])
  t.strictSame(await shown(`userId=${ada.toUpperCase()}&eventType=UserUpdated`), [[2, 3], HEAD])
  t.strictSame(await shown(`userId=${newUserId()}`), [[], HEAD])
  t.strictSame(await shown('eventType=UserCreated&direction=backward'), [[4, 1], 0])
  t.strictSame(await shown('eventType=UserCreated&direction=backward&limit=1'), [[4], 3])
})

t.test('tenants do not see each other in the feed', async (t) => {
  const tenant = { 'x-tenant-id': randomUUID() }
  const userId = newUserId()
  await append(userId, [userCreated()], { headers: tenant })
  const mine = await readFeed(get, '', tenant)
  t.strictSame(
    mine.events.map(({ aggregateId }) => aggregateId),
    [userId]
  )
  const theirs = await readFeed(get)
  t.notOk(theirs.events.some(({ aggregateId }) => aggregateId === userId))
  t.strictSame((await readFeed(get, `userId=${userId}`)).events, [])
  t.strictSame((await readFeed(get, `userId=${ada}`, tenant)).events, [])
})

t.test('data is shown at the newest version of its type, or as it was stored', async (t) => {
  const definition = (more: object = {}) => ({
    schema: { type: 'object', properties: { city: { type: 'string' }, country: { type: 'string' } } },
    effect: { kind: 'none' },
    ...more
  })
  const put = (version: number, payload: object) =>
    ask({ method: 'PUT', url: `/event-types/Moved/versions/${version}`, payload })
  t.equal((await put(1, definition())).statusCode, 201)
  await append(ada, [{ eventType: 'Moved', eventData: { city: 'London' } }])
  t.equal((await put(2, definition({ upcast: [{ op: 'add', path: '/country', value: 'UK' }] }))).statusCode, 201)
  const [lifted] = (await get('/events?eventType=Moved')).data.events
  t.match(lifted, { schemaVersion: 2, eventData: { city: 'London', country: 'UK' } })
  const [stored] = (await get('/events?eventType=Moved&upcast=false')).data.events
  t.match(stored, { schemaVersion: 1 })
  t.strictSame(stored.eventData, { city: 'London' })
})

t.test('queries beyond the limits are refused', async (t) => {
  for (const query of [
    'limit=0',
    'limit=1001',
    'waitMs=-1',
    'waitMs=30001',
    'direction=sideways',
    'userId=x',
    'start=now'
  ]) {
    refused(t, await get(`/events?${query}`), '400 VALIDATION_FAILED')
  }
  for (const query of ['limit=1', 'limit=1000', 'waitMs=0', 'waitMs=30000']) {
    t.equal(verdict(await get(`/events?${query}`)), '200', query)
  }
})

t.test('what is no cursor of the feed is malformed', async (t) => {
  const { next } = (await get(`/users/${ada}/events?limit=1`)).data
  for (const after of ['x', 'null', '%00', 'MS4x', next]) {
    refused(t, await get(`/events?after=${after}`), '400 CURSOR_MALFORMED')
  }
  t.equal(verdict(await get('/events?after=x&waitMs=1000')), '400 CURSOR_MALFORMED')
})

t.test('a cursor of another database is invalid', async (t) => {
  const other = await testService(t)
  await other.database.run('UPDATE store_identity SET id = gen_random_uuid()')
  const stranger = await testService(t, { database: other.database })
  const { next } = (await stranger.get('/events')).data
  for (const query of ['', '&waitMs=1000', '&direction=backward']) {
    const answer = await get(`/events?after=${next}${query}`)
    refused(t, answer, '410 CURSOR_INVALID')
    t.match(answer.data.detail, /another store.*Begin again without a cursor/)
  }
})

t.test('after a restore, a cursor beyond the backup is invalid, also when other events took the places', async (t) => {
  const restored = await testService(t)
  const userId = newUserId()
  await restored.append(userId, [userCreated(), ...updates(9)])
  const cursorAt = async (limit: number) => (await restored.get(`/events?limit=${limit}`)).data.next
  const [kept, edge, lost] = [await cursorAt(5), await cursorAt(6), await cursorAt(8)]
  const verdicts = async () => {
    const found = []
    for (const after of [kept, edge, lost]) found.push(verdict(await restored.get(`/events?after=${after}`)))
    return found
  }
  await loseEventsAfter(restored.database, 5)
  t.strictSame(await verdicts(), ['200', '410 CURSOR_INVALID', '410 CURSOR_INVALID'], 'beyond the end')
  await restored.append(userId, updates(9))
  t.strictSame(await verdicts(), ['200', '410 CURSOR_INVALID', '410 CURSOR_INVALID'], 'at other events')
  refused(t, await restored.get(`/events?after=${lost}&direction=backward`), '410 CURSOR_INVALID')
  refused(t, await restored.get(`/events?after=${lost}&waitMs=100`), '410 CURSOR_INVALID')
})

t.test('with three buckets every event comes once, each user in order, whatever the size of pages', async (t) => {
  const spread = await testService(t, { env: { EVENT_BUCKETS: '3' } })
  const users = Array.from({ length: 12 }, newUserId)
  for (const userId of users) await spread.append(userId, [userCreated()])
  for (const userId of users) await spread.append(userId, updates(4))
  for (const direction of ['forward', 'backward']) {
    for (const limit of [1, 7, 60, 1000]) {
      const { events, pages } = await readFeed(spread.get, `direction=${direction}&limit=${limit}`)
      t.equal(pages[0]!.head, 60)
      t.equal(new Set(events.map(({ id }) => id)).size, 60, `${direction}, ${limit} at a time`)
      t.equal(events.length, 60)
      for (const userId of users) {
        const versions = events.filter(({ aggregateId }) => aggregateId === userId).map(({ version }) => version)
        t.strictSame(versions, direction === 'forward' ? [1, 2, 3, 4, 5] : [5, 4, 3, 2, 1])
      }
    }
  }
  const one = await readFeed(spread.get, `userId=${users[0]}&limit=2`)
  t.strictSame(
    one.events.map(({ version }) => version),
    [1, 2, 3, 4, 5]
  )
  const { next } = one.pages.at(-1)!
  await spread.append(users[0]!, updates(1))
  t.strictSame(
    (await spread.get(`/events?after=${next}`)).data.events.map((event: { version: number }) => event.version),
    [6]
  )
})
