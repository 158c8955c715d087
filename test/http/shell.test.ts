/** What every route has in common: problems, methods, media types, request ids, queries. */
import t from 'tap'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { newUserId, userCreated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'

const { append, ask, get, app } = await testService(t)

const userId = newUserId()
await append(userId, [userCreated()])

t.test('a path that is not there', async (t) => {
  for (const url of [
    '/',
    '/user',
    `/users/${userId}/nothing`,
    `/users/${userId}/events/1/data`,
    '/Stats/events',
    '//',
    '/openapi'
  ]) {
    refused(t, await get(url), '404 ROUTE_NOT_FOUND', { instance: url })
  }
  refused(t, await ask({ method: 'POST', url: '/user?x=1', payload: {} }), '404 ROUTE_NOT_FOUND', {
    instance: '/user'
  })
})

t.test('a path that knows other methods names them', async (t) => {
  const rows: [method: 'GET' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS' | 'POST' | 'HEAD', url: string, allow: string][] =
    [
      ['PUT', `/users/${userId}/events`, 'GET, HEAD, POST'],
      ['PATCH', `/users/${userId}/events`, 'GET, HEAD, POST'],
      ['DELETE', `/users/${userId}/events`, 'GET, HEAD, POST'],
      ['OPTIONS', `/users/${userId}/events`, 'GET, HEAD, POST'],
      ['DELETE', `/users/${userId}/events/1`, 'GET, HEAD'],
      ['POST', `/users/${userId}/state`, 'GET, HEAD'],
      ['GET', `/admin/users/${userId}/snapshots`, 'DELETE, POST'],
      ['GET', '/admin/snapshots/cleanup', 'POST'],
      ['POST', '/stats/events', 'GET, HEAD'],
      ['POST', '/metrics', 'GET, HEAD'],
      ['DELETE', '/livez', 'GET, HEAD'],
      ['PUT', '/openapi.json', 'GET, HEAD'],
      ['PUT', '/asyncapi.json', 'GET, HEAD']
    ]
  for (const [method, url, allow] of rows) {
    const answer = await ask({ method, url })
    refused(t, answer, '405 METHOD_NOT_ALLOWED', { instance: url })
    t.equal(answer.headers.allow, allow)
  }
})

t.test('HEAD answers as GET does, without the body', async (t) => {
  for (const url of [
    `/users/${userId}/state`,
    `/users/${userId}/events`,
    `/users/${userId}/events/1`,
    '/stats/events',
    '/livez',
    '/readyz'
  ]) {
    await get(url) // What is read for the first time says how it was made, which differs the next time.
    const [head, full] = [await ask({ method: 'HEAD', url }), await get(url)]
    t.equal(head.statusCode, 200, url)
    t.equal(head.body, '')
    for (const name of ['content-type', 'content-length', 'etag']) t.equal(head.headers[name], full.headers[name], name)
  }
  const missing = await ask({ method: 'HEAD', url: `/users/${newUserId()}/state` })
  t.equal(missing.statusCode, 404)
  t.equal(missing.body, '')
})

const body = JSON.stringify({ events: [userCreated()] })
const send = (contentType: string | undefined, payload: string = body) =>
  ask({
    method: 'POST',
    url: `/users/${newUserId()}/events`,
    headers: contentType === undefined ? {} : { 'content-type': contentType },
    payload
  })

t.test('application/json is taken as it is commonly written', async (t) => {
  for (const contentType of [
    'application/json',
    'application/json; charset=utf-8',
    'application/json;charset=UTF-8',
    'Application/JSON',
    'application/json ',
    'application/json ; charset=utf-8'
  ]) {
    t.equal(verdict(await send(contentType)), '201', `"${contentType}"`)
  }
})

t.test('any other media type is refused, and nothing is stored', async (t) => {
  const before = (await get('/stats/events')).data.totalEvents
  for (const contentType of [
    undefined,
    'text/json',
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonx',
    'application/json-patch+json',
    'application/problem+json',
    'application/vnd.api+json',
    'application/json,text/plain',
    'application/json\ttext',
    'xapplication/json',
    'json',
    '*/*',
    ' '
  ]) {
    t.equal(verdict(await send(contentType)), '415 UNSUPPORTED_MEDIA_TYPE', `"${contentType}"`)
  }
  refused(t, await send('text/plain'), '415 UNSUPPORTED_MEDIA_TYPE')
  t.equal((await get('/stats/events')).data.totalEvents, before)
})

t.test('an odd way to write application/json is no way past the contract', async (t) => {
  for (const contentType of [
    'application/json',
    'application/json\t',
    'application/json\t; x',
    'application/json ;x',
    'APPLICATION/json;'
  ]) {
    const answer = await send(contentType, '{"events":"all"}')
    t.match(verdict(answer), /^(400 VALIDATION_FAILED|415 UNSUPPORTED_MEDIA_TYPE)$/, JSON.stringify(contentType))
  }
})

t.test('a URL that cannot be decoded, or is too long', async (t) => {
  for (const url of ['/users/%zz/events', '/users/%/state', '/users/%c3%28/state', `/users/${'x'.repeat(501)}/state`]) {
    const answer = await get(url)
    refused(t, answer, '400 MALFORMED_REQUEST')
    t.match(answer.headers['x-request-id'], /^[0-9a-f-]{36}$/)
  }
  t.equal(verdict(await get(`/users/${userId}/events?cursor=%zz`)), '400 CURSOR_MALFORMED')
  t.equal((await get(`/users/${encodeURIComponent(userId)}/state`)).statusCode, 200)
})

t.test('a request id is sent back if it is safe, and replaced if it is not', async (t) => {
  const idOf = async (sent?: string) =>
    (await get('/livez', sent === undefined ? {} : { 'x-request-id': sent })).headers['x-request-id']
  for (const id of ['a', 'req-1.2:3/4+5=_', 'x'.repeat(128)]) t.equal(await idOf(id), id)
  for (const id of [undefined, '', 'x'.repeat(129), 'two words', 'a,b', '<script>', 'ü', '{"a":1}', 'a;b']) {
    t.match(await idOf(id), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/, `${id}`)
  }
  t.not(await idOf(), await idOf())
  for (const url of [
    '/nowhere',
    `/users/${newUserId()}/state`,
    '/users/x/state',
    '/metrics',
    '/docs',
    '/openapi.json'
  ]) {
    t.equal((await get(url, { 'x-request-id': 'mine' })).headers['x-request-id'], 'mine', url)
  }
})

t.test('a query parameter that a route does not know is refused, not ignored', async (t) => {
  const { paths = {} } = app.swagger() as { paths?: Record<string, Record<string, { tags?: string[] }>> }
  const valid: Record<string, object | string> = {
    '/admin/api-keys': { name: 'crm', scopes: ['state:read'] },
    '/events/import': '',
    '/users/{userId}/events': { events: [userCreated()] },
    '/admin/users/{userId}/snapshots/cleanup': { retain: 1 },
    '/admin/subscriptions': { name: 'crm', sink: { kind: 'nats', subject: 'users' } },
    '/admin/subscriptions/{name}/reset': { start: 'now' },
    '/admin/subscriptions/{name}/outbox/discard': { reason: 'test account' },
    '/event-types/{type}/versions/{version}': { schema: { type: 'object' }, effect: { kind: 'none' } }
  }
  let operations = 0
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { tags }] of Object.entries(methods)) {
      if (tags?.includes('operations')) continue
      const url = `${path.replace('{userId}', userId).replace('{type}', 'Moved').replace('{name}', 'crm').replace('{version}', '1').replace('{id}', '0123456789ab').replace('{tenantId}', DEFAULT_TENANT)}?fromVersion=1&toVersion=1&unheardOf=1`
      const payload = valid[path] ?? {}
      const answer = await ask({
        method: method.toUpperCase() as 'GET',
        url,
        ...(typeof payload === 'string' ? { headers: { 'content-type': 'application/x-ndjson' } } : {}),
        ...(method === 'post' || method === 'put' ? { payload } : {})
      })
      t.equal(verdict(answer), '400 VALIDATION_FAILED', `${method} ${path}`)
      t.equal(answer.data.in, 'querystring')
      t.match(answer.data.pointer, /^\/(unheardOf|fromVersion|toVersion)$/)
      operations++
    }
  }
  t.ok(operations >= 13, `${operations} operations`)
})

t.test('metrics count a route by its pattern', async (t) => {
  t.match((await get('/metrics')).body, 'route="/users/:userId/state"')
  t.notMatch((await get('/metrics')).body, userId)
})

t.test('nothing tells what the service is built with', async (t) => {
  const { headers } = await get('/livez')
  t.notOk(headers['x-powered-by'] ?? headers.server)
})
