/** What statements are called by those who watch the database. */
import t from 'tap'
import { statementName } from '../../src/db/statement-name.js'

t.test('a verb, and the first table or function', async (t) => {
  const names = {
    'SELECT * FROM append_events($1::smallint, $2::text::jsonb, $3::text::jsonb, $4)': 'SELECT append_events',
    'SELECT (extract(epoch FROM e."createdAt") * 1000)::bigint FROM user_events e WHERE e.bucket = $1':
      'SELECT user_events',
    'WITH found AS (SELECT id FROM user_snapshots) SELECT * FROM found': 'SELECT user_snapshots',
    'SELECT x FROM (SELECT y FROM workers) inside': 'SELECT workers',
    'SELECT a IS NOT DISTINCT FROM b FROM api_keys': 'SELECT api_keys',
    'insert into "user_events" ("id") values ($1)': 'INSERT user_events',
    'UPDATE workers SET holder = $1': 'UPDATE workers',
    'delete from "user_snapshots" where "user_snapshots"."id" = $1': 'DELETE user_snapshots',
    'SELECT 1': 'SELECT',
    'VACUUM user_events': 'STATEMENT'
  }
  for (const [text, name] of Object.entries(names)) {
    t.equal(statementName(text), name)
    t.equal(statementName(text), name, 'and again')
  }
})

t.test('any number of texts is told apart', async (t) => {
  const names = Array.from({ length: 3000 }, (_, i) => statementName(`SELECT * FROM table_${i}`))
  t.strictSame(
    names,
    names.map((_, i) => `SELECT table_${i}`)
  )
})
