/** Whose word on the address of a client is taken: shares of streams are counted by it. */
import t, { type Test } from 'tap'
import { listen, testService } from '../support/service.js'
import { openStream } from '../support/sse.js'

const PROXY = '127.0.0.2'
const SECOND_PROXY = '127.0.1.9'
const STRANGER = '127.0.0.3'

/** Opens a stream from `localAddress` to a service where each client may have one, and tells the status. */
async function clients(t: Test, env: Record<string, string> = {}) {
  const address = await listen(await testService(t, { env: { STREAMS_PER_CLIENT_MAX: '1', ...env } }))
  return async (localAddress: string, forwardedFor?: string): Promise<number> => {
    const headers = forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor }
    return (await openStream(t, `${address}/events/stream`, { localAddress, headers })).status
  }
}

t.test('by default X-Forwarded-For is ignored: who writes it is one client all the same', async (t) => {
  const open = await clients(t)
  t.equal(await open(STRANGER, '10.0.0.1'), 200)
  t.equal(await open(STRANGER, '10.0.0.2'), 429)
  t.equal(await open(STRANGER), 429)
  t.equal(await open(PROXY, '10.0.0.1'), 200, 'and takes nothing from whom it names')
})

t.test('a proxy that is named tells its clients apart', async (t) => {
  const open = await clients(t, { TRUST_PROXY: `${PROXY},127.0.1.0/24` })
  t.equal(await open(PROXY, '10.0.0.1'), 200)
  t.equal(await open(PROXY, '10.0.0.1'), 429)
  t.equal(await open(PROXY, '10.0.0.2'), 200)
  t.equal(await open(SECOND_PROXY, '10.0.0.2'), 429, 'whichever proxy they come by')
  t.equal(await open(PROXY, '2001:db8::1'), 200)
  t.equal(await open(PROXY), 200, 'without the header it is a client itself')
  t.equal(await open(PROXY), 429)
})

t.test('what a client wrote before its proxy added to the header counts for nothing', async (t) => {
  const open = await clients(t, { TRUST_PROXY: `${PROXY},127.0.1.0/24` })
  t.equal(await open(PROXY, '1.1.1.1, 10.0.0.1'), 200)
  t.equal(await open(PROXY, '2.2.2.2, 10.0.0.1'), 429)
  t.equal(await open(PROXY, `3.3.3.3, 10.0.0.1, ${SECOND_PROXY}`), 429, 'through two proxies')
})

t.test('nobody else is believed', async (t) => {
  const open = await clients(t, { TRUST_PROXY: `${PROXY},127.0.1.0/24` })
  t.equal(await open(STRANGER, '10.0.0.1'), 200)
  t.equal(await open(STRANGER, '10.0.0.2'), 429)
  t.equal(await open('127.0.2.1', PROXY), 200)
  t.equal(await open('127.0.2.1', '10.0.0.3'), 429)
})
