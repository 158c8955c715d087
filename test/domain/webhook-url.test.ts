/** Which URLs a webhook may have. The forms of addresses come from the registries of special addresses and from known attacks. */

import AjvModule from 'ajv'
import formatsModule from 'ajv-formats'
import t from 'tap'
import { SinkConfig } from '../../src/domain/subscription.js'
import { isPublicAddress, refuseWebhookUrl } from '../../src/domain/webhook-url.js'
import { PRIVATE_HOSTS } from '../support/private-hosts.js'

const refusal = (url: string, privateAddresses = false): string | null => refuseWebhookUrl(url, { privateAddresses })

t.test('a private address is refused in every form that means one', async (t) => {
  for (const host of PRIVATE_HOSTS) {
    t.match(refusal(`http://${host}:8080/events`), /is not an address of the public Internet; WEBHOOK_PRIVATE/, host)
    t.equal(refusal(`http://${host}:8080/events`, true), null, `${host} when allowed`)
  }
})

t.test('ranges end where they end', async (t) => {
  const pairs = [
    ['9.255.255.255', '10.0.0.0'],
    ['11.0.0.0', '10.255.255.255'],
    ['100.63.255.255', '100.64.0.0'],
    ['100.128.0.0', '100.127.255.255'],
    ['126.255.255.255', '127.0.0.0'],
    ['128.0.0.0', '127.255.255.255'],
    ['169.253.255.255', '169.254.0.0'],
    ['169.255.0.0', '169.254.255.255'],
    ['172.15.255.255', '172.16.0.0'],
    ['172.32.0.0', '172.31.255.255'],
    ['192.167.255.255', '192.168.0.0'],
    ['192.169.0.0', '192.168.255.255'],
    ['198.17.255.255', '198.18.0.0'],
    ['198.20.0.0', '198.19.255.255'],
    ['223.255.255.255', '224.0.0.0'],
    ['1.0.0.0', '0.255.255.255'],
    ['2001:4860:4860::8888', '2001:db8::8888'],
    ['2003::1', '2002::1'],
    ['2606:4700::1111', '4000::1']
  ] as const
  for (const [open, closed] of pairs) {
    t.equal(isPublicAddress(open), true, open)
    t.equal(isPublicAddress(closed), false, closed)
  }
  for (const text of ['', 'example.com', '8.8.8.8.8', '8.8.8.8 ', '[2606:4700::1111]'])
    t.equal(isPublicAddress(text), false, `"${text}" is no address`)
})

t.test('public addresses and all names pass: what a name resolves to is seen when it is connected to', async (t) => {
  for (const host of [
    '8.8.8.8',
    '[2606:4700::1111]',
    'example.com',
    'localhost',
    'xn--bcher-kva.example',
    '10.example'
  ])
    t.equal(refusal(`https://${host}/events?x=@1#y`), null, host)
})

t.test(
  'a user or a password, another protocol, and what is no URL are refused even where private addresses are allowed',
  async (t) => {
    for (const url of [
      'https://ada@example.com/',
      'https://ada:hunter2@example.com/',
      'https://:hunter2@example.com/'
    ]) {
      t.match(refusal(url, true), /^it holds a user or a password/)
      t.notMatch(refusal(url, true), /hunter2/)
    }
    for (const url of ['ftp://example.com/', 'file:///etc/passwd', 'javascript:alert(1)'])
      t.match(refusal(url, true), /^it begins with \w+:; give one that begins with https:/)
    for (const url of ['', 'example.com/events', 'http://', 'http://a b/', 'http://256.256.256.256/', 'http://[::1/'])
      t.match(refusal(url, true), /^it is no URL/, url)
  }
)

t.test('a key of 24 to 64 bytes is taken, and no other', async (t) => {
  const check = formatsModule.default(new AjvModule.default({ strict: false })).compile(SinkConfig)
  const taken = (secret: string) => check({ kind: 'webhook', url: 'https://example.com/events', secret })
  for (let bytes = 22; bytes <= 67; bytes++) {
    const key = Buffer.alloc(bytes, 0xfb).toString('base64')
    t.equal(taken(`whsec_${key}`), bytes >= 24 && bytes <= 64, `${bytes} bytes`)
  }
  const key = Buffer.alloc(32).toString('base64')
  for (const wrong of [
    key,
    `whsec_${key}=`,
    `whsec_${key.slice(0, -1)}`,
    `whsec_ ${key}`,
    `whsec_${key.replace('A', '-')}`
  ])
    t.equal(taken(wrong), false, wrong)
})
