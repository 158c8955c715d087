/** Pages of other origins: none may read answers unless it is named, and those that are may do what clients do. */
import t from 'tap'
import { newUserId, userCreated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { type Answer, listen, testService } from '../support/service.js'

const APP = 'https://app.example.com'
const LOCAL = 'http://localhost:8080'
const FOREIGN = ['https://evil.example', 'null', `${APP}.evil.example`, `${APP}:444`, 'http://app.example.com', '*', '']

const closed = await testService(t)
const open = await testService(t, { env: { CORS_ORIGINS: `${APP},${LOCAL}` }, database: closed.database })
const userId = newUserId()
await open.append(userId, [userCreated()])
const events = `/users/${userId}/events`

const preflight = (origin: string, url = events, service = open): Promise<Answer> =>
  service.ask({
    method: 'OPTIONS',
    url,
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' }
  })
const corsHeaders = ({ headers }: Answer): string[] =>
  Object.keys(headers).filter((name) => name.startsWith('access-control-'))
const listed = (header: unknown): string[] => String(header).toLowerCase().split(', ')

t.test('without the setting there is no CORS', async (t) => {
  for (const answer of [await closed.get(events, { origin: APP }), await preflight(APP, events, closed)]) {
    t.strictSame(corsHeaders(answer), [])
    t.notOk(answer.headers.vary)
  }
  refused(t, await preflight(APP, events, closed), '405 METHOD_NOT_ALLOWED')
})

t.test('each origin that is named may read, and is named back alone', async (t) => {
  for (const origin of [APP, LOCAL]) {
    const answer = await open.get(events, { origin })
    t.equal(answer.statusCode, 200)
    t.equal(answer.headers['access-control-allow-origin'], origin)
    t.match(answer.headers.vary, /origin/i, 'no cache gives the answer to another origin')
  }
})

t.test('errors can be read too', async (t) => {
  for (const url of ['/nowhere', `/users/${newUserId()}/state`, `${events}?x=1`]) {
    const answer = await open.get(url, { origin: APP })
    t.ok(answer.statusCode >= 400)
    t.equal(answer.headers['access-control-allow-origin'], APP, url)
  }
})

t.test('a preflight of an origin that is named is allowed what clients need', async (t) => {
  for (const url of [events, '/events', '/event-types/Moved/versions/1', '/livez']) {
    const answer = await preflight(APP, url)
    t.equal(answer.statusCode, 204, url)
    t.equal(answer.body, '')
    t.equal(answer.headers['access-control-allow-origin'], APP)
    t.equal(answer.headers['access-control-max-age'], '7200')
    t.match(answer.headers.vary, /origin/i)
    t.ok(answer.headers['x-request-id'])
  }
})

t.test('every method, header of a request and header of an answer that the contract names is covered', async (t) => {
  type Operation = {
    parameters?: { in: string; name: string }[]
    responses: Record<string, { headers?: Record<string, unknown> }>
  }
  const { paths } = open.app.swagger() as unknown as { paths: Record<string, Record<string, Operation>> }
  const answer = await preflight(APP)
  const [methods, asked] = ['methods', 'headers'].map((what) => listed(answer.headers[`access-control-allow-${what}`]))
  const shown = listed((await open.get(events, { origin: APP })).headers['access-control-expose-headers'])
  for (const [method, { parameters = [], responses }] of Object.values(paths).flatMap(Object.entries<Operation>)) {
    t.ok(methods!.includes(method), method)
    for (const { name } of parameters.filter((parameter) => parameter.in === 'header'))
      t.ok(asked!.includes(name), name)
    for (const { headers = {} } of Object.values(responses))
      for (const name of Object.keys(headers)) t.ok(shown.includes(name), name)
  }
  for (const name of ['content-type', 'authorization', 'last-event-id', 'x-request-id'])
    t.ok(asked!.includes(name), name)
  for (const name of ['etag', 'location', 'link', 'x-request-id', 'retry-after']) t.ok(shown.includes(name), name)
  t.notOk([...asked!, ...shown, ...methods!].includes('*'))
})

t.test('an origin that is not named, or none, gets the answer that it gets without CORS', async (t) => {
  for (const origin of FOREIGN) {
    const answer = await open.get(events, { origin })
    t.equal(answer.statusCode, 200, origin)
    t.strictSame(corsHeaders(answer), [], origin)
    const asked = await preflight(origin)
    refused(t, asked, '405 METHOD_NOT_ALLOWED')
    t.strictSame(corsHeaders(asked), [], origin)
  }
  t.strictSame(corsHeaders(await open.get(events)), [])
  t.match((await open.get(events)).headers.vary, /origin/i, 'a cache must not give it to an origin that is named')
})

t.test('there is no mode with credentials', async (t) => {
  for (const answer of [await open.get(events, { origin: APP, cookie: 'a=b' }), await preflight(APP)])
    t.notOk('access-control-allow-credentials' in answer.headers)
})

t.test('paths that are not there and methods that are not known are refused as without CORS', async (t) => {
  t.equal(verdict(await open.get('/nowhere')), '404 ROUTE_NOT_FOUND')
  t.equal(verdict(await open.ask({ method: 'OPTIONS', url: '/nowhere' })), '404 ROUTE_NOT_FOUND')
  t.equal(verdict(await open.ask({ method: 'DELETE', url: events })), '405 METHOD_NOT_ALLOWED')
  t.notOk(JSON.stringify(open.app.swagger()).includes('"options"'))
})

t.test('a stream can be read by a page', async (t) => {
  const url = await listen(open)
  const leave = new AbortController()
  const { headers } = await fetch(`${url}/events/stream`, { headers: { origin: APP }, signal: leave.signal })
  t.equal(headers.get('access-control-allow-origin'), APP)
  leave.abort()
})
