/** GET /events with waitMs: when it answers, and with what. */
import t from 'tap'
import { testDatabase } from '../support/db.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { untilOpen } from '../support/feed.js'
import { verdict } from '../support/problem.js'
import { startProxy } from '../support/proxy.js'
import { listen, testService } from '../support/service.js'

const service = await testService(t)
const { append, get } = service
const ada = newUserId()
await append(ada, [userCreated()])

const timed = async <T>(work: Promise<T>): Promise<{ answer: T; ms: number }> => {
  const startedAt = performance.now()
  const answer = await work
  return { answer, ms: performance.now() - startedAt }
}
const newest = async (from = get): Promise<string> => (await from('/events?limit=1000')).data.next
const shown = ({ data }: { data: Record<string, any> }) =>
  data.events.map((event: { position: number }) => event.position)

t.test('what is there is not waited for', async (t) => {
  const { answer, ms } = await timed(get('/events?waitMs=30000'))
  t.strictSame(shown(answer), [1])
  t.match(answer.data, { head: 1, position: 1 })
  t.match(answer.headers.link, /^<\/events\?waitMs=30000&after=[\w-]+>; rel="next"$/)
  t.ok(ms < 5000, `${Math.round(ms)} ms`)
})

t.test('an event that comes ends the wait, and the next wait goes on after it', async (t) => {
  let after = await newest()
  for (let round = 0; round < 5; round++) {
    const waiting = timed(get(`/events?waitMs=7000&after=${after}`))
    const { version } = (await append(ada, updates(1))).data
    const { answer, ms } = await waiting
    t.strictSame(shown(answer), [version])
    t.ok(ms < 5000, `${Math.round(ms)} ms`)
    after = answer.data.next
  }
})

t.test('without one the wait ends when it was asked to, with a cursor that goes on', async (t) => {
  const after = await newest()
  const { answer, ms } = await timed(get(`/events?waitMs=300&after=${after}`))
  t.match(answer.data, { events: [], next: after })
  t.equal(answer.data.head, answer.data.position)
  t.ok(ms >= 290 && ms < 5000, `${Math.round(ms)} ms`)
})

t.test('a wait ends before the deadline of requests', async (t) => {
  const hasty = await testService(t, { env: { REQUEST_TIMEOUT_MS: '5000' } })
  const { answer, ms } = await timed(hasty.get('/events?waitMs=30000'))
  t.equal(verdict(answer), '200')
  t.ok(ms >= 3990 && ms < 5000, `${Math.round(ms)} ms`)
})

t.test('only what was selected ends a wait, and the cursor passes the rest', async (t) => {
  const bob = newUserId()
  const after = await newest()
  const waiting = get(`/events?waitMs=7000&after=${after}&userId=${bob}`)
  const other = get(`/events?waitMs=7000&after=${after}&eventType=UserDeleted&eventType=UserCreated`)
  await append(ada, updates(3))
  const { position } = (await append(bob, [userCreated('bob')])).data.events[0]
  for (const answer of [await waiting, await other]) {
    t.strictSame(shown(answer), [position])
    t.equal(answer.data.position, position)
  }
})

t.test('what another instance stores ends a wait as well', async (t) => {
  const other = await testService(t, { database: service.database })
  const waiting = timed(other.get(`/events?waitMs=7000&after=${await newest()}`))
  await append(ada, updates(1))
  const { answer, ms } = await waiting
  t.equal(answer.data.events.length, 1)
  t.ok(ms < 5000, `${Math.round(ms)} ms`)
})

t.test('a page backward does not wait', async (t) => {
  const empty = await testService(t)
  const { answer, ms } = await timed(empty.get('/events?direction=backward&waitMs=7000'))
  t.match(answer.data, { events: [], next: null })
  t.ok(ms < 5000, `${Math.round(ms)} ms`)
})

t.test('a client that leaves gives its slot back', async (t) => {
  const small = await testService(t, { env: { STREAMS_MAX: '1' } })
  const url = await listen(small)
  const leaving = new AbortController()
  const waiting = fetch(`${url}/events?waitMs=30000`, { signal: leaving.signal })
  waiting.catch(() => {})
  await untilOpen(small.get, 1)
  t.equal(verdict(await small.get('/events?waitMs=1')), '503 OVERLOADED')
  leaving.abort()
  await t.rejects(waiting)
  await untilOpen(small.get, 0)
  t.equal(verdict(await small.get('/events?waitMs=1')), '200')
})

t.test('a wait outlasts a database that is away for a moment', async (t) => {
  const database = await testDatabase(t)
  const proxy = await startProxy(t, database.url)
  const through = await testService(t, { database: { ...database, url: proxy.url } })
  const direct = await testService(t, { database })
  await direct.append(ada, [userCreated()])
  const after = await newest(through.get)
  // The first wait has the tail begin; those that follow are served by it.
  await through.get(`/events?waitMs=300&after=${after}`)
  const waiting = through.get(`/events?waitMs=8000&after=${after}`)
  await untilOpen(through.get, 1)
  await proxy.refuse()
  await direct.append(ada, updates(2))
  await proxy.listen()
  t.strictSame(shown(await waiting), [2, 3])
})
