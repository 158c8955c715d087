/** While several tenants are here, each has a few requests under way, and none waits for what another has sent. */
import { request } from 'node:http'
import t, { type Test } from 'tap'
import { ADMIN_KEY, bearing, GUARDED, keyOf } from '../support/access.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { untilOpen } from '../support/feed.js'
import { holdAppendLock } from '../support/lock.js'
import { verdict } from '../support/problem.js'
import { type Answer, listen, testService } from '../support/service.js'
import { until } from '../support/wait.js'

/** A service with a user each of two tenants, and what they ask it. */
async function shared(t: Test, share: number) {
  const service = await testService(t, { env: { ...GUARDED, TENANT_SHARE: String(share) } })
  const makeTenant = async () => {
    const scopes = ['events:write', 'events:read', 'state:read', 'events:admin'] as const
    const headers = await keyOf(service, scopes, { tenantId: newUserId() })
    const userId = newUserId()
    await service.append(userId, [userCreated()], { headers })
    return {
      headers,
      ask: (url: string) => service.get(url, headers),
      read: () => service.get(`/users/${userId}/state`, headers),
      write: () => service.append(userId, updates(1), { headers })
    }
  }
  return { service, ours: await makeTenant(), theirs: await makeTenant() }
}

/** Whether it is answered by the time that another tenant has had some answers, which came after it. */
async function isAnswered(answer: Promise<Answer>, others: () => Promise<Answer>): Promise<boolean> {
  let answered = false
  void answer.then(() => {
    answered = true
  })
  for (let i = 0; i < 5; i++) if (verdict(await others()) !== '200') throw new Error('the other tenant was refused')
  return answered
}

/** The verdict of an answer that comes before one to an earlier request does, while another tenant goes on asking; null when it does not. */
async function overtaking(
  answer: Promise<Answer>,
  earlier: Promise<Answer>,
  others: () => Promise<Answer>
): Promise<string | null> {
  let known = false
  const first = Promise.race([answer.then(verdict), earlier.then(() => null)]).finally(() => {
    known = true
  })
  while (!known) if (verdict(await others()) !== '200') throw new Error('the other tenant was refused')
  return await first
}

t.test('the share of a tenant is under way and not one more, while another waits for nothing', async (t) => {
  const { service, ours, theirs } = await shared(t, 2)
  const lock = await holdAppendLock(t, service.database)
  const writing = [ours.write()]
  await lock.untilWaiting()
  t.equal(await overtaking(ours.read(), writing[0]!, theirs.read), '200', 'one is under way, and this is the second')
  writing.push(ours.write())
  t.notOk(await isAnswered(writing[1]!, theirs.read))
  const reading = ours.read()
  t.notOk(await isAnswered(reading, theirs.read), 'two are under way')
  await lock.release()
  t.strictSame((await Promise.all([reading, ...writing])).map(verdict), ['200', '201', '201'])
})

t.test('a tenant that is here alone waits for no turn', async (t) => {
  const { service, ours, theirs } = await shared(t, 1)
  const lock = await holdAppendLock(t, service.database)
  const writing = [ours.write()]
  await lock.untilWaiting()
  // What came while the other was here goes on with what comes when it is gone.
  const reading = [ours.read()]
  let answered = 0
  await until(
    () => {
      reading.push(ours.read().finally(() => answered++))
      return answered > 0
    },
    { what: 'the other tenant to be gone' }
  )
  t.ok((await Promise.all(reading)).every((answer) => verdict(answer) === '200'))
  writing.push(ours.write())
  t.equal(verdict(await theirs.read()), '200')
  t.notOk(await isAnswered(ours.read(), theirs.read))
  await lock.release()
  t.strictSame((await Promise.all(writing)).map(verdict), ['201', '201'])
})

t.test('requests that are refused, that fail, and whose clients leave give their turns back', async (t) => {
  const { service, ours, theirs } = await shared(t, 1)
  const url = await listen(service)
  for (const path of ['/users/none/state', `/users/${newUserId()}/state`, '/events?limit=0', '/nowhere'])
    t.match(verdict(await ours.ask(path)), /^4/)
  const lock = await holdAppendLock(t, service.database)
  const leaving = new AbortController()
  const gone = fetch(`${url}/users/${newUserId()}/events`, {
    method: 'POST',
    headers: { ...ours.headers, 'content-type': 'application/json' },
    body: JSON.stringify({ events: [userCreated('gone')] }),
    signal: leaving.signal
  })
  await lock.untilWaiting()
  leaving.abort()
  await t.rejects(gone)
  await lock.release()
  for (let i = 0; i < 3; i++) {
    const [answer] = await Promise.all([ours.read(), theirs.read()])
    t.equal(verdict(answer), '200')
  }
})

t.test('who only waits keeps nobody waiting: readers of the feed, of the read model, and imports', async (t) => {
  const { service, ours, theirs } = await shared(t, 1)
  const url = await listen(service)
  const { next } = (await ours.ask('/events')).data
  const waiting = ours.ask(`/events?waitMs=20000&after=${next}`)
  const behind = ours.ask('/users/count?atLeast=1000000')
  const streaming = await fetch(`${url}/events/stream`, { headers: ours.headers })
  t.equal(streaming.status, 200)
  const importing = request(`${url}/events/import`, {
    method: 'POST',
    headers: { ...ours.headers, 'content-type': 'application/x-ndjson' }
  })
  const imported = new Promise((resolve) => importing.on('response', resolve))
  importing.flushHeaders()
  await untilOpen((path) => service.get(path, bearing(ADMIN_KEY)), 2)

  t.equal(await overtaking(ours.read(), waiting, theirs.read), '200')
  t.equal(verdict(await ours.write()), '201')
  t.equal(verdict(await waiting), '200', 'for the event that came')
  t.equal(verdict(await behind), '503 PROJECTION_BEHIND')
  importing.end()
  t.match(await imported, { statusCode: 200 })
  await streaming.body?.cancel()
})
