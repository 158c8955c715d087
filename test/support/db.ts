/** A migrated database of its own for a test, cloned from the template of the run and dropped afterwards. */
import { randomBytes } from 'node:crypto'
import postgres from 'postgres'
import type { Test } from 'tap'
import { type Db, type DbOptions, openDb } from '../../src/db/client.js'

const needed = (name: string): string => {
  const value = process.env[name]
  if (value) return value
  throw new Error(`${name} is not set. Run the tests with npm test -- [files].`)
}

/** Runs one statement as the owner of the test server, in `database` or in the server's own. */
export async function asAdmin<Row extends object>(text: string, database?: string): Promise<Row[]> {
  const url = new URL(needed('TEST_SERVER_URL'))
  if (database) url.pathname = `/${database}`
  const sql = postgres(url.href, { max: 1, onnotice: () => {}, fetch_types: false })
  try {
    return [...(await sql.unsafe<Row[]>(text))]
  } finally {
    await sql.end({ timeout: 5 })
  }
}

export type TestDatabase = {
  name: string
  url: string /** one statement on a connection of its own */
  run<Row extends object>(text: string): Promise<Row[]>
}

/** A clone of the migrated template or of another database, to which nobody is connected; or an empty one. */
export async function testDatabase(
  t: Test,
  { empty = false, template }: { empty?: boolean; template?: string } = {}
): Promise<TestDatabase> {
  const name = `ues_test_${randomBytes(8).toString('hex')}`
  await asAdmin(`CREATE DATABASE ${name}${empty ? '' : ` TEMPLATE ${template ?? needed('TEST_TEMPLATE')}`}`)
  t.teardown(() => asAdmin(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))
  const url = new URL(needed('TEST_SERVER_URL'))
  url.pathname = `/${name}`
  return { name, url: url.href, run: (text) => asAdmin(text, name) }
}

/** A pool on a fresh clone; closed before the clone is dropped. */
export async function testDb(t: Test, options: DbOptions = {}): Promise<{ db: Db; database: TestDatabase }> {
  const database = await testDatabase(t)
  const db = openDb(database.url, options)
  t.teardown(() => db.close())
  return { db, database }
}
