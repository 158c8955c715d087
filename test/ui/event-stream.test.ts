/** Server-Sent Events as the pages read them: the format, and going on over connections that break. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import {
  createMessageReader,
  type FollowOptions,
  followStream,
  type StreamState
} from '../../src/ui/api/event-stream.js'

t.test('the format, in whatever pieces it comes', async (t) => {
  const text =
    ': hello\nretry: 10\n\nid: a\ndata: {"x":1}\n\nid: b\r\ndata:one\r\ndata: two\r\n\r\nid: c\n\nevent: x\rdata\r\rdata: e\u0301 ünf\n\ndata: not yet'
  const expected = [
    { id: 'a', data: '{"x":1}' },
    { id: 'b', data: 'one\ntwo' },
    { id: 'c', data: '' },
    { id: 'c', data: 'e\u0301 ünf' }
  ]
  for (let size = 1; size <= text.length; size++) {
    const reader = createMessageReader()
    const found = []
    for (let at = 0; at < text.length; at += size) found.push(...reader.read(text.slice(at, at + size)))
    t.strictSame(found, expected, `pieces of ${size}`)
    t.equal(reader.lastId(), 'c')
  }
  const reader = createMessageReader()
  reader.read('retry: 1\nid: a')
  t.equal(reader.lastId(), undefined, 'an id counts when its message is complete')
})

type Turn = (request: IncomingMessage, response: ServerResponse) => void

/** A server whose answers are told one by one, and what a follower of it saw. */
async function follow(
  t: Test,
  turns: Turn[],
  { after = () => 'again', pauseMs = 4 }: Partial<Pick<FollowOptions, 'after' | 'pauseMs'>> = {}
) {
  const asked: (string | undefined)[] = []
  const server = createServer((request, response) => {
    asked.push(request.headers['last-event-id'] as string | undefined)
    const turn = turns.shift()
    if (turn) turn(request, response)
    else response.write('retry: 1\n\n')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const leave = new AbortController()
  const seen: string[] = []
  const states: StreamState[] = []
  let begun = 0
  let wake = () => {}
  const ended = followStream({
    begin: async () => `begin ${++begun}`,
    async open(lastId, signal) {
      const answer = await fetch(url, { headers: { 'last-event-id': lastId }, signal })
      if (!answer.ok) throw new Error(String(answer.status))
      return answer.body as ReadableStream<Uint8Array>
    },
    onMessages: (messages) => seen.push(...messages.map(({ data }) => data)),
    onState(state) {
      states.push(state)
      wake()
    },
    after,
    signal: leave.signal,
    pauseMs
  })
  return {
    asked,
    seen,
    states,
    ended,
    leave: () => leave.abort(),
    /** Resolves once it is in that state for the `count`th time. */
    async became(what: StreamState['at'], count: number): Promise<void> {
      while (states.filter(({ at }) => at === what).length < count)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    }
  }
}

const sends =
  (text: string): Turn =>
  (_request, response) =>
    void response.end(text)
const fails =
  (status: number): Turn =>
  (_request, response) =>
    void response.writeHead(status).end()
const cuts: Turn = (_request, response) => void response.destroy()
const pausesOf = (states: StreamState[]) => states.flatMap((state) => (state.at === 'waiting' ? [state.pauseMs] : []))

t.test('after a break it goes on behind the last id, also one without data', async (t) => {
  const { asked, seen, became, leave, ended } = await follow(t, [
    sends('id: 1\ndata: one\n\nid: 2\ndata: two\n\nid: 3\n\nid: 4\ndata: cut off'),
    sends('id: 4\ndata: four\n\n')
  ])
  await became('live', 3)
  t.strictSame(asked, ['begin 1', '3', '4'])
  t.strictSame(seen, ['one', 'two', 'four'], 'nothing twice, nothing in part')
  leave()
  await ended
})

t.test('pauses double while nothing comes, and begin small again when something did', async (t) => {
  const { states, became, leave, ended } = await follow(t, [
    fails(503),
    cuts,
    fails(503),
    sends('id: 1\ndata: one\n\n'),
    fails(503)
  ])
  await became('live', 2)
  const pauses = pausesOf(states)
  for (const [i, base] of [4, 8, 16, 4, 8].entries())
    t.ok(pauses[i]! >= base * 0.75 && pauses[i]! <= base * 1.25, `pause ${i}: ${pauses[i]} of ${base}`)
  leave()
  await ended
})

t.test('what is lost is begun anew, and what is hopeless is given up', async (t) => {
  const after = (error: unknown) =>
    (({ 410: 'anew', 403: 'never' }) as const)[Number((error as Error).message) as 410] ?? 'again'
  const { asked, states, ended } = await follow(
    t,
    [sends('id: 1\ndata: one\n\n'), fails(500), fails(410), fails(403)],
    { after }
  )
  await t.rejects(ended, { message: '403' })
  t.strictSame(asked, ['begin 1', '1', '1', 'begin 2'])
  t.match(states.at(-1), { at: 'connecting', error: { message: '410' } }, 'and not tried again')
  t.match(states, [{ error: null }, { at: 'live' }, { at: 'waiting', error: null }], 'that a stream ended is no error')
})

t.test('leaving ends it at once: while it is open, and while it waits', async (t) => {
  const open = await follow(t, [])
  await open.became('live', 1)
  open.leave()
  await open.ended
  const waiting = await follow(t, [fails(503)], { pauseMs: 60_000 })
  await waiting.became('waiting', 1)
  waiting.leave()
  await waiting.ended
  t.equal(waiting.asked.length, 1)
})
