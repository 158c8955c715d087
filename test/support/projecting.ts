/**
 * Nothing but the projecting of an instance, on the database of DATABASE_URL: a process that starts fast, to be killed again and
 * again. PROJECTION_VERSION makes it one of other code.
 */
import { randomUUID } from 'node:crypto'
import { openDb } from '../../src/db/client.js'
import { runLong } from '../../src/db/long-statement.js'
import { usersProjection } from '../../src/domain/projections/users.js'
import { createProjecting } from '../../src/projecting.js'
import { createEventTypeService } from '../../src/services/event-types.js'

const url = process.env.DATABASE_URL!
const buckets = Number(process.env.EVENT_BUCKETS ?? 1)
const version = Number(process.env.PROJECTION_VERSION ?? usersProjection.version)
const db = openDb(url, { poolMax: 4 })
const eventTypes = createEventTypeService({ db })
await eventTypes.refresh()
const projecting = createProjecting({
  db,
  metrics: { handled: () => {}, parked: () => {} },
  buckets,
  holder: randomUUID(),
  eventTypes,
  projections: [{ ...usersProjection, version }],
  runLong: (statement, signal) => runLong(url, statement, signal),
  onError: (err) => console.error(err)
})
projecting.start()
console.log('started')
process.once('SIGTERM', async () => {
  await projecting.stop()
  await db.close()
})
