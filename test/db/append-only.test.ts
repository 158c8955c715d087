import t from 'tap'
import { testDatabase } from '../support/db.js'
import { newUserId } from '../support/events.js'

const insert = (userId: string, position: number): string => `
  INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
  VALUES (0, ${position}, gen_random_uuid(), '${userId}', 1, 'UserCreated', 1, '{}', '00000000-0000-0000-0000-000000000000', now())`

const changes = {
  UPDATE: `UPDATE user_events SET "eventType" = 'Forged'`,
  'UPDATE of nothing': `UPDATE user_events SET "eventType" = 'Forged' WHERE false`,
  DELETE: 'DELETE FROM user_events',
  TRUNCATE: 'TRUNCATE user_events'
}

for (const [name, statement] of Object.entries(changes)) {
  t.test(`${name} is refused with a sentence that says so`, async (t) => {
    const { run } = await testDatabase(t)
    await run(insert(newUserId(), 1))
    const verb = name.split(' ')[0]!
    await t.rejects(run(statement), {
      code: '23001',
      message: `${verb} of user_events is refused: events are never changed or removed`,
      hint: 'Append an event that corrects the mistake.'
    })
    t.match(await run(`SELECT count(*)::integer AS events, min("eventType") AS type FROM user_events`), [
      { events: 1, type: 'UserCreated' }
    ])
  })
}

t.test('INSERT ... ON CONFLICT DO UPDATE is refused as well', async (t) => {
  const { run } = await testDatabase(t)
  const userId = newUserId()
  await run(insert(userId, 1))
  await t.rejects(
    run(`${insert(userId, 2)} ON CONFLICT (bucket, "aggregateId", version) DO UPDATE SET "eventType" = 'Forged'`),
    {
      code: '23001'
    }
  )
})

t.test('a maintenance job that names itself may, and only within its transaction', async (t) => {
  const { run } = await testDatabase(t)
  await run(insert(newUserId(), 1))
  await run(insert(newUserId(), 2))
  await run(
    `SELECT set_config('user_event_store.maintenance', 'archive', true); DELETE FROM user_events WHERE position = 1`
  )
  t.match(await run('SELECT count(*)::integer AS events FROM user_events'), [{ events: 1 }])
  await t.rejects(
    run(`BEGIN; SELECT set_config('user_event_store.maintenance', 'archive', true); COMMIT; DELETE FROM user_events`),
    { code: '23001' },
    'the name ends with the transaction'
  )
  await t.rejects(run(`SELECT set_config('user_event_store.maintenance', '', true); DELETE FROM user_events`), {
    code: '23001'
  })
})

t.test('the keys refuse a second event at one place, whoever writes it', async (t) => {
  const { run } = await testDatabase(t)
  const userId = newUserId()
  await run(insert(userId, 1))
  await t.rejects(run(insert(userId, 2)), { code: '23505', constraint_name: 'user_events_pkey' })
  await t.rejects(run(insert(newUserId(), 1)), { code: '23505', constraint_name: 'user_events_position_key' })
})
