/** A webhook sink is no way into the network it stands in: private addresses are refused when they are connected to. */
import t from 'tap'
import { PRIVATE_HOSTS } from '../support/private-hosts.js'
import { startReceiver } from '../support/receiver.js'
import { storedEvent, storedEvents } from '../support/stored-events.js'
import { webhookTo } from './webhook.js'

t.test('a private address is not connected to, in whatever form it is written', async (t) => {
  const { port, received, open } = await startReceiver(t)
  for (const host of PRIVATE_HOSTS) {
    const [outcome] = await webhookTo(t, `http://${host}:${port}/`, { privateAddresses: false }).publish([
      storedEvent()
    ])
    t.match(
      outcome,
      { kind: 'unavailable', reason: / is not an address of the public Internet; WEBHOOK_PRIVATE/ },
      host
    )
  }
  t.equal(open(), 0)
  t.equal(received.length, 0)
})

t.test('nor is a name that resolves to one', async (t) => {
  const { port, received } = await startReceiver(t)
  for (const scheme of ['http', 'https']) {
    for (const format of ['structured', 'batched'] as const) {
      const sink = webhookTo(t, `${scheme}://localhost:${port}/`, { privateAddresses: false, format })
      for (const outcome of await sink.publish(storedEvents(3, 1)))
        t.match(outcome, {
          kind: 'unavailable',
          reason: /^(127\.0\.0\.1|::1) is not an address of the public Internet/
        })
    }
  }
  t.equal(received.length, 0)
})

t.test('where private addresses are allowed, both are reached', async (t) => {
  const { url, port, received } = await startReceiver(t)
  for (const allowed of [url, `http://localhost:${port}/`, `http://2130706433:${port}/`]) {
    t.strictSame(await webhookTo(t, allowed).publish([storedEvent()]), [{ kind: 'delivered' }])
  }
  t.equal(received.length, 3)
})
