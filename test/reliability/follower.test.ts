import { randomUUID } from 'node:crypto'
import postgres from 'postgres'
import t from 'tap'
import { assertHonest, createClient, stepsOrTime } from '../support/client.js'
import { testDatabase } from '../support/db.js'
import { readIntactLog } from '../support/log.js'
import { startProcess } from '../support/process.js'
import { randomOf, seedOf } from '../support/random.js'

t.test('a follower that asks for positions after its last sees every event once and in order', async (t) => {
  const seed = seedOf(t)
  const database = await testDatabase(t)
  const services = await Promise.all([1, 2].map(() => startProcess(t, { DATABASE_URL: database.url })))
  const sql = postgres(database.url, { max: 1, fetch_types: false })
  t.teardown(() => sql.end({ timeout: 5 }))
  const users = Array.from({ length: 40 }, () => randomUUID())
  const clients = Array.from({ length: 8 }, (_, i) =>
    createClient({ url: () => services[i % 2]!.url, users, random: randomOf(seed + i), timeoutMs: 15_000 })
  )

  const seen: { id: string; position: number }[] = []
  let polls = 0
  async function poll(): Promise<void> {
    const last = seen.at(-1)?.position ?? 0
    const rows =
      await sql`SELECT id, position FROM user_events WHERE bucket = 0 AND position > ${last} ORDER BY position`
    for (const { id, position } of rows) seen.push({ id, position: Number(position) })
    polls++
  }

  let writing = true
  const following = (async () => {
    while (writing) await poll()
    await poll()
  })()
  await Promise.all(clients.map((client) => client.run(stepsOrTime(150, 4000))))
  writing = false
  await following

  assertHonest(t, clients)
  t.comment(`${polls} polls saw ${seen.length} events`)
  t.ok(polls > 20 && seen.length > 100, 'it followed while they wrote')
  const log = await readIntactLog(t, database)
  t.strictSame(
    seen,
    log.map(({ id, position }) => ({ id, position }))
  )
})
