import t from 'tap'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { testService } from '../support/service.js'

t.test('an append answers with versions and positions, and a read shows the events', async (t) => {
  const { append, get } = await testService(t)
  const id = newUserId()
  const created = await append(id, [userCreated(), userUpdated()], { expectedVersion: 'none' })
  t.equal(created.statusCode, 201)
  t.match(created.data, {
    userId: id,
    version: 2,
    duplicate: false,
    events: [
      { version: 1, position: 1 },
      { version: 2, position: 2 }
    ]
  })
  const read = await get(`/users/${id}/events`)
  t.match(read.data, { version: 2, next: null, events: [{ eventType: 'UserCreated' }, { eventType: 'UserUpdated' }] })
})
