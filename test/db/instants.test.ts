import { randomUUID } from 'node:crypto'
import t from 'tap'
import { DEFAULT_TENANT } from '../../src/domain/event.js'
import { selectEvents } from '../../src/store/events.js'
import { testDb } from '../support/db.js'

t.test('times come back to the millisecond, whatever digits the database leaves out', async (t) => {
  const { db, database } = await testDb(t)
  const userId = randomUUID()
  const times = ['.000', '.001', '.010', '.100', '.120', '.999', '.500'].map((ms) => `2026-11-22T08:09:10${ms}Z`)
  times.push('0001-01-01T00:00:00.000Z', '1969-12-31T23:59:59.999Z', '9999-12-31T23:59:59.990Z')
  await database.run(`
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "occurredAt", "createdAt")
    SELECT 0, n, gen_random_uuid(), '${userId}', n, 'UserUpdated', 1, '{}', '${DEFAULT_TENANT}', moment::timestamptz, moment::timestamptz
    FROM unnest('{${times.join(',')}}'::text[]) WITH ORDINALITY AS m(moment, n)`)
  const events = await selectEvents(
    db,
    0,
    { tenantId: DEFAULT_TENANT, userId },
    {},
    { direction: 'forward', limit: 100 }
  )
  t.strictSame(
    events.map(({ createdAt }) => createdAt),
    times
  )
  t.strictSame(
    events.map(({ occurredAt }) => occurredAt),
    times
  )
})
