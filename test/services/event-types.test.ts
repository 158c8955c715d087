/** What it costs to know the types of all tenants. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { createEventTypeService } from '../../src/services/event-types.js'
import { testDb } from '../support/db.js'

t.test('the types of 5,000 tenants are known within moments', async (t) => {
  const { db } = await testDb(t)
  const definition = JSON.stringify({
    summary: '',
    schema: { type: 'object' },
    effect: { kind: 'none' },
    personalData: []
  })
  await db.query(
    `INSERT INTO event_types (revision, "tenantId", "eventType", version, definition)
     SELECT n, md5((n % 5000)::text)::uuid, 'T' || n / 5000, 1, $1::text::jsonb FROM generate_series(1, 20000) n`,
    [definition]
  )
  const eventTypes = createEventTypeService({ db, onPatchFailed: () => {} })
  const startedAt = performance.now()
  await eventTypes.refresh()
  const tookMs = performance.now() - startedAt
  t.comment(`${Math.round(tookMs)} ms`)
  t.ok(tookMs < 5000, `${Math.round(tookMs)} ms`)
  const [row] = await db.query<{ id: string }>('SELECT md5($1)::uuid AS id', ['7'])
  const own = eventTypes.list(row!.id).filter(({ scope }) => scope === 'tenant')
  t.strictSame(
    own.map(({ eventType }) => eventType),
    ['T0', 'T1', 'T2', 'T3']
  )
  t.strictSame(
    eventTypes.list(randomUUID()).filter(({ scope }) => scope !== 'built-in'),
    []
  )
})
