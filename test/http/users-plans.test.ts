/** However many users there are, no filter and no order of GET /users reads the whole table. */
import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import postgres from 'postgres'
import t, { type Test } from 'tap'
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

/** The directory of a tenant of USERS users beside another of as many; `plan` is how the database went about the last page. */
async function manyUsersApp(t: Test) {
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
  return {
    database,
    get: (url: string) => app.inject({ url, headers: { 'x-tenant-id': tenant } }),
    /** Only what was executed: what is looked for in steps has a plan for those that were not needed too. */
    async plan(): Promise<string> {
      const { text, params } = watched.sent.at(-1)!
      const rows = await sql.unsafe(`EXPLAIN (ANALYZE, TIMING OFF) ${text}`, [...params], { prepare: false })
      return rows
        .map((row) => row['QUERY PLAN'] as string)
        .filter((line) => !line.endsWith('(never executed)'))
        .join('\n')
    }
  }
}

t.test('every documented query is answered from an index', async (t) => {
  const { get, plan } = await manyUsersApp(t)
  for (const query of [...documentedQueries, ...combinedQueries]) {
    const answer = await get(`/users?${query}`)
    t.equal(answer.statusCode, 200, answer.body)
    const found = answer.json().users.length
    t.equal(found > 0, !query.includes('nobody'), `${query || 'no filter'} finds ${found}`)
    const planned = await plan()
    t.match(
      planned,
      /(Index Scan|Index Scan Backward|Bitmap Index Scan).*(using|on) "(IDX_READ_MODEL_\w+|user_read_model_pkey|IDX_READ_STATE_CHANGED)"/,
      `${query}\n${planned}`
    )
    t.notMatch(planned, /Seq Scan on user_read_/, `${query}\n${planned}`)
  }
})

t.test('a word that the planner takes for a common one does not make it read everybody', async (t) => {
  const { database, get, plan } = await manyUsersApp(t)
  /** Users by their places in the order of creation, the newest first. */
  const rename = (name: string, places: string) =>
    database.run(`
      UPDATE user_read_model u SET "fullName" = '${name}'
      FROM (SELECT "userId", row_number() OVER (ORDER BY "createdAt" DESC, "userId" DESC) AS place
            FROM user_read_model WHERE "tenantId" = '${tenant}' AND "deletedAt" IS NULL) AS ordered
      WHERE u."userId" = ordered."userId" AND place ${places}`)
  await database.run('ALTER TABLE user_read_model SET (autovacuum_enabled = false)')
  await rename('Zebra', '% 8 = 0')
  await database.run('ANALYZE user_read_model')
  await rename('Nobody', '% 8 = 0')
  await rename('Zebra', 'IN (1, 4999, 5000, 5001, 40000)')

  for (const sort of ['createdAt', 'updatedAt', 'username', 'email'])
    for (const order of ['asc', 'desc']) {
      const found = await get(`/users?q=zebra&sort=${sort}&order=${order}`)
      t.equal(found.json().users.length, 5, `${sort} ${order}`)
      // There what words are looked for in is joined with another table, which may be read whole for so many as are expected.
      if (sort === 'updatedAt') continue
      const planned = await plan()
      const passedOver = [...planned.matchAll(/Rows Removed by Filter: (\d+)/g)].map(([, rows]) => Number(rows))
      t.ok(Math.max(...passedOver) <= 5_000, `${sort} ${order}\n${planned}`)
    }

  // Some of them stand on both sides of how far the order is followed.
  const zebras = await database.run<{ userId: string }>(
    `SELECT "userId" FROM user_read_model WHERE "fullName" = 'Zebra' ORDER BY "createdAt" DESC`
  )
  const all = zebras.map(({ userId }) => userId)
  for (const limit of [1, 2, 3, 4, 5, 6]) {
    const paged: string[] = []
    let next: string | null = `/users?q=zebra&limit=${limit}`
    while (next) {
      const page: { users: { userId: string }[]; next: string | null } = (await get(next)).json()
      paged.push(...page.users.map((user) => user.userId))
      next = page.next && `/users?q=zebra&limit=${limit}&cursor=${encodeURIComponent(page.next)}`
    }
    t.same(paged, all, `pages of ${limit}`)
  }
})
