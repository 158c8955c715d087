/**
 * Nothing but the projecting of an instance, on the database of DATABASE_URL: a process that starts fast, to be killed again and
 * again. PROJECTION_VERSION makes it one of other code. Of the built service, as process.ts starts it.
 */
import { randomUUID } from 'node:crypto'
import { openDb } from '../../dist/db/client.js'
import { runLong } from '../../dist/db/long-statement.js'
import { usersProjection } from '../../dist/domain/projections/users.js'
import { createProjecting } from '../../dist/projecting.js'
import { createEventTypeService } from '../../dist/services/event-types.js'

const { DATABASE_URL: url = '', PROJECTION_VERSION: version = usersProjection.version } = process.env
const db = openDb(url, { poolMax: 4 })
const eventTypes = createEventTypeService({ db, onPatchFailed: () => {} })
await eventTypes.refresh()
const projecting = createProjecting({
  db,
  metrics: { handled: () => {}, parked: () => {} },
  buckets: 1,
  holder: randomUUID(),
  eventTypes,
  projections: [{ ...usersProjection, version: Number(version) }],
  runLong: (statement, signal) => runLong(url, statement, signal),
  onError: (err) => console.error(err)
})
projecting.start()
console.log('started')
process.once('SIGTERM', async () => {
  await projecting.stop()
  await db.close()
})
