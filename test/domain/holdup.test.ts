import t from 'tap'
import { type FollowerFacts, holdupsOf } from '../../src/domain/holdup.js'

const HELD = { bucket: 0, holder: 'a', secondsLeft: 0.1 }
const LOST = { bucket: 1, holder: 'b', secondsLeft: -0.1 }
const USER = '5b2f3c9e-0000-7000-8000-000000000001'

const projection: FollowerFacts = {
  name: 'users',
  kind: 'projection',
  lagEvents: 1,
  leases: [LOST, HELD],
  delivery: null,
  parked: null
}
const delivery = { tenantId: 't', name: 'crm', state: 'active', lastError: null, blockedBy: null } as const
const subscription: FollowerFacts = { ...projection, name: 't/crm', kind: 'subscription', delivery }

const codes = (facts: FollowerFacts): string[] => holdupsOf(facts).map(({ code }) => code)

t.test('who has something to do and nobody who works on it is held up', async (t) => {
  for (const facts of [projection, subscription]) {
    t.strictSame(codes(facts), [])
    t.strictSame(codes({ ...facts, leases: [LOST] }), ['NO_LEASE'])
    t.strictSame(codes({ ...facts, leases: [] }), ['NO_LEASE'])
    t.strictSame(codes({ ...facts, leases: [{ ...HELD, secondsLeft: 0 }] }), ['NO_LEASE'])
    t.strictSame(codes({ ...facts, leases: [], lagEvents: 0 }), [])
  }
})

t.test('a subscription that is off is not missed', async (t) => {
  for (const [state, code] of [
    ['paused', 'PAUSED'],
    ['stopped', 'STOPPED']
  ] as const)
    t.strictSame(codes({ ...subscription, leases: [], delivery: { ...delivery, state } }), [code])
  t.strictSame(codes({ ...subscription, leases: [], delivery: { ...delivery, state: 'failing' } }), [
    'NO_LEASE',
    'SINK_FAILS'
  ])
  t.strictSame(codes({ ...subscription, leases: [], delivery: { ...delivery, state: 'new' } }), ['NO_LEASE'])
})

t.test('the reason says what was noted, and which route mends it for whom', async (t) => {
  const detail = (facts: Partial<typeof delivery> | object): string =>
    holdupsOf({ ...subscription, delivery: { ...delivery, ...facts } })[0]!.detail
  t.equal(
    detail({ state: 'stopped', lastError: 'the log was restored' }),
    'It cannot go on: the log was restored. POST /admin/subscriptions/crm/resume once that is mended.'
  )
  t.match(detail({ state: 'stopped' }), 'no reason was noted')
  t.equal(
    detail({ state: 'paused', tenantId: null }),
    'Somebody paused it. POST /admin/subscriptions/crm/resume?scope=global lets it go on.'
  )
  t.match(detail({ state: 'failing', lastError: '503' }), 'does not answer: 503.')
})

t.test('a user who is in the way is named', async (t) => {
  const first = { userId: USER, version: 3, error: 'too old' }
  t.match(holdupsOf({ ...projection, parked: { users: 2, first } }), [
    {
      code: 'USER_PARKED',
      userId: USER,
      detail: /^2 users are put aside.* from version 3 on: too old\. .*users\/parked/
    }
  ])
  const blocked = holdupsOf({ ...subscription, delivery: { ...delivery, blockedBy: { ...first, attempts: 4 } } })
  t.match(blocked, [
    { code: 'USER_BLOCKED', userId: USER, detail: /^Version 3 .* in 4 attempts.*: too old\. .*crm\/outbox\.$/ }
  ])
})
