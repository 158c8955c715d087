/** A body is read in one way, on every route: what headers or text leave open to another reading is refused. */
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { newUserId, userCreated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { listen, testService } from '../support/service.js'

const service = await testService(t)
const { app, ask, get } = service
await listen(service)

type Operation = { requestBody?: { content: Record<string, unknown> } }
const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Operation>> }
const withBody = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).flatMap(([method, { requestBody }]) => {
    const url = path
      .replace('{userId}', newUserId())
      .replace('{type}', 'Moved')
      .replace(/\{(version|number)\}/, '1')
      .replace(/\{\w+\}/g, 'crm')
    return requestBody ? [{ method: method.toUpperCase() as 'POST', url, takes: Object.keys(requestBody.content) }] : []
  })
)
const body = JSON.stringify({ events: [userCreated()] })
const append = (headers: Record<string, string>, payload: string | Buffer = body) =>
  ask({ method: 'POST', url: `/users/${newUserId()}/events`, headers, payload })

t.test('every route that takes a body takes one media type, and refuses all others', async (t) => {
  t.ok(withBody.length >= 8, `${withBody.length} routes`)
  for (const { method, url, takes } of withBody) {
    const [taken, ...more] = takes
    t.strictSame(more, [], url)
    t.ok(['application/json', 'application/x-ndjson'].includes(taken!), url)
    for (const contentType of [
      'text/plain',
      'application/octet-stream',
      'application/x-www-form-urlencoded',
      taken === 'application/json' ? 'application/x-ndjson' : 'application/json'
    ]) {
      const answer = await ask({ method, url, headers: { 'content-type': contentType }, payload: '{}' })
      refused(t, answer, '415 UNSUPPORTED_MEDIA_TYPE')
    }
  }
})

t.test('no route has a parser of its own: on each, JSON that could be read in two ways is refused', async (t) => {
  for (const { method, url } of withBody.filter(({ takes }) => takes.includes('application/json'))) {
    for (const [text, expected] of [
      ['{"x":1,"x":2}', '422 UNSAFE_JSON'],
      ['{"x":9007199254740993}', '422 UNSAFE_JSON'],
      ['\ufeff{}', '400 MALFORMED_JSON'],
      ['{}{}', '400 MALFORMED_JSON']
    ] as const) {
      const answer = await ask({ method, url, headers: { 'content-type': 'application/json' }, payload: text })
      refused(t, answer, expected)
    }
  }
})

t.test('a charset is UTF-8 or refused, even when the bytes are UTF-8', async (t) => {
  for (const charset of ['utf-8', 'UTF-8', 'utf8', '"utf-8"', 'utf-8 ', 'utf-8; charset=utf-8'])
    t.equal(verdict(await append({ 'content-type': `application/json; charset=${charset}` })), '201', charset)
  for (const charset of [
    'utf-16',
    'UTF-16LE',
    'utf-7',
    'iso-8859-1',
    'windows-1252',
    'ibm037',
    '"utf-16"',
    'utf-8; charset=utf-16',
    'utf-16; charset=utf-8'
  ]) {
    refused(t, await append({ 'content-type': `application/json; charset=${charset}` }), '415 UNSUPPORTED_MEDIA_TYPE')
    refused(
      t,
      await ask({
        method: 'POST',
        url: '/events/import',
        headers: { 'content-type': `application/x-ndjson; charset=${charset}` },
        payload: ''
      }),
      '415 UNSUPPORTED_MEDIA_TYPE'
    )
  }
})

t.test('a body in a content coding is refused, also when only its headers say so', async (t) => {
  for (const coding of ['gzip', 'GZIP', 'br', 'deflate', 'identity, gzip', 'x'])
    for (const payload of [body, gzipSync(body)])
      refused(
        t,
        await append({ 'content-type': 'application/json', 'content-encoding': coding }, payload),
        '415 UNSUPPORTED_MEDIA_TYPE'
      )
  for (const coding of ['identity', 'Identity'])
    t.equal(verdict(await append({ 'content-type': 'application/json', 'content-encoding': coding })), '201')
})

t.test('two content types are none', async (t) => {
  const before = (await get('/stats/events')).data.totalEvents
  for (const types of [
    ['application/json', 'text/plain'],
    ['text/plain', 'application/json'],
    ['application/json', 'application/json'],
    ['application/json', 'application/json; charset=utf-16']
  ]) {
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    let text = ''
    socket.on('data', (bytes) => {
      text += bytes
    })
    const closed = once(socket, 'close')
    const lines = [
      `POST /users/${newUserId()}/events HTTP/1.1`,
      'Host: x',
      'Connection: close',
      ...types.map((type) => `Content-Type: ${type}`),
      `Content-Length: ${body.length}`
    ]
    socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`)
    await closed
    t.match(text, /^HTTP\/1\.1 415 /, types.join(' and '))
    t.match(text, 'UNSUPPORTED_MEDIA_TYPE')
  }
  t.equal((await get('/stats/events')).data.totalEvents, before)
})
