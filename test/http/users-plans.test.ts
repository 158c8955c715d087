/** However many users there are, no filter and no order of GET /users reads the whole table. */
import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import postgres from 'postgres'
import t from 'tap'
import { ANYBODY } from '../../src/domain/access.js'
import { createCursors } from '../../src/domain/cursor.js'
import { registerAuth } from '../../src/http/auth.js'
import { userRoutes } from '../../src/http/routes/users.js'
import { components } from '../../src/http/schemas.js'
import { registerTurns } from '../../src/http/turns.js'
import { createDirectoryService } from '../../src/services/directory.js'
import { createFollow } from '../../src/services/follow.js'
import { testDb } from '../support/db.js'
import { combinedQueries, documentedQueries, manyUsers } from '../support/directory.js'
import { watchDb } from '../support/watched-db.js'

const USERS = 50_000
const tenant = randomUUID()

t.test('every documented query is answered from an index', async (t) => {
  const { db, database } = await testDb(t)
  await db.query(`INSERT INTO projections (name, version, "typesRevision") VALUES ('users', 1, 0)`)
  for (const [tenantId, from] of [
    [tenant, 0],
    [randomUUID(), USERS]
  ] as const)
    await database.run(manyUsers(tenantId, from, USERS))
  await database.run('VACUUM ANALYZE user_read_model, user_read_state')

  const sql = postgres(database.url, { max: 1, fetch_types: false })
  t.teardown(() => sql.end({ timeout: 5 }))
  const watched = watchDb(db)
  const follow = createFollow({ db, projection: 'users', buckets: 1, waitMs: 1000 })
  const app = Fastify({ ajv: { customOptions: { coerceTypes: 'array' } } })
  t.teardown(() => app.close())
  for (const component of components) app.addSchema(component)
  registerAuth(app, { authenticate: () => ANYBODY })
  registerTurns(app, undefined)
  await app.register(userRoutes, {
    directory: createDirectoryService({ db: watched.db, follow, buckets: 1 }),
    cursors: createCursors('none')
  })

  for (const query of [...documentedQueries, ...combinedQueries]) {
    const answer = await app.inject({ url: `/users?${query}`, headers: { 'x-tenant-id': tenant } })
    t.equal(answer.statusCode, 200, answer.body)
    const found = answer.json().users.length
    t.equal(found > 0, !query.includes('nobody'), `${query || 'no filter'} finds ${found}`)
    const { text, params } = watched.sent.at(-1)!
    const rows = await sql.unsafe(`EXPLAIN ${text}`, [...params], { prepare: false })
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    t.match(
      plan,
      /(Index Scan|Index Scan Backward|Bitmap Index Scan).*(using|on) "(IDX_READ_MODEL_\w+|user_read_model_pkey|IDX_READ_STATE_CHANGED)"/,
      `${query}\n${plan}`
    )
    t.notMatch(plan, /Seq Scan on user_read_/, `${query}\n${plan}`)
  }
})
