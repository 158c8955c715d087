/** What a webhook sink says of events, for everything that a receiver may do. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Outcome } from '../../src/domain/sink.js'
import { RETRY_AFTER_MAX_MS, SHOWN_MAX } from '../../src/edge/webhook-outcome.js'
import { REQUESTS_MAX } from '../../src/edge/webhook-sink.js'
import { startReceiver } from '../support/receiver.js'
import { storedEvent, storedEvents } from '../support/stored-events.js'
import { until } from '../support/wait.js'
import { countKinds, webhookTo } from './webhook.js'

/** What is said of an event that is answered with `status`. */
async function answered(t: Test, status: number, headers: Record<string, string> = {}, body = ''): Promise<Outcome> {
  const { url } = await startReceiver(t, (_request, response) => response.writeHead(status, headers).end(body))
  const [outcome] = await webhookTo(t, url).publish([storedEvent()])
  return outcome!
}

/** A server below HTTP: `talk` gets every connection when its first bytes have come. */
async function startServer(t: Test, talk: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.once('data', () => talk(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

t.test('each status has its outcome', async (t) => {
  for (const status of [200, 201, 202, 204, 299])
    t.strictSame(await answered(t, status), { kind: 'delivered' }, `${status}`)
  t.strictSame(await answered(t, 410), { kind: 'gone', reason: 'answered 410' })
  for (const status of [429, 502, 503, 504])
    t.strictSame(await answered(t, status), { kind: 'unavailable', reason: `answered ${status}` })
  for (const status of [300, 304, 400, 401, 404, 408, 413, 422, 500, 501, 505, 599])
    t.strictSame(await answered(t, status), { kind: 'failed', reason: `answered ${status}` })
})

t.test('a redirect is not followed', async (t) => {
  const target = await startReceiver(t)
  for (const status of [301, 302, 303, 307, 308]) {
    t.strictSame(await answered(t, status, { location: target.url }), { kind: 'failed', reason: `answered ${status}` })
  }
  t.equal(target.received.length, 0)
})

t.test(
  'a receiver that fails for 1 % of the users: others get everything, of those all later events are held',
  async (t) => {
    const batch = storedEvents(100, 3)
    const failing = batch[41]!.aggregateId
    for (const [status, kind] of [
      [500, 'failed'],
      [503, 'unavailable']
    ] as const) {
      const { url, received } = await startReceiver(t, ({ body }, response) => {
        response.writeHead(body.includes(failing) ? status : 200).end()
      })
      const outcomes = await webhookTo(t, url).publish(batch)
      t.strictSame(countKinds(outcomes), { delivered: 297, [kind]: 1, held: 2 }, `${status}`)
      for (const [i, { aggregateId, version }] of batch.entries()) {
        if (aggregateId !== failing) continue
        t.equal(outcomes[i]!.kind, version === 1 ? kind : 'held')
      }
      t.equal(received.length, 298, 'what is held was not sent')
    }
  }
)

t.test('an event in the middle that is refused: those before it are delivered, those after it held', async (t) => {
  const batch = storedEvents(2, 4)
  const refused = batch.find(({ version, aggregateId }) => version === 3 && aggregateId === batch[0]!.aggregateId)!
  const { url } = await startReceiver(t, ({ headers }, response) => {
    response.writeHead(headers['webhook-id'] === refused.id ? 422 : 200).end()
  })
  const kinds = (await webhookTo(t, url).publish(batch)).map(({ kind }) => kind)
  t.strictSame(
    kinds.filter((_, i) => batch[i]!.aggregateId === refused.aggregateId),
    ['delivered', 'delivered', 'failed', 'held']
  )
  t.equal(kinds.filter((kind) => kind === 'delivered').length, 6)
})

t.test('where everybody gets 503 the receiver is unavailable, and says until when', async (t) => {
  const { url } = await startReceiver(t, (_request, response) => response.writeHead(503, { 'retry-after': '7' }).end())
  for (const format of ['structured', 'batched'] as const) {
    const outcomes = await webhookTo(t, url, { format }).publish(storedEvents(5, 1))
    for (const outcome of outcomes)
      t.strictSame(outcome, { kind: 'unavailable', reason: 'answered 503', retryAfterMs: 7000 }, format)
  }
})

t.test('Retry-After: seconds or a date, an hour at most, and nothing that is neither', async (t) => {
  const wait = async (header: string): Promise<number | undefined> => {
    const outcome = await answered(t, 429, { 'retry-after': header })
    return 'retryAfterMs' in outcome ? outcome.retryAfterMs : undefined
  }
  t.equal(await wait('0'), 0)
  t.equal(await wait('3599'), RETRY_AFTER_MAX_MS - 1000)
  t.equal(await wait('3600'), RETRY_AFTER_MAX_MS)
  t.equal(await wait('3601'), RETRY_AFTER_MAX_MS)
  t.equal(await wait('9'.repeat(400)), RETRY_AFTER_MAX_MS)
  const inAMinute = (await wait(new Date(Date.now() + 60_000).toUTCString()))!
  t.ok(inAMinute > 50_000 && inAMinute <= 60_000, `${inAMinute}`)
  t.equal(await wait(new Date(Date.now() - 60_000).toUTCString()), 0)
  t.equal(await wait(new Date(Date.now() + 86_400_000).toUTCString()), RETRY_AFTER_MAX_MS)
  for (const nonsense of ['-1', '1.5', 'soon', '2026-12-01', 'not GMT', ''])
    t.equal(await wait(nonsense), undefined, nonsense)
  t.match(await answered(t, 500, { 'retry-after': '3' }), { kind: 'failed', retryAfterMs: 3000 })
})

t.test('410 ends it: what was not sent by then is not sent', async (t) => {
  const { url, received } = await startReceiver(t, (_request, response) => response.writeHead(410).end())
  const outcomes = await webhookTo(t, url).publish(storedEvents(100, 2))
  t.equal(received.length <= REQUESTS_MAX, true, `${received.length} requests`)
  t.equal(countKinds(outcomes).gone! >= 100, true)
  t.equal(countKinds(outcomes).delivered, undefined)
})

t.test('batched: an answer is about all events of the request; later requests leave their users out', async (t) => {
  const large = { eventData: { fullName: 'x'.repeat(600_000) } }
  const [ada, bob, ada2, eve] = storedEvents(4, 1, large) as [any, any, any, any]
  ada2.aggregateId = ada.aggregateId
  const seen: string[] = []
  const { url } = await startReceiver(t, ({ body }, response) => {
    const ids = JSON.parse(body).map(({ id }: { id: string }) => id)
    seen.push(...ids)
    response.writeHead(ids.includes(ada.id) ? 422 : 200).end()
  })
  const outcomes = await webhookTo(t, url, { format: 'batched' }).publish([ada, bob, ada2, eve])
  t.strictSame(
    outcomes.map(({ kind }) => kind),
    ['failed', 'delivered', 'held', 'delivered']
  )
  t.strictSame(seen, [ada.id, bob.id, eve.id])
})

t.test('batched: when the receiver goes away, the rest waits for it', async (t) => {
  const { url, received } = await startReceiver(t, (_request, response) => {
    response.writeHead(received.length === 1 ? 200 : 503).end()
  })
  const batch = storedEvents(4, 1, { eventData: { fullName: 'x'.repeat(600_000) } })
  const outcomes = await webhookTo(t, url, { format: 'batched' }).publish(batch)
  t.strictSame(countKinds(outcomes), { delivered: 1, unavailable: 3 })
  t.equal(received.length, 2)
})

t.test('a reason tells the beginning of the answer, on one line, without the key', async (t) => {
  const { url } = await startReceiver(t, ({ body }, response) => response.writeHead(400).end(JSON.parse(body).data.say))
  const { publish, secret } = webhookTo(t, url)
  const reason = async (say: string): Promise<string> => {
    const [outcome] = await publish([storedEvent({ eventData: { say } })])
    return 'reason' in outcome! ? outcome.reason : ''
  }
  t.equal(await reason('no such user'), 'answered 400: no such user')
  t.equal(await reason(' a\r\n\tb\u0000\u001b[31m\u2028c\u202e '), 'answered 400: a b [31m c')
  t.equal(await reason('x'.repeat(SHOWN_MAX - 1)), `answered 400: ${'x'.repeat(SHOWN_MAX - 1)}`)
  for (const more of [0, 1, 100_000])
    t.equal(await reason('x'.repeat(SHOWN_MAX + more)), `answered 400: ${'x'.repeat(SHOWN_MAX)}`)
  const key = secret.slice('whsec_'.length)
  for (const say of [`the key is ${secret}`, `${'x'.repeat(SHOWN_MAX - 20)}${key}`])
    t.notOk((await reason(say)).includes(key.slice(0, 12)))
})

t.test('no answer in time, in whatever part of it', async (t) => {
  const timeoutMs = 200
  const silent = await startServer(t, () => {})
  const halfHead = await startServer(t, (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-'))
  const slowHead = await startServer(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const timer = setInterval(() => socket.write('x: y\r\n'), 20)
    socket.on('close', () => clearInterval(timer))
  })
  for (const url of [silent, halfHead, slowHead]) {
    const [outcome] = await webhookTo(t, url, { timeoutMs }).publish([storedEvent()])
    t.strictSame(outcome, { kind: 'unavailable', reason: 'no answer within 200 ms' })
  }
})

t.test('one user without an answer in time holds up no other', async (t) => {
  const batch = storedEvents(50, 2)
  const { url } = await startReceiver(t, ({ body }, response) => {
    if (!body.includes(batch[7]!.aggregateId)) response.end()
  })
  const outcomes = await webhookTo(t, url, { timeoutMs: 300 }).publish(batch)
  t.strictSame(countKinds(outcomes), { delivered: 98, unavailable: 1, held: 1 })
  t.strictSame(outcomes[7], { kind: 'unavailable', reason: 'no answer within 300 ms' })
})

t.test('when its time is over, a batch at a silent receiver costs what is under way and no more', async (t) => {
  const over = new AbortController()
  const { url, received } = await startReceiver(t, () => {
    if (received.length === REQUESTS_MAX) over.abort()
  })
  const outcomes = await webhookTo(t, url, { timeoutMs: 300 }).publish(storedEvents(500, 1), over.signal)
  t.strictSame(countKinds(outcomes), { unavailable: REQUESTS_MAX, held: 500 - REQUESTS_MAX })
  t.equal(received.length, REQUESTS_MAX)
})

t.test('events that were not sent for want of time are not blamed for it', async (t) => {
  const over = new AbortController()
  const { url, received } = await startReceiver(t, (_request, response) => {
    if (received.length === 40) over.abort()
    response.end()
  })
  const { delivered, held, ...others } = countKinds(await webhookTo(t, url).publish(storedEvents(100, 1), over.signal))
  t.ok(delivered! >= 40 && delivered! < 40 + REQUESTS_MAX, `${delivered} were sent`)
  t.equal(delivered! + held!, 100)
  t.strictSame(others, {})
})

t.test(
  'once the head has come the status counts: an answer that does not end, is endless, or breaks off',
  async (t) => {
    const endless = Buffer.alloc(64 * 1024, 'x')
    const answers: Record<string, (socket: Socket) => void> = {
      'does not end': (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello'),
      'is endless': (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        const pour = (): void => {
          while (!socket.destroyed && socket.write(endless));
        }
        socket.on('drain', pour)
        pour()
      },
      'breaks off': (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello')
    }
    for (const [name, talk] of Object.entries(answers)) {
      let open = 0
      const url = await startServer(t, (socket) => {
        open++
        socket.on('close', () => open--)
        talk(socket)
      })
      const { publish } = webhookTo(t, url, { timeoutMs: 300 })
      t.strictSame(await publish([storedEvent()]), [{ kind: 'delivered' }], name)
      await until(() => open === 0, { what: `the end of a connection whose answer ${name}` })
    }
  }
)

t.test('no HTTP, no head, no server: unavailable, with the code of the failure', async (t) => {
  const garbage = await startServer(t, (socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'))
  const closes = await startServer(t, (socket) => socket.end())
  const resets = await startServer(t, (socket) => socket.resetAndDestroy())
  const largeHead = await startServer(t, (socket) =>
    socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`)
  )
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address() as AddressInfo
  gone.close()
  await once(gone, 'close')
  const reasons: [string, RegExp][] = [
    [garbage, /^no answer \(HTTPParserError\)$/],
    [closes, /^no answer \(UND_ERR_SOCKET\)$/],
    [resets, /^no answer \(ECONNRESET\)$/],
    [largeHead, /^no answer \(UND_ERR_HEADERS_OVERFLOW\)$/],
    [`http://127.0.0.1:${port}/`, /^no answer \(ECONNREFUSED\)$/],
    ['http://name.invalid/', /^no answer \((ENOTFOUND|EAI_AGAIN)\)$/],
    [closes.replace('http:', 'https:'), /^no answer \(\w+\)$/]
  ]
  for (const [url, reason] of reasons)
    t.match(await webhookTo(t, url).publish([storedEvent()]), [{ kind: 'unavailable', reason }], url)
})

t.test('a receiver that comes back is reached again by the same sink', async (t) => {
  let away = true
  const url = await startServer(t, (socket) => {
    if (away) socket.destroy()
    else socket.end('HTTP/1.1 204 No Content\r\n\r\n')
  })
  const { publish } = webhookTo(t, url)
  const batch = storedEvents(5, 1)
  t.strictSame(countKinds(await publish(batch)), { unavailable: 5 })
  away = false
  t.strictSame(countKinds(await publish(batch)), { delivered: 5 })
})
