/** Headers of every answer: what browsers may do with it, and what caches may keep. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import t from 'tap'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { listen, testService } from '../support/service.js'

const service = await testService(t, { env: { BODY_BYTES_MAX: '1024' } })
const { app, append, ask, get } = service
const url = await listen(service)

const userId = newUserId()
await append(userId, [userCreated()])

const EXPECTED = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store'
}

t.test('every answer of the API carries them, whatever it says', async (t) => {
  const events = `/users/${userId}/events`
  const json = { 'content-type': 'application/json' }
  const answers: [status: number, Parameters<typeof ask>[0]][] = [
    [200, { url: '/livez' }],
    [200, { url: '/metrics' }],
    [200, { url: '/openapi.json' }],
    [200, { url: '/asyncapi.yaml' }],
    [200, { url: events }],
    [200, { url: events, method: 'HEAD' }],
    [200, { url: `${events}/1` }],
    [200, { url: '/events' }],
    // No projection runs here.
    [503, { url: '/users' }],
    [200, { url: `/users/${userId}/diff?fromVersion=0&toVersion=1` }],
    [201, { url: events, method: 'POST', payload: { events: [userUpdated()] } }],
    [400, { url: '/users/%zz/state' }],
    [400, { url: events, method: 'POST', payload: '{', headers: json }],
    [404, { url: '/nowhere' }],
    [404, { url: `/users/${newUserId()}/state` }],
    [405, { url: events, method: 'OPTIONS' }],
    [409, { url: events, method: 'POST', payload: { expectedVersion: 'none', events: [userCreated()] } }],
    [413, { url: events, method: 'POST', payload: { events: ['x'.repeat(1024)] } }],
    [415, { url: events, method: 'POST', payload: 'x', headers: { 'content-type': 'text/plain' } }],
    [422, { url: events, method: 'POST', payload: { events: [userCreated()] } }]
  ]
  for (const [status, options] of answers) {
    const answer = await ask(options)
    const what = `${status} ${JSON.stringify(options)}`
    t.equal(answer.statusCode, status, what)
    t.hasStrict(answer.headers, EXPECTED, what)
  }
})

t.test('answers that are written piece by piece carry them', async (t) => {
  for (const [path, accept] of Object.entries({
    [`/users/${userId}/events`]: 'application/x-ndjson',
    '/events/export': '*/*',
    '/events/stream': 'text/event-stream'
  })) {
    const leave = new AbortController()
    const { status, headers } = await fetch(`${url}${path}`, { headers: { accept }, signal: leave.signal })
    t.equal(status, 200, path)
    t.hasStrict(Object.fromEntries(headers), EXPECTED, path)
    leave.abort()
  }
})

t.test('what is not HTTP gets them too', async (t) => {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes
  })
  const closed = once(socket, 'close')
  socket.write('hello\r\n\r\n')
  await closed
  t.match(text, /^HTTP\/1\.1 400 /)
  for (const [name, value] of Object.entries(EXPECTED)) t.ok(text.includes(`\r\n${name}: ${value}\r\n`), name)
})

t.test('a state is kept by who asked for it, and asked for again with its tag', async (t) => {
  const first = await get(`/users/${userId}/state`)
  t.equal(first.headers['cache-control'], 'private, no-cache')
  const again = await get(`/users/${userId}/state`, { 'if-none-match': String(first.headers.etag) })
  t.equal(again.statusCode, 304)
  t.equal(again.headers['cache-control'], 'private, no-cache')
})

t.test('HSTS is left to the proxy that ends TLS', async (t) => {
  t.notOk((await get('/livez')).headers['strict-transport-security'])
})

t.test('the reference page may run its own files and nothing else, and has nothing else', async (t) => {
  const page = await get('/docs/')
  t.match(page.headers['content-type'], 'text/html')
  const policy = String(page.headers['content-security-policy'])
  for (const rule of ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"])
    t.ok(policy.split('; ').includes(rule), rule)
  t.notMatch(policy, /unsafe|https?:|\*/)
  t.equal(page.headers['x-content-type-options'], 'nosniff')
  t.notMatch(page.body, /<style|\sstyle=|\son\w+=/i, 'nothing that the policy would forbid')
  for (const [tag] of page.body.matchAll(/<script[^>]*>/g)) t.match(tag, / src="/)
  t.match((await get('/docs/static/swagger-initializer.js')).body, 'validatorUrl: null', 'it asks nobody else')
})

t.test('of styles that the reference page makes itself, the policy names each', async (t) => {
  const policy = String((await get('/docs/')).headers['content-security-policy'])
  const made: string[] = []
  for (const file of ['swagger-ui-bundle.js', 'swagger-ui-standalone-preset.js']) {
    const { body } = await get(`/docs/static/${file}`)
    for (const [, style = ''] of body.matchAll(/createElement\("style",null,"([^"]*)"/g)) made.push(style)
  }
  const hashes = made.map((style) => `'sha256-${createHash('sha256').update(style).digest('base64')}'`)
  t.strictSame(policy.match(/'sha256-[^']*'/g), hashes)
})
