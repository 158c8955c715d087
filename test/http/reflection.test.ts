/** Answers of the read model say up to which event they hold, and can be waited for. */
import t from 'tap'
import { newUserId, updates, userCreated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'

const ROUTES = ['/users', '/users/count', '/users/:id', '/stats/activity']

t.test('what was appended is there when its position is asked for, on another instance as well', async (t) => {
  const one = await testService(t, { background: true })
  const other = await testService(t, { background: true, database: one.database })
  for (let round = 0; round < 20; round++) {
    const userId = newUserId()
    const { position } = (await one.append(userId, [userCreated()])).data.events[0]
    for (const { get } of [other, one]) {
      const byQuery = await get(`/users/${userId}?atLeast=${position}`)
      t.equal(verdict(byQuery), '200')
      t.ok(byQuery.data.position >= position)
      const byHeader = await get(`/users/${userId}`, { 'event-position-min': String(position) })
      t.equal(verdict(byHeader), '200')
    }
    const listed = await other.get(`/users?username=ada&limit=1&atLeast=${position}`)
    t.equal(listed.data.users[0].userId, userId)
  }
})

t.test('with several buckets too, whichever the user is in', async (t) => {
  const service = await testService(t, { background: true, env: { EVENT_BUCKETS: '3' } })
  for (let round = 0; round < 12; round++) {
    const userId = newUserId()
    const answer = await service.append(userId, [userCreated(), ...updates(round)])
    const { position } = answer.data.events.at(-1)
    const { data } = await service.get(`/users?limit=1&sort=createdAt&atLeast=${position}`)
    t.equal(data.users[0].userId, userId)
    const one = await service.get(`/users/${userId}?atLeast=${position}`)
    t.equal(one.data.lastPosition, position)
    t.ok(one.data.position >= position)
    t.equal((await service.get(`/users/count?atLeast=${position}`)).data.count, round + 1)
  }
})

t.test('a read that waits in vain says how far the read model is', async (t) => {
  // Nothing projects: the background work is not started.
  const service = await testService(t, { env: { REQUEST_TIMEOUT_MS: '1000' } })
  const userId = newUserId()
  await service.append(userId, [userCreated()])
  for (const route of ROUTES) {
    const path = route.replace(':id', userId)
    refused(t, await service.get(`${path}?atLeast=1`), '503 PROJECTION_BEHIND', { head: 1, position: 0, lagEvents: 1 })
    const answer = await service.get(path)
    refused(t, answer, '503 PROJECTION_BEHIND', { head: 1, position: 0 })
    t.equal(answer.headers['retry-after'], '1')
    t.match(answer.data.detail, /first time/)
  }
})

t.test('a position that the log does not have is not waited for in silence', async (t) => {
  const service = await testService(t, { background: true, env: { REQUEST_TIMEOUT_MS: '1000' } })
  await service.append(newUserId(), [userCreated()])
  t.equal(verdict(await service.get('/users?atLeast=1')), '200')
  t.equal(verdict(await service.get('/users?atLeast=0')), '200')
  const answer = await service.get('/users?atLeast=2')
  refused(t, answer, '503 PROJECTION_BEHIND', { head: 1 })
  t.match(answer.data.detail, /log ends at position 1/)
  const larger = await service.get('/users?atLeast=1', { 'event-position-min': '2' })
  refused(t, larger, '503 PROJECTION_BEHIND')
})
